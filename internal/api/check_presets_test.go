package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"rollcall/internal/api"
	"rollcall/internal/health"
)

// TestPresets_ReadWhatFrameworksAnswer has what each framework answers, as docs/explanation/health.md names its source, and what it means.
func TestPresets_ReadWhatFrameworksAnswer(t *testing.T) {
	t.Parallel()
	answers := map[string]struct {
		code int
		body string
	}{}
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := answers[r.URL.Path]
		if !ok {
			a.code = http.StatusNotFound
		}
		w.WriteHeader(a.code)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(target.Close)
	c := serve(t, api.Config{Prober: health.New(health.Config{})})
	for _, test := range []struct {
		check, path string
		code        int
		body        string
		status      string
	}{
		{`"preset":"spring"`, "/actuator/health", 200, `{"status":"UP"}`, "healthy"},
		{`"preset":"spring"`, "/actuator/health", 503, `{"status":"DOWN"}`, "unhealthy"},
		{`"preset":"spring"`, "/actuator/health", 200, `{"status":"DOWN","components":{"db":{"status":"DOWN"}}}`, "unhealthy"},
		{`"preset":"spring"`, "/actuator/health", 200, `{"status":"OUT_OF_SERVICE"}`, "unhealthy"},
		{`"preset":"spring"`, "/actuator/health", 200, `{"status":"UNKNOWN"}`, "unknown"},
		{`"preset":"spring","pass_values":["UP","UNKNOWN"]`, "/actuator/health", 200, `{"status":"UNKNOWN"}`, "healthy"},
		{`"preset":"spring","path":"/manage/health"`, "/manage/health", 200, `{"status":"UP"}`, "healthy"},
		{`"preset":"aspnet"`, "/healthz", 200, "Healthy", "healthy"},
		{`"preset":"aspnet"`, "/healthz", 200, "Degraded", "degraded"},
		{`"preset":"aspnet"`, "/healthz", 503, "Unhealthy", "unhealthy"},
		{`"preset":"health-go"`, "/status", 200, `{"status":"OK"}`, "healthy"},
		{`"preset":"health-go"`, "/status", 200, `{"status":"Partially Available","failures":{"mail":"refused"}}`, "degraded"},
		{`"preset":"health-go"`, "/status", 503, `{"status":"Unavailable"}`, "unhealthy"},
		{`"preset":"microprofile"`, "/health/ready", 200, `{"status":"UP","checks":[]}`, "healthy"},
		{`"preset":"microprofile"`, "/health/ready", 503, `{"status":"DOWN","checks":[]}`, "unhealthy"},
		{`"preset":"consul","path":"/v1/agent/health/service/id/web1"`, "/v1/agent/health/service/id/web1", 200, `{"AggregatedStatus":"passing"}`, "healthy"},
		{`"preset":"consul","path":"/v1/agent/health/service/id/web1"`, "/v1/agent/health/service/id/web1", 429, `{"AggregatedStatus":"warning"}`, "degraded"},
		{`"preset":"consul","path":"/v1/agent/health/service/id/web1"`, "/v1/agent/health/service/id/web1", 503, `{"AggregatedStatus":"critical"}`, "unhealthy"},
	} {
		answers[test.path] = struct {
			code int
			body string
		}{test.code, test.body}
		result := c.try(`{"address":"`+target.URL+`","health_checks":[{"type":"http",`+test.check+`}]}`).want(t, http.StatusOK).object(t)
		list, _ := result["checks"].([]any)
		if seen, _ := list[0].(map[string]any); seen["status"] != test.status {
			t.Errorf("%s on %d %s: %v, not %s", test.check, test.code, test.body, seen, test.status)
		}
	}
}

func TestNone_HealthIsUnknown(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{Prober: health.New(health.Config{})})
	result := c.try(`{"address":"http://10.0.0.1","health_checks":[{"type":"none"}]}`).want(t, http.StatusOK).object(t)
	if result["status"] != "unknown" {
		t.Errorf("%v", result)
	}
}
