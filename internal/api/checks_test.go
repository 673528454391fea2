package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/api"
	"rollcall/internal/health"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

func (c *client) try(body string) answer {
	c.t.Helper()
	return c.do(http.MethodPost, "/checks", body)
}

func TestChecks_AreTriedOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprint(w, `{"version":"v7","load":5}`)
	}))
	t.Cleanup(target.Close)
	c := serve(t, api.Config{Prober: health.New(health.Config{})})
	for checks, want := range map[string]struct {
		status string
		each   []string
	}{
		``: {"healthy", []string{"http healthy <nil>"}},
		`,"health_checks":[{"type":"http","version_pointer":"/version","initial_delay":"1h","healthy_threshold":9},{"type":"tcp"},{"type":"none"}]`: {
			"healthy", []string{"http healthy v7", "tcp healthy <nil>", "none unknown <nil>"},
		},
		`,"health_checks":[{"type":"http","path":"/broken","critical":false},{"type":"metric","path":"/m","pointer":"/load","warn_above":1}]`: {
			"degraded", []string{"http unhealthy <nil>", "metric degraded <nil>"},
		},
		`,"health_checks":[{"type":"http","path":"/broken","name":"x"},{"type":"http"}]`: {"unhealthy", []string{"x unhealthy <nil>", "http healthy <nil>"}},
		`,"health_checks":[{"type":"command","command":"not-allowed"}]`:                  {"unhealthy", []string{"command unknown <nil>"}},
	} {
		asked.Store(0)
		result := c.try(`{"address":"`+target.URL+`"`+checks+`}`).want(t, http.StatusOK).object(t)
		var each []string
		list, _ := result["checks"].([]any)
		for _, item := range list {
			check, _ := item.(map[string]any)
			each = append(each, fmt.Sprint(check["name"], " ", check["status"], " ", check["version"]))
			if _, timed := check["latency_ms"].(float64); !timed {
				t.Errorf("no latency: %v", check)
			}
		}
		if result["status"] != want.status || !reflect.DeepEqual(each, want.each) {
			t.Errorf("%s: %v", checks, result)
		}
		if most := strings.Count(checks, `"http"`) + strings.Count(checks, `"metric"`); int(asked.Load()) > max(most, 1) {
			t.Errorf("%s: the target was asked %d times", checks, asked.Load())
		}
	}
}

// waiting is a prober whose probes wait for each other.
type waiting struct {
	all     chan struct{}
	here    atomic.Int32
	want    int32
	timeout atomic.Int64
}

func (w *waiting) Probe(ctx context.Context, check healthcheck.Check, _ string, _ *rollout.TLS) healthcheck.ProbeResult {
	w.timeout.Store(int64(check.Timeout))
	if until, bounded := ctx.Deadline(); !bounded || time.Until(until) > 30*time.Second {
		return healthcheck.ProbeResult{Status: healthcheck.Unhealthy, Message: "nothing bounds this"}
	}
	if w.here.Add(1) == w.want {
		close(w.all)
	}
	select {
	case <-w.all:
		return healthcheck.ProbeResult{Status: healthcheck.Healthy}
	case <-ctx.Done():
		return healthcheck.ProbeResult{Status: healthcheck.Unknown, Message: "the others never came"}
	}
}

func TestChecks_RunInParallelForHalfAMinute(t *testing.T) {
	t.Parallel()
	w := &waiting{all: make(chan struct{}), want: 20}
	c := serve(t, api.Config{Prober: w})
	list := `{"type":"tcp","timeout":"24h"}` + strings.Repeat(`,{"type":"tcp","timeout":"24h"}`, 19)
	result := c.try(`{"address":"http://a","health_checks":[`+list+`]}`).want(t, http.StatusOK).object(t)
	if result["status"] != "healthy" || time.Duration(w.timeout.Load()) != 30*time.Second {
		t.Errorf("%v, timeout %s", result, time.Duration(w.timeout.Load()))
	}
}

func TestChecks_InvalidTrialIsRefusedAtPointer(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{CheckAddress: forbid}) // without a prober: nothing is tried
	for body, pointer := range map[string]string{
		`{}`: "/address", `{"address":"a:80"}`: "/address", `{"address":"http://forbidden"}`: "/address",
		`{"address":"http://a","targets":[]}`:                                                "/targets",
		`{"address":"http://a","health_checks":[]}`:                                          "/health_checks",
		`{"address":"http://a","health_checks":[{"type":"ping"}]}`:                           "/health_checks/0/type",
		`{"address":"http://a","health_checks":[{"type":"tcp","path":"/"}]}`:                 "/health_checks/0/path",
		`{"address":"http://a","health_checks":[{"type":"http","url":"http://forbidden/"}]}`: "/health_checks/0/url",
	} {
		c.try(body).wantProblem(t, http.StatusUnprocessableEntity, pointer)
	}
	c.try(`{"address":"http://a"}`).wantProblem(t, http.StatusNotImplemented, noPointer)
	c.do(http.MethodGet, "/checks", "").wantProblem(t, http.StatusMethodNotAllowed, noPointer)
}

// TestPresets_ReadWhatFrameworksAnswer has what each framework answers, as docs/explanation/health.md names its source, and
// what it means.
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

func TestChecks_NoneReportsUnknown(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{Prober: health.New(health.Config{})})
	result := c.try(`{"address":"http://10.0.0.1","health_checks":[{"type":"none"}]}`).want(t, http.StatusOK).object(t)
	if result["status"] != "unknown" {
		t.Errorf("%v", result)
	}
}
