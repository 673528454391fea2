package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"rollcall"
	"rollcall/internal/api"
	"rollcall/internal/store"
)

func TestServer_UnknownPathIsAProblem(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{})
	for _, path := range []string{
		"/nope", "/deployments/", "/deployments/x/y", "/metrics", "//", "/deployments/a/targets/b",
	} {
		c.get(path).wantProblem(t, http.StatusNotFound, noPointer)
	}
	c.do("FOO", "/nope", "").wantProblem(t, http.StatusNotFound, noPointer)
}

func TestServer_MalformedIDIsNotFound(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{})
	for _, id := range []string{
		"x", "%00", "%ff", "..%2f..", "0199F2A4-5C1E-7D3A-9B60-2F1C8A7E4D11", "{0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11}",
		"0199f2a45c1e7d3a9b602f1c8a7e4d11", "0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11%20", "0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d1%31%0a",
	} {
		for _, below := range []string{"", "/targets", "/events"} {
			c.get("/deployments/"+id+below).wantProblem(t, http.StatusNotFound, noPointer)
		}
	}
}

func TestServer_WrongMethodNamesAllowed(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{})
	for path, allow := range map[string]string{
		"/deployments": "GET, POST, HEAD", "/deployments/x": "GET, HEAD", "/healthz": "GET, HEAD", "/openapi.yaml": "GET, HEAD",
	} {
		for _, method := range []string{http.MethodDelete, http.MethodOptions, "FOO"} {
			a := c.do(method, path, "")
			a.wantProblem(t, http.StatusMethodNotAllowed, noPointer)
			if got := a.Header.Get("Allow"); got != allow {
				t.Errorf("%s %s: Allow %q, want %q", method, path, got, allow)
			}
		}
	}
}

func TestServer_HeadEqualsGetWithoutBody(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{})
	a := c.do(http.MethodHead, "/healthz", "").want(t, http.StatusOK)
	if len(a.body) > 0 || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %q", a.Header, a.body)
	}
}

func TestServer_InvalidQueryIsRefused(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{})
	for query, pointer := range map[string]string{
		"limit=0": "/limit", "limit=201": "/limit", "limit=x": "/limit", "limit=": "/limit", "limit=1&limit=1": "/limit",
		"limit=99999999999999999999": "/limit", "limit=1.5": "/limit",
		"state=done": "/state", "service=A": "/service", "environment=": "/environment", "version=": "/version",
		"version=%00": "/version", "since=yesterday": "/since", "until=2025-01-01": "/until", "since=2025-13-01T00:00:00Z": "/since",
		"servcie=a": "/servcie", "dry_run=true": "/dry_run", "cursor=": "/cursor", "cursor=" + strings.Repeat("c", 513): "/cursor",
	} {
		c.get("/deployments?"+query).wantProblem(t, http.StatusUnprocessableEntity, pointer)
	}
	for _, query := range []string{"version=%ff", "%zz", "a;b"} {
		c.get("/deployments?"+query).wantProblem(t, http.StatusBadRequest, noPointer)
	}
	const one = "/deployments/0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11?"
	for query, pointer := range map[string]string{
		"wait=61s": "/wait", "wait=-1s": "/wait", "wait=soon": "/wait", "wait=30": "/wait", "after=-1": "/after", "after=x": "/after",
	} {
		c.get(one+query).wantProblem(t, http.StatusUnprocessableEntity, pointer)
	}
	c.post(with("force", "true"), "Idempotency-Key", "k").want(t, http.StatusInternalServerError) // there is no store
	c.do(http.MethodPost, "/deployments?dry_run=perhaps", with("force", "true")).
		wantProblem(t, http.StatusUnprocessableEntity, "/dry_run")
	c.do(http.MethodPost, "/deployments?dryrun=true", with("force", "true")).
		wantProblem(t, http.StatusUnprocessableEntity, "/dryrun")
}

func TestContract_IsServedUnchanged(t *testing.T) {
	t.Parallel()
	a := serve(t, api.Config{}).get("/openapi.yaml").want(t, http.StatusOK)
	if !bytes.Equal(a.body, rollcall.OpenAPI) || a.Header.Get("Content-Type") != "application/yaml" {
		t.Error("it is not the file")
	}
}

func TestIndex_NamesVersion(t *testing.T) {
	t.Parallel()
	index := serve(t, api.Config{Version: "1.2.3"}).get("/").want(t, http.StatusOK).object(t)
	if index["name"] != "rollcall" || index["version"] != "1.2.3" {
		t.Errorf("%v", index)
	}
}

func TestIndex_LinksResolve(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{Ready: func(context.Context) error { return nil }})
	links, _ := c.get("/").object(t)["links"].(map[string]any)
	for name, link := range links {
		if name != "deployments" { // needs a store
			path, _ := link.(string)
			c.get(path).want(t, http.StatusOK)
		}
	}
}

func TestStrategies_AreListedWithDefaults(t *testing.T) {
	t.Parallel()
	items, _ := serve(t, api.Config{}).get("/strategies").want(t, http.StatusOK).object(t)["items"].([]any)
	if len(items) == 0 {
		t.Fatal("no strategies")
	}
	rolling, _ := items[0].(map[string]any)
	if parameters, _ := rolling["parameters"].([]any); rolling["type"] != "rolling" || len(parameters) == 0 {
		t.Errorf("%v", rolling)
	}
}

func TestServer_ServesMetrics(t *testing.T) {
	t.Parallel()
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "up 1\n")
	})
	if a := serve(t, api.Config{Metrics: metrics}).get("/metrics").want(t, http.StatusOK); string(a.body) != "up 1\n" {
		t.Errorf("%q", a.body)
	}
}

func TestServer_PanicShowsNoDetails(t *testing.T) {
	t.Parallel()
	metrics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("hunter2") })
	handler, err := api.New(api.Config{Who: everybody{}, Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	w := newRecorder(t, handler, http.MethodGet, "/metrics")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "hunter2") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%v", w.Header())
	}
}

func TestServer_NotReadyIsUnavailable(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{Ready: func(context.Context) error { return errors.New("migrating, password=hunter2") }})
	a := c.get("/readyz")
	a.wantProblem(t, http.StatusServiceUnavailable, noPointer)
	if a.Header.Get("Retry-After") == "" || bytes.Contains(a.body, []byte("hunter2")) {
		t.Errorf("%v %s", a.Header, a.body)
	}
	c.get("/healthz").want(t, http.StatusOK)
}

func TestServer_DatabaseOutageIsReportedSoon(t *testing.T) {
	t.Parallel()
	away, err := store.Open(t.Context(), "postgres://none@127.0.0.1:1/none?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(away.Close)
	c := serve(t, api.Config{Store: away})
	began := time.Now()
	for _, path := range []string{
		"/readyz", "/deployments", "/deployments/0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11?wait=30s&after=1",
	} {
		a := c.get(path)
		a.wantProblem(t, http.StatusServiceUnavailable, noPointer)
		if a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	c.post(with("force", "true")).wantProblem(t, http.StatusServiceUnavailable, noPointer)
	c.get("/healthz").want(t, http.StatusOK)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s to say so", took)
	}
}

// lines is a log that a test can read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) all(t *testing.T) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []map[string]any
	for line := range bytes.Lines(l.text.Bytes()) {
		var entry map[string]any
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Fatal(err)
		}
		all = append(all, entry)
	}
	return all
}

func TestServer_LogsOneLinePerRequest(t *testing.T) {
	t.Parallel()
	var log lines
	handler, err := api.New(api.Config{Who: everybody{}, Log: slog.New(slog.NewJSONHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	newRecorder(t, handler, http.MethodGet, "/deployments/x/targets", "X-Request-Id", "abc-1")
	newRecorder(t, handler, http.MethodGet, "/healthz")
	all := log.all(t)
	if len(all) != 1 {
		t.Fatalf("%d lines, want 1: %v", len(all), all)
	}
	line := all[0]
	if line["route"] != "/deployments/{id}/targets" || line["request_id"] != "abc-1" || line["status"] != 404.0 {
		t.Errorf("%v", line)
	}
}

func TestServer_RequestIDMustBeValid(t *testing.T) {
	t.Parallel()
	handler, err := api.New(api.Config{Who: everybody{}, NewID: func() string { return "made" }})
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{
		"abc-1": "abc-1", "": "made", "a b": "made", "a\x1b[1m": "made", strings.Repeat("x", 129): "made",
	} {
		w := newRecorder(t, handler, http.MethodGet, "/healthz", "X-Request-Id", given)
		if got := w.Header().Get("X-Request-Id"); got != want {
			t.Errorf("%q became %q", given, got)
		}
	}
}

func TestServer_MiddlewareSeesRoute(t *testing.T) {
	t.Parallel()
	var route string
	handler, err := api.New(api.Config{Who: everybody{}, Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			route = chi.RouteContext(r.Context()).RoutePattern()
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	newRecorder(t, handler, http.MethodGet, "/deployments/x/events")
	if route != "/deployments/{id}/events" {
		t.Errorf("route %q", route)
	}
}
