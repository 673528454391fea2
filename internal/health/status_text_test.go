package health

import (
	"io"
	"net/http"
	"testing"

	"rollcall/internal/egress"
	"rollcall/internal/healthcheck"
)

func says(t *testing.T, status int, body string) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func TestWords_StatusInTheAnswerDecides(t *testing.T) {
	t.Parallel()
	check := healthcheck.Check{
		Type: "http", StatusPointer: "/status", PassValues: []string{"UP", "true", "1"}, WarnValues: []string{"Partially Available"},
		FailValues: []string{"DOWN"}, WarnStatus: []string{"429"}, VersionPointer: "/version",
	}
	for _, test := range []struct {
		code    int
		body    string
		status  healthcheck.Health
		message string
	}{
		{200, `{"status":"UP","version":"v2"}`, healthcheck.Healthy, `HTTP 200, status "UP"`},
		{200, `{"status":"up","version":"v2"}`, healthcheck.Healthy, ""},
		{200, `{"status":true,"version":"v2"}`, healthcheck.Healthy, ""},
		{200, `{"status":1,"version":"v2"}`, healthcheck.Healthy, ""},
		{200, `{"status":"Partially Available","version":"v2"}`, healthcheck.Degraded, "Partially"},
		{200, `{"status":"DOWN","version":"v2"}`, healthcheck.Unhealthy, `status "DOWN"`},
		{503, `{"status":"UP","version":"v2"}`, healthcheck.Unhealthy, "HTTP 503"},
		{429, `{"status":"UP","version":"v2"}`, healthcheck.Degraded, "HTTP 429"},
		{429, `{"status":"DOWN","version":"v2"}`, healthcheck.Unhealthy, "DOWN"},
		{200, `{"status":"UNKNOWN","version":"v2"}`, healthcheck.Unknown, "in none of the check's lists"},
		{200, `{"state":"UP","version":"v2"}`, healthcheck.Unknown, "has no /status"},
		{200, `{"status":{"x":1},"version":"v2"}`, healthcheck.Unknown, "is no word"},
	} {
		got := probe(t, check, says(t, test.code, test.body))
		want(t, got, test.status, test.message)
		if got.Version != "v2" {
			t.Errorf("%s: version %q", test.body, got.Version)
		}
	}
	want(t, probe(t, check, says(t, 200, "UP")), healthcheck.Unknown, "not JSON")
}

func TestWords_WholeAnswerIsTheStatus(t *testing.T) {
	t.Parallel()
	check := healthcheck.Check{
		Type: "http", PassValues: []string{"Healthy"}, WarnValues: []string{"Degraded"}, FailValues: []string{"Unhealthy"},
	}
	for body, status := range map[string]healthcheck.Health{
		"Healthy": healthcheck.Healthy, "Healthy\r\n": healthcheck.Healthy, `"Healthy"`: healthcheck.Healthy, "Degraded": healthcheck.Degraded,
		"Unhealthy": healthcheck.Unhealthy, "": healthcheck.Unknown, "Healthy or not": healthcheck.Unknown,
	} {
		want(t, probe(t, check, says(t, 200, body)), status, "HTTP 200")
	}
	long := make([]byte, egress.MaxBody+1)
	want(t, probe(t, check, says(t, 200, string(long))), healthcheck.Unhealthy, "64 KiB")
}

func TestStatus_MayMeanDegraded(t *testing.T) {
	t.Parallel()
	check := healthcheck.Check{Type: "http", WarnStatus: []string{"429", "470-479"}, ExpectedStatus: []string{"200"}}
	for code, status := range map[int]healthcheck.Health{
		200: healthcheck.Healthy, 429: healthcheck.Degraded, 472: healthcheck.Degraded, 503: healthcheck.Unhealthy,
		204: healthcheck.Unhealthy,
	} {
		want(t, probe(t, check, serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })), status, "HTTP ")
	}
	own := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", healthJSON)
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"status":"pass"}`)
	})
	want(t, probe(t, check, own), healthcheck.Degraded, "pass")
}

func TestRedirect_IsNamedAndNotFollowed(t *testing.T) {
	t.Parallel()
	for location, says := range map[string]string{
		"/login?next=%2Fhealth":                    "/login, and redirects are not followed",
		"https://u:p@sso.example/in?code=s3cret#f": "to https://sso.example/in, and redirects are not followed",
		"http://[bad":                              "to what is not a URL",
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
		})
		want(t, probe(t, healthcheck.Check{Type: "http"}, url), healthcheck.Unhealthy, says)
	}
	want(t, probe(t, healthcheck.Check{Type: "http"}, says(t, http.StatusNotModified, "")), healthcheck.Unhealthy, "HTTP 304")
}
