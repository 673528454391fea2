package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/healthcheck"
	"rollcall/internal/jsonpointer"
)

const (
	// defaultMetricsPath is asked when a check by metric names neither path nor url.
	defaultMetricsPath = "/metrics"
	// maxMetricBody is how much of an answer is searched for a number. A page of metrics is larger than a health answer.
	maxMetricBody = 1 << 20
)

var errTooLarge = errors.New("the answer is larger than 1 MiB")

// metricKind finds a number in what a URL answers and compares it with limits. A number that is absent or NaN says
// nothing, so it is unknown, never a pass. Neither does a source that cannot be asked, unless it is the target itself.
type metricKind struct{ out *egress.Client }

func (k metricKind) probeTarget(
	ctx context.Context, check *healthcheck.Check, address string, via connection,
) healthcheck.ProbeResult {
	began := time.Now()
	from := sourceOf(check)
	if from.evaluate == nil {
		return unknown("the check names neither a pointer nor a metric nor a query")
	}
	u, err := endpointURL(check, address, from.path)
	if err != nil {
		return unknown(err.Error())
	}
	away := unhealthy
	if asksOtherHost(check, address) {
		away = func(why string) healthcheck.ProbeResult { return unknown(u.Host + " is not the target, and: " + why) }
	}
	if check.Query != "" {
		u = queryURL(u, check.Query)
	}
	resp, err := sendRequest(ctx, k.out, check, u, from.accept, via)
	if err != nil {
		return away(egress.ErrorText(ctx, err, began))
	}
	defer resp.Body.Close() //nolint:errcheck // the answer has been read as far as it matters
	if why := egress.RedirectAdvice(u, resp); why != "" {
		return away(why + redirectAdvice)
	}
	if resp.StatusCode > 299 && check.Query == "" {
		return away("HTTP " + strconv.Itoa(resp.StatusCode))
	}
	seen := from.evaluate(resp.StatusCode, &limited{from: resp.Body, left: maxMetricBody})
	if ctx.Err() != nil {
		return away("the answer was cut short: " + egress.ErrorText(ctx, ctx.Err(), began))
	}
	return seen
}

// source is where a check has its number from, and how: the path when it does not say, the formats it takes, and what it
// makes of an answer. judge is nil when the check names no number.
type source struct {
	path, accept string
	evaluate     func(status int, body io.Reader) healthcheck.ProbeResult
}

func sourceOf(check *healthcheck.Check) source {
	numbers := func(find func(io.Reader) ([]sample, error)) func(int, io.Reader) healthcheck.ProbeResult {
		return func(_ int, body io.Reader) healthcheck.ProbeResult {
			found, err := find(body)
			if err != nil {
				return unknown(err.Error())
			}
			return worstStatus(check, found)
		}
	}
	switch {
	case check.Query != "":
		return source{"/", "application/json", func(status int, body io.Reader) healthcheck.ProbeResult {
			return evaluateQuery(check, status, body)
		}}
	case check.Pointer != "":
		return source{defaultHealthPath, "application/json", numbers(func(r io.Reader) ([]sample, error) {
			return jsonNumber(r, check.Pointer)
		})}
	case check.Metric != "":
		return source{defaultMetricsPath, pageFormat(check.Metric), numbers(func(r io.Reader) ([]sample, error) {
			return promNumbers(r, check.Metric)
		})}
	default:
		return source{}
	}
}

// asksOtherHost reports whether the check asks something else than the target: another host, or another port of it.
func asksOtherHost(check *healthcheck.Check, address string) bool {
	if check.URL == "" {
		return false
	}
	asked, err := hostPort(check.URL, 0)
	own, err2 := hostPort(address, 0)
	return err != nil || err2 != nil || !strings.EqualFold(asked, own)
}

// jsonNumber finds a number; also one that is written as a string, as APIs do that can say NaN.
func jsonNumber(r io.Reader, pointer string) ([]sample, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	value, err := jsonpointer.Lookup(text, pointer)
	if err != nil {
		return nil, err
	}
	var v float64
	switch found := value.(type) {
	case json.Number:
		v, err = found.Float64()
	case string:
		v, err = parseNumber(found)
	default:
		return nil, fmt.Errorf("%s is not a number", pointer)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not a number that can be compared", pointer)
	}
	return []sample{{pointer, v}}, nil
}

// worstStatus judges all numbers and keeps the worst result: each series that was meant must be within the limits.
func worstStatus(check *healthcheck.Check, numbers []sample) healthcheck.ProbeResult {
	seen := evaluateNumber(check, numbers[0])
	for _, v := range numbers[1:] {
		if next := evaluateNumber(check, v); severity(next.Status) > severity(seen.Status) {
			seen = next
		}
	}
	return seen
}

func severity(h healthcheck.Health) int {
	switch h {
	case healthcheck.Healthy:
		return 0
	case healthcheck.Degraded:
		return 1
	case healthcheck.Unknown:
		return 2
	default:
		return 3
	}
}

func evaluateNumber(check *healthcheck.Check, number sample) healthcheck.ProbeResult {
	v := number.value
	shown := number.of + " is " + strconv.FormatFloat(v, 'g', -1, 64)
	limit := func(x *float64) string { return strconv.FormatFloat(*x, 'g', -1, 64) }
	switch {
	case math.IsNaN(v):
		return unknown(shown)
	case check.FailAbove != nil && v > *check.FailAbove:
		return unhealthy(shown + ", above " + limit(check.FailAbove))
	case check.FailBelow != nil && v < *check.FailBelow:
		return unhealthy(shown + ", below " + limit(check.FailBelow))
	case check.WarnAbove != nil && v > *check.WarnAbove:
		return healthcheck.ProbeResult{Status: healthcheck.Degraded, Message: shown + ", above " + limit(check.WarnAbove)}
	case check.WarnBelow != nil && v < *check.WarnBelow:
		return healthcheck.ProbeResult{Status: healthcheck.Degraded, Message: shown + ", below " + limit(check.WarnBelow)}
	default:
		return healthy(shown)
	}
}

// limited reads at most left bytes, and then fails rather than end: a number that comes later may be the one that
// matters.
type limited struct {
	from io.Reader
	left int
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLarge
	}
	n, err := l.from.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
