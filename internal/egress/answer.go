package egress

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/rollout"
)

const (
	// MaxBody is how much of a response body is read.
	MaxBody = 64 << 10
	// maxRetryAfter is the longest wait that a response can request.
	maxRetryAfter = 60 * time.Second
)

// readResult turns a response into a result. The status line decides; the body is read for display, and so that a receiver that
// responds before it is done may finish.
func readResult(resp *http.Response) rollout.CallResult {
	defer resp.Body.Close() //nolint:errcheck // nothing depends on how the body ends
	answer := rollout.CallResult{
		Kind: classifyStatus(resp.StatusCode), Status: resp.StatusCode, Message: "HTTP " + strconv.Itoa(resp.StatusCode),
	}
	if resp.StatusCode < 200 || resp.StatusCode > 599 { // after 101 the body is the bare connection, and has no end
		answer.Message += " is not an answer"
		return answer
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, MaxBody)) // cut short, it is shown as far as it came
	if to := redirectOf(resp); to != "" {
		answer.Message = to
	} else if shown := Sanitize(string(text)); shown != "" {
		answer.Message += ": " + shown
	}
	if answer.Kind != rollout.ResultDone && answer.Kind != rollout.ResultAccepted {
		answer.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	if answer.Kind == rollout.ResultFenced {
		answer.Fence = namedFence(resp.Header.Get("Rollcall-Fence"), text)
	}
	return answer
}

func redirectOf(resp *http.Response) string {
	if resp.Request == nil || resp.Request.URL == nil {
		return ""
	}
	return RedirectAdvice(resp.Request.URL, resp)
}

// namedFence returns the highest fence that a 409 reports as seen, in a header or as {"fence": 42}; 0 when it names none.
func namedFence(header string, body []byte) int64 {
	if fence, err := strconv.ParseInt(header, 10, 64); err == nil {
		return min(max(fence, 0), maxNamedFence)
	}
	var named struct{ Fence int64 }
	if json.Unmarshal(body, &named) != nil {
		return 0
	}
	return min(max(named.Fence, 0), maxNamedFence)
}

// maxNamedFence leaves room above whatever an answer names: fences are JSON numbers, exact up to 2^53.
const maxNamedFence = 1 << 52

func classifyStatus(status int) rollout.ResultKind {
	switch {
	case status == http.StatusAccepted:
		return rollout.ResultAccepted
	case status >= 200 && status < 300:
		return rollout.ResultDone
	case status == http.StatusConflict:
		return rollout.ResultFenced
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return rollout.ResultRetry
	case status >= 300 && status < 500:
		return rollout.ResultRefused
	default: // 5xx: a proxy may have sent it, and the work may continue; or not a final HTTP status: 101, or out of range
		return rollout.ResultUnknown
	}
}

func retryAfter(value string, now time.Time) time.Duration {
	return RetryAfter(value, now, maxRetryAfter)
}

// RetryAfter parses the header of RFC 9110, section 10.2.3: seconds or a date. It returns at longest longest, and 0 for an
// invalid value.
func RetryAfter(value string, now time.Time, longest time.Duration) time.Duration {
	value = strings.TrimSpace(value)
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now), 0), longest)
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // out of range, it is still a long wait, or none
		return 0
	}
	return time.Duration(min(max(seconds, 0), int64(longest/time.Second))) * time.Second
}
