package health

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"rollcall/internal/egress"
	"rollcall/internal/healthcheck"
)

// sendRequest asks u as the check says. The caller closes the body.
func sendRequest(
	ctx context.Context, out *egress.Client, check *healthcheck.Check, u *url.URL, accept string, via connection,
) (*http.Response, error) {
	method := check.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, strings.ToUpper(method), u.String(), http.NoBody)
	if err != nil {
		return nil, errors.New("the check's method is not an HTTP method")
	}
	req.Header.Set("Accept", accept)
	for name, value := range check.Headers {
		if strings.EqualFold(name, "Host") {
			req.Host = value.Reveal()
			continue
		}
		req.Header.Set(name, value.Reveal())
	}
	return out.DoReusing(req, via.trust, via.reuse) //nolint:wrapcheck // egress.ErrorText formats it
}

// redactHeaders hides the values of the check's headers in what a target says: some repeat what they are sent.
func redactHeaders(check *healthcheck.Check, message string) string {
	for _, value := range check.Headers {
		if len(value.Reveal()) >= minRedacted {
			message = strings.ReplaceAll(message, value.Reveal(), fmt.Sprint(value))
		}
	}
	return message
}

// minRedacted is the length from which a header's value is hidden: to look for a shorter one would garble every message.
const minRedacted = 4

// statusExpected reports whether code is among the codes ("204") and ranges ("200-299") of expected; none at all mean
// any 2xx.
func statusExpected(expected []string, code int) (bool, error) {
	if len(expected) == 0 {
		return code >= 200 && code < 300, nil
	}
	for _, item := range expected {
		low, high, isRange := strings.Cut(item, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(strings.TrimSpace(low))
		to, err2 := strconv.Atoi(strings.TrimSpace(high))
		if err1 != nil || err2 != nil {
			return false, fmt.Errorf("expected_status %q is neither a code nor a range", item)
		}
		if from <= code && code <= to {
			return true, nil
		}
	}
	return false, nil
}
