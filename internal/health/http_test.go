package health

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

func TestThePathIsAppendedToTheAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ address, path, asked string }{
		{"http://h:1", "", "http://h:1/health"},
		{"http://h:1/", "/health", "http://h:1/health"},
		{"http://h:1/base", "/health", "http://h:1/base/health"},
		{"http://h:1/base/", "health", "http://h:1/base/health"},
		{"http://h:1/base?a=1", "/health?b=2&c=%20", "http://h:1/base/health?a=1&b=2&c=%20"},
		{"http://h:1/base", "/x/?full", "http://h:1/base/x/?full"},
		{"https://[::1]:1", "//evil/", "https://[::1]:1/evil/"},
		{"http://h:1/a%2Fb", "/c%20d", "http://h:1/a%2Fb/c%20d"},
	} {
		u, err := endpoint(&rollout.Check{Path: test.path}, test.address, defaultHealthPath)
		if err != nil || u.String() != test.asked {
			t.Errorf("%s and %s: %v %v, want %s", test.address, test.path, u, err, test.asked)
		}
	}
	for _, bad := range []rollout.Check{{Path: "/%zz"}, {URL: "ftp://h/"}, {URL: "/health"}} {
		bad.Type = "http"
		want(t, probe(t, bad, "http://h:1"), rollout.HealthUnknown, "")
	}
	want(t, probe(t, rollout.Check{Type: "http"}, "10.0.0.1"), rollout.HealthUnknown, "http or https URL")
}

func TestTheRequestIsAsTheCheckSays(t *testing.T) {
	t.Parallel()
	var got *http.Request
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
	want(t, probe(t, rollout.Check{Type: "http"}, url), rollout.Healthy, "HTTP 200")
	if got.Method != http.MethodGet || got.URL.Path != "/health" || got.UserAgent() != outbound.DefaultUserAgent {
		t.Errorf("%s %s by %s", got.Method, got.URL, got.UserAgent())
	}
	check := rollout.Check{Type: "http", Method: "post", URL: url + "/x?y=1", Headers: map[string]secret.Secret{
		"Host": "web.example", "Authorization": "Bearer t", "user-agent": "mine",
	}}
	want(t, probe(t, check, "not used"), rollout.Healthy, "HTTP 200")
	if got.Method != http.MethodPost || got.RequestURI != "/x?y=1" || got.Host != "web.example" ||
		got.Header.Get("Authorization") != "Bearer t" || got.UserAgent() != "mine" {
		t.Errorf("%s %s %s %v", got.Method, got.RequestURI, got.Host, got.Header)
	}
}

func TestTheStatusMustBeExpected(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		expected []string
		code     int
		status   rollout.Health
	}{
		{nil, 200, rollout.Healthy},
		{nil, 299, rollout.Healthy},
		{nil, 302, rollout.HealthUnhealthy},
		{nil, 503, rollout.HealthUnhealthy},
		{[]string{"204"}, 204, rollout.Healthy},
		{[]string{"204"}, 200, rollout.HealthUnhealthy},
		{[]string{"200", "300-399"}, 302, rollout.Healthy},
		{[]string{"503"}, 503, rollout.Healthy},
		{[]string{"200-299", "odd"}, 200, rollout.HealthUnknown},
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/health")
			w.WriteHeader(test.code)
		})
		want(t, probe(t, rollout.Check{Type: "http", ExpectedStatus: test.expected}, url), test.status, "")
	}
}

func TestNoAnswerIsUnhealthy(t *testing.T) {
	t.Parallel()
	want(t, probe(t, rollout.Check{Type: "http"}, "http://"+nobody(t)), rollout.HealthUnhealthy, "connection refused")
	l := listen(t, "127.0.0.1:0")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	want(t, probe(t, rollout.Check{Type: "http"}, "http://"+l.Addr().String()), rollout.HealthUnhealthy, "closed")
}

func TestTheExpectedTextMustBeThere(t *testing.T) {
	t.Parallel()
	url := answer200(t, "text/plain", "all is well")
	want(t, probe(t, rollout.Check{Type: "http", ExpectedBody: "is well"}, url), rollout.Healthy, "")
	want(t, probe(t, rollout.Check{Type: "http", ExpectedBody: "is bad"}, url), rollout.HealthUnhealthy, "expected text")
	late := answer200(t, "text/plain", strings.Repeat("x", outbound.MaxBody)+"is well")
	want(t, probe(t, rollout.Check{Type: "http", ExpectedBody: "is well"}, late), rollout.HealthUnhealthy, "64 KiB")
}

func TestTheVersionIsReadFromTheAnswer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ body, pointer, version, message string }{
		{`{"version":"v2"}`, "/version", "v2", "HTTP 200"},
		{`{"build":{"number":1.20}}`, "/build/number", "1.20", "HTTP 200"},
		{`{"a/b":[{"~":"v3"}]}`, "/a~1b/0/~0", "v3", "HTTP 200"},
		{`"v4"`, "", "", "HTTP 200"}, // an empty pointer is none
		{`{"version":null}`, "/version", "", "neither text nor a number"},
		{`{"version":{"x":1}}`, "/version", "", "neither text nor a number"},
		{`{"version":""}`, "/version", "", "empty"},
		{`{"version":"v\u0000"}`, "/version", "", "control characters"},
		{`{"version":"` + strings.Repeat("é", maxVersion) + `"}`, "/version", strings.Repeat("é", maxVersion), "HTTP 200"},
		{`{"version":"` + strings.Repeat("é", maxVersion+1) + `"}`, "/version", "", "longer than 200"},
		{`{}`, "/version", "", "has no /version"},
		{`[1]`, "/01", "", "has no /01"},
		{`ok`, "/version", "", "not JSON"},
		{`{"version":"v2"} x`, "/version", "", "not JSON"},
		{`{"version":"v2"}`, "version", "", "does not begin with /"},
		{`{"version":"v2","x":"` + strings.Repeat("x", outbound.MaxBody) + `"}`, "/version", "", "64 KiB"},
	} {
		got := probe(t, rollout.Check{Type: "http", VersionPointer: test.pointer}, answer200(t, "application/json", test.body))
		want(t, got, rollout.Healthy, test.message)
		if got.Version != test.version {
			t.Errorf("%.40s: version %q, want %q", test.body, got.Version, test.version)
		}
	}
}

func TestAnUnhealthyTargetStillSaysWhatItRuns(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"version":"v1"}`)
	})
	got := probe(t, rollout.Check{Type: "http", VersionPointer: "/version"}, url)
	want(t, got, rollout.HealthUnhealthy, "HTTP 503")
	if got.Version != "v1" {
		t.Errorf("version %q", got.Version)
	}
}

func TestHealthJSONIsBelieved(t *testing.T) {
	t.Parallel()
	const media = "application/health+json; charset=utf-8"
	for body, status := range map[string]rollout.Health{
		`{"status":"pass"}`: rollout.Healthy, `{"status":"ok"}`: rollout.Healthy, `{"status":"UP"}`: rollout.Healthy,
		`{"status":"warn","output":"disk"}`: rollout.HealthDegraded,
		`{"status":"fail"}`:                 rollout.HealthUnhealthy, `{"status":"error"}`: rollout.HealthUnhealthy,
		`{"status":"down"}`: rollout.HealthUnhealthy, `{"status":"odd"}`: rollout.HealthUnknown,
		`{}`: rollout.HealthUnknown, `{"status":1}`: rollout.HealthUnknown, `fail`: rollout.HealthUnknown,
		`{"status":"pass","x":"` + strings.Repeat("x", outbound.MaxBody) + `"}`: rollout.HealthUnhealthy,
	} {
		want(t, probe(t, rollout.Check{Type: "http"}, answer200(t, media, body)), status, "HTTP 200")
	}
	other := answer200(t, "application/json", `{"status":"fail"}`)
	want(t, probe(t, rollout.Check{Type: "http"}, other), rollout.Healthy, "HTTP 200")
}

func TestABodyThatNeverEndsMattersOnlyWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	short := rollout.Duration(200 * time.Millisecond)
	want(t, probe(t, rollout.Check{Type: "http"}, url), rollout.Healthy, "HTTP 200")
	want(t, probe(t, rollout.Check{Type: "http", Timeout: short, VersionPointer: "/v"}, url),
		rollout.HealthUnhealthy, "within")
}

func TestEachProbeUsesAConnectionOfItsOwn(t *testing.T) {
	t.Parallel()
	var dialled atomic.Int32
	l := listen(t, "127.0.0.1:0")
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	closed := make(chan struct{}, 10)
	server.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			dialled.Add(1)
		case http.StateClosed:
			closed <- struct{}{}
		default:
		}
	}
	go server.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(func() { _ = server.Close() })
	c := New(Config{})
	for range 3 {
		want(t, c.Probe(t.Context(), rollout.Check{Type: "http"}, "http://"+l.Addr().String(), nil), rollout.Healthy, "")
		<-closed
	}
	if dialled.Load() != 3 {
		t.Errorf("%d connections", dialled.Load())
	}
}

func TestATargetThatRepeatsACredentialIsQuotedWithoutIt(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			_, _ = io.WriteString(w, `{"v":"`+r.Header.Get("Authorization")+`"}`)
			return
		}
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, strings.Repeat("x", 195)+r.Header.Get("Authorization"))
	})
	check := rollout.Check{Type: "http", Headers: map[string]secret.Secret{"Authorization": "hunter2-hunter2"}}
	got := probe(t, check, url)
	want(t, got, rollout.HealthUnhealthy, "HTTP 418")
	if strings.Contains(got.Message, "hunt") {
		t.Errorf("message %q", got.Message)
	}
	check.Path, check.VersionPointer = "/version", "/v"
	if got := probe(t, check, url); got.Version != "***" {
		t.Errorf("version %q", got.Version)
	}
}
