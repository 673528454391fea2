package health

import (
	"io"
	"net/http"
	"testing"

	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
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
	check := rollout.Check{
		Type: "http", StatusPointer: "/status", PassValues: []string{"UP", "true", "1"}, WarnValues: []string{"Partially Available"},
		FailValues: []string{"DOWN"}, WarnStatus: []string{"429"}, VersionPointer: "/version",
	}
	for _, test := range []struct {
		code    int
		body    string
		status  rollout.Health
		message string
	}{
		{200, `{"status":"UP","version":"v2"}`, rollout.Healthy, `HTTP 200, status "UP"`},
		{200, `{"status":"up","version":"v2"}`, rollout.Healthy, ""},
		{200, `{"status":true,"version":"v2"}`, rollout.Healthy, ""},
		{200, `{"status":1,"version":"v2"}`, rollout.Healthy, ""},
		{200, `{"status":"Partially Available","version":"v2"}`, rollout.HealthDegraded, "Partially"},
		{200, `{"status":"DOWN","version":"v2"}`, rollout.HealthUnhealthy, `status "DOWN"`},
		{503, `{"status":"UP","version":"v2"}`, rollout.HealthUnhealthy, "HTTP 503"},
		{429, `{"status":"UP","version":"v2"}`, rollout.HealthDegraded, "HTTP 429"},
		{429, `{"status":"DOWN","version":"v2"}`, rollout.HealthUnhealthy, "DOWN"},
		{200, `{"status":"UNKNOWN","version":"v2"}`, rollout.HealthUnknown, "in none of the check's lists"},
		{200, `{"state":"UP","version":"v2"}`, rollout.HealthUnknown, "has no /status"},
		{200, `{"status":{"x":1},"version":"v2"}`, rollout.HealthUnknown, "is no word"},
	} {
		got := probe(t, check, says(t, test.code, test.body))
		want(t, got, test.status, test.message)
		if got.Version != "v2" {
			t.Errorf("%s: version %q", test.body, got.Version)
		}
	}
	want(t, probe(t, check, says(t, 200, "UP")), rollout.HealthUnknown, "not JSON")
}

func TestWords_WholeAnswerIsTheStatus(t *testing.T) {
	t.Parallel()
	check := rollout.Check{
		Type: "http", PassValues: []string{"Healthy"}, WarnValues: []string{"Degraded"}, FailValues: []string{"Unhealthy"},
	}
	for body, status := range map[string]rollout.Health{
		"Healthy": rollout.Healthy, "Healthy\r\n": rollout.Healthy, `"Healthy"`: rollout.Healthy, "Degraded": rollout.HealthDegraded,
		"Unhealthy": rollout.HealthUnhealthy, "": rollout.HealthUnknown, "Healthy or not": rollout.HealthUnknown,
	} {
		want(t, probe(t, check, says(t, 200, body)), status, "HTTP 200")
	}
	long := make([]byte, outbound.MaxBody+1)
	want(t, probe(t, check, says(t, 200, string(long))), rollout.HealthUnhealthy, "64 KiB")
}

func TestStatus_MayMeanDegraded(t *testing.T) {
	t.Parallel()
	check := rollout.Check{Type: "http", WarnStatus: []string{"429", "470-479"}, ExpectedStatus: []string{"200"}}
	for code, status := range map[int]rollout.Health{
		200: rollout.Healthy, 429: rollout.HealthDegraded, 472: rollout.HealthDegraded, 503: rollout.HealthUnhealthy,
		204: rollout.HealthUnhealthy,
	} {
		want(t, probe(t, check, serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })), status, "HTTP ")
	}
	own := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", healthJSON)
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"status":"pass"}`)
	})
	want(t, probe(t, check, own), rollout.HealthDegraded, "pass")
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
		want(t, probe(t, rollout.Check{Type: "http"}, url), rollout.HealthUnhealthy, says)
	}
	want(t, probe(t, rollout.Check{Type: "http"}, says(t, http.StatusNotModified, "")), rollout.HealthUnhealthy, "HTTP 304")
}
