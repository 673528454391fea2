package health

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/egress"
	"rollcall/internal/healthcheck"
	"rollcall/internal/jsonpointer"
)

const (
	// defaultHealthPath is asked when a check names neither path nor url.
	defaultHealthPath = "/health"
	// healthJSON is the media type of draft-inadarei-api-health-check.
	healthJSON = "application/health+json"
)

// httpKind asks a URL and judges its answer: status line, text, and what the answer says of itself.
type httpKind struct{ out *egress.Client }

func (k httpKind) probeTarget(
	ctx context.Context, check *healthcheck.Check, address string, via connection,
) healthcheck.ProbeResult {
	began := time.Now()
	u, err := endpointURL(check, address, defaultHealthPath)
	if err != nil {
		return unknown(err.Error())
	}
	for _, list := range [][]string{check.ExpectedStatus, check.WarnStatus} {
		if _, err := statusExpected(list, 0); err != nil {
			return unknown(err.Error())
		}
	}
	resp, err := sendRequest(ctx, k.out, check, u, healthJSON+", application/json;q=0.9, */*;q=0.8", via)
	if err != nil {
		return unhealthy(egress.ErrorText(ctx, err, began))
	}
	defer resp.Body.Close() //nolint:errcheck // the answer has been read as far as it matters
	a := httpResponse{began: began, asked: u}
	if a.needsBody(check, resp) {
		a.readBody(resp.Body)
	}
	seen := a.evaluateResponse(ctx, check, resp)
	return a.addVersion(check, seen)
}

// httpResponse is the body of a response, as far as it was read.
type httpResponse struct {
	text  []byte
	began time.Time
	asked *url.URL
	// cut is true when there was more than egress.MaxBody; err says that the rest never came.
	cut bool
	err error
}

// needsBody reports whether the body can change the result. Where the status line says all, a body that never ends does
// no harm.
func (*httpResponse) needsBody(check *healthcheck.Check, resp *http.Response) bool {
	return statusCodeHealth(check, resp.StatusCode) == healthcheck.Unhealthy || check.ExpectedBody != "" || check.VersionPointer != "" ||
		readsStatusText(check) || isHealthJSON(resp)
}

// statusCodeHealth returns the health by the status line alone.
func statusCodeHealth(check *healthcheck.Check, code int) healthcheck.Health {
	if len(check.WarnStatus) > 0 {
		if warns, _ := statusExpected(check.WarnStatus, code); warns { // seen to be well-formed before
			return healthcheck.Degraded
		}
	}
	if expected, _ := statusExpected(check.ExpectedStatus, code); expected {
		return healthcheck.Healthy
	}
	return healthcheck.Unhealthy
}

// redirectAdvice is what to do about a check that is redirected.
const redirectAdvice = ": set path or url to what answers itself"

func (a *httpResponse) readBody(body io.Reader) {
	a.text, a.err = io.ReadAll(io.LimitReader(body, egress.MaxBody+1))
	if len(a.text) > egress.MaxBody {
		a.text, a.cut = a.text[:egress.MaxBody], true
	}
}

func (a *httpResponse) evaluateResponse(ctx context.Context, check *healthcheck.Check, resp *http.Response) healthcheck.ProbeResult {
	status := "HTTP " + strconv.Itoa(resp.StatusCode)
	line := statusCodeHealth(check, resp.StatusCode)
	switch {
	case line == healthcheck.Unhealthy && egress.RedirectAdvice(a.asked, resp) != "":
		return unhealthy(egress.RedirectAdvice(a.asked, resp) + redirectAdvice)
	case line == healthcheck.Unhealthy:
		return unhealthy(status + ": " + egress.Sanitize(redactHeaders(check, string(a.text))))
	case check.ExpectedBody != "" && !bytes.Contains(a.text, []byte(check.ExpectedBody)):
		return unhealthy(status + ", but " + a.incompleteReason(ctx, "the response does not contain the expected text"))
	case readsStatusText(check):
		return a.evaluateStatusText(ctx, check, status, line)
	case isHealthJSON(resp):
		return cappedAt(line, a.parseHealthJSON(ctx, status))
	case a.err != nil:
		return unhealthy(status + ", but " + a.incompleteReason(ctx, ""))
	default:
		return healthcheck.ProbeResult{Status: line, Message: status}
	}
}

// cappedAt returns what was seen, but no better than the status line.
func cappedAt(line healthcheck.Health, seen healthcheck.ProbeResult) healthcheck.ProbeResult {
	if severity(line) > severity(seen.Status) {
		seen.Status = line
	}
	return seen
}

// incompleteReason names what kept the answer from being read whole, or else says so in other words.
func (a *httpResponse) incompleteReason(ctx context.Context, otherwise string) string {
	switch {
	case a.err != nil:
		return "the answer was cut short: " + egress.ErrorText(ctx, a.err, a.began)
	case a.cut:
		return otherwise + " in its first 64 KiB"
	default:
		return otherwise
	}
}

func isHealthJSON(resp *http.Response) bool {
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && media == healthJSON
}

// parseHealthJSON believes what application/health+json says. Its words are compared without regard to case.
func (a *httpResponse) parseHealthJSON(ctx context.Context, status string) healthcheck.ProbeResult {
	var says struct {
		Status string `json:"status"`
		Output string `json:"output"`
	}
	if a.err != nil || a.cut {
		return unhealthy(status + ", but " + a.incompleteReason(ctx, "the answer does not end"))
	}
	if err := json.Unmarshal(a.text, &says); err != nil {
		return unknown(status + ", but the answer is not the JSON that it claims to be")
	}
	seen := healthy(strings.TrimSuffix(status+", status "+strconv.Quote(says.Status)+": "+says.Output, ": "))
	switch strings.ToLower(says.Status) {
	case "pass", "ok", "up":
	case "warn":
		seen.Status = healthcheck.Degraded
	case "fail", "error", "down":
		seen.Status = healthcheck.Unhealthy
	default:
		seen.Status = healthcheck.Unknown
	}
	return seen
}

// addVersion adds what the target says that it runs. An unhealthy target may say so too.
func (a *httpResponse) addVersion(check *healthcheck.Check, seen healthcheck.ProbeResult) healthcheck.ProbeResult {
	if check.VersionPointer == "" {
		return seen
	}
	found, why := a.findVersion(check.VersionPointer)
	seen.Version = found
	if why != "" {
		seen.Message += "; version unknown: " + why
	}
	return seen
}

func (a *httpResponse) findVersion(pointer string) (version, why string) {
	if a.cut {
		return "", "the answer is larger than 64 KiB"
	}
	value, err := jsonpointer.Lookup(a.text, pointer)
	if err != nil {
		return "", err.Error()
	}
	switch v := value.(type) {
	case string:
		return parseVersion(v)
	case json.Number:
		return parseVersion(v.String())
	default:
		return "", pointer + " is neither text nor a number"
	}
}

// maxVersion is how many characters a version may have, as in a request. The database would refuse some others.
const maxVersion = 200

func parseVersion(text string) (version, why string) {
	switch {
	case text == "":
		return "", "it is empty"
	case utf8.RuneCountInString(text) > maxVersion:
		return "", fmt.Sprintf("it is longer than %d characters", maxVersion)
	case strings.ContainsFunc(text, unicode.IsControl):
		return "", "it has control characters"
	default:
		return text, ""
	}
}
