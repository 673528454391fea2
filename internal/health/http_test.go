package health

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/egress"
	"rollcall/internal/healthcheck"
	"rollcall/internal/secret"
)

func TestHTTP_PathIsAppendedToAddress(t *testing.T) {
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
		u, err := endpointURL(&healthcheck.Check{Path: test.path}, test.address, defaultHealthPath)
		if err != nil || u.String() != test.asked {
			t.Errorf("%s and %s: %v %v, want %s", test.address, test.path, u, err, test.asked)
		}
	}
	for _, bad := range []healthcheck.Check{{Path: "/%zz"}, {URL: "ftp://h/"}, {URL: "/health"}} {
		bad.Type = "http"
		want(t, probe(t, bad, "http://h:1"), healthcheck.Unknown, "")
	}
	want(t, probe(t, healthcheck.Check{Type: "http"}, "10.0.0.1"), healthcheck.Unknown, "http or https URL")
}

func TestHTTP_RequestFollowsCheck(t *testing.T) {
	t.Parallel()
	var got *http.Request
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
	want(t, probe(t, healthcheck.Check{Type: "http"}, url), healthcheck.Healthy, "HTTP 200")
	if got.Method != http.MethodGet || got.URL.Path != "/health" || got.UserAgent() != egress.DefaultUserAgent {
		t.Errorf("%s %s by %s", got.Method, got.URL, got.UserAgent())
	}
	check := healthcheck.Check{Type: "http", Method: "post", URL: url + "/x?y=1", Headers: map[string]secret.Secret{
		"Host": "web.example", "Authorization": "Bearer t", "user-agent": "mine",
	}}
	want(t, probe(t, check, "not used"), healthcheck.Healthy, "HTTP 200")
	if got.Method != http.MethodPost || got.RequestURI != "/x?y=1" || got.Host != "web.example" ||
		got.Header.Get("Authorization") != "Bearer t" || got.UserAgent() != "mine" {
		t.Errorf("%s %s %s %v", got.Method, got.RequestURI, got.Host, got.Header)
	}
}

func TestHTTP_StatusMustBeExpected(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		expected []string
		code     int
		status   healthcheck.Health
	}{
		{nil, 200, healthcheck.Healthy},
		{nil, 299, healthcheck.Healthy},
		{nil, 302, healthcheck.Unhealthy},
		{nil, 503, healthcheck.Unhealthy},
		{[]string{"204"}, 204, healthcheck.Healthy},
		{[]string{"204"}, 200, healthcheck.Unhealthy},
		{[]string{"200", "300-399"}, 302, healthcheck.Healthy},
		{[]string{"503"}, 503, healthcheck.Healthy},
		{[]string{"200-299", "odd"}, 200, healthcheck.Unknown},
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/health")
			w.WriteHeader(test.code)
		})
		want(t, probe(t, healthcheck.Check{Type: "http", ExpectedStatus: test.expected}, url), test.status, "")
	}
}

func TestHTTP_NoResponseIsUnhealthy(t *testing.T) {
	t.Parallel()
	want(t, probe(t, healthcheck.Check{Type: "http"}, "http://"+unusedAddress(t)), healthcheck.Unhealthy, "connection refused")
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
	want(t, probe(t, healthcheck.Check{Type: "http"}, "http://"+l.Addr().String()), healthcheck.Unhealthy, "closed")
}

func TestHTTP_ExpectedTextMustBePresent(t *testing.T) {
	t.Parallel()
	url := answer200(t, "text/plain", "all is well")
	want(t, probe(t, healthcheck.Check{Type: "http", ExpectedBody: "is well"}, url), healthcheck.Healthy, "")
	want(t, probe(t, healthcheck.Check{Type: "http", ExpectedBody: "is bad"}, url), healthcheck.Unhealthy, "expected text")
	late := answer200(t, "text/plain", strings.Repeat("x", egress.MaxBody)+"is well")
	want(t, probe(t, healthcheck.Check{Type: "http", ExpectedBody: "is well"}, late), healthcheck.Unhealthy, "64 KiB")
}

func TestHTTP_ReadsVersion(t *testing.T) {
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
		{`{"version":"v2","x":"` + strings.Repeat("x", egress.MaxBody) + `"}`, "/version", "", "64 KiB"},
	} {
		got := probe(t, healthcheck.Check{Type: "http", VersionPointer: test.pointer}, answer200(t, "application/json", test.body))
		want(t, got, healthcheck.Healthy, test.message)
		if got.Version != test.version {
			t.Errorf("%.40s: version %q, want %q", test.body, got.Version, test.version)
		}
	}
}

func TestHTTP_UnhealthyTargetReportsVersion(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"version":"v1"}`)
	})
	got := probe(t, healthcheck.Check{Type: "http", VersionPointer: "/version"}, url)
	want(t, got, healthcheck.Unhealthy, "HTTP 503")
	if got.Version != "v1" {
		t.Errorf("version %q", got.Version)
	}
}

func TestHTTP_HealthJSONDecides(t *testing.T) {
	t.Parallel()
	const media = "application/health+json; charset=utf-8"
	for body, status := range map[string]healthcheck.Health{
		`{"status":"pass"}`: healthcheck.Healthy, `{"status":"ok"}`: healthcheck.Healthy, `{"status":"UP"}`: healthcheck.Healthy,
		`{"status":"warn","output":"disk"}`: healthcheck.Degraded,
		`{"status":"fail"}`:                 healthcheck.Unhealthy, `{"status":"error"}`: healthcheck.Unhealthy,
		`{"status":"down"}`: healthcheck.Unhealthy, `{"status":"odd"}`: healthcheck.Unknown,
		`{}`: healthcheck.Unknown, `{"status":1}`: healthcheck.Unknown, `fail`: healthcheck.Unknown,
		`{"status":"pass","x":"` + strings.Repeat("x", egress.MaxBody) + `"}`: healthcheck.Unhealthy,
	} {
		want(t, probe(t, healthcheck.Check{Type: "http"}, answer200(t, media, body)), status, "HTTP 200")
	}
	other := answer200(t, "application/json", `{"status":"fail"}`)
	want(t, probe(t, healthcheck.Check{Type: "http"}, other), healthcheck.Healthy, "HTTP 200")
}

func TestHTTP_EndlessBodyMattersOnlyIfNeeded(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	short := duration.Duration(200 * time.Millisecond)
	want(t, probe(t, healthcheck.Check{Type: "http"}, url), healthcheck.Healthy, "HTTP 200")
	want(t, probe(t, healthcheck.Check{Type: "http", Timeout: short, VersionPointer: "/v"}, url),
		healthcheck.Unhealthy, "within")
}

func TestHTTP_ProbeUsesFreshConnection(t *testing.T) {
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
		want(t, c.Probe(t.Context(), healthcheck.Check{Type: "http"}, "http://"+l.Addr().String(), nil), healthcheck.Healthy, "")
		<-closed
	}
	if dialled.Load() != 3 {
		t.Errorf("%d connections", dialled.Load())
	}
}

func TestHTTP_CredentialsAreRedacted(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			_, _ = io.WriteString(w, `{"v":"`+r.Header.Get("Authorization")+`"}`)
			return
		}
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, strings.Repeat("x", 195)+r.Header.Get("Authorization"))
	})
	check := healthcheck.Check{Type: "http", Headers: map[string]secret.Secret{"Authorization": "hunter2-hunter2"}}
	got := probe(t, check, url)
	want(t, got, healthcheck.Unhealthy, "HTTP 418")
	if strings.Contains(got.Message, "hunt") {
		t.Errorf("message %q", got.Message)
	}
	check.Path, check.VersionPointer = "/version", "/v"
	if got := probe(t, check, url); got.Version != "***" {
		t.Errorf("version %q", got.Version)
	}
}
