package traffic

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/secret"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func webhookOn(url string, readBack bool) *rollout.Deployment {
	return deploymentOn(routing.Config{Type: "webhook", URL: url, ReadBack: readBack})
}

func postWrite(t *testing.T, d *rollout.Deployment) rollout.CallResult {
	t.Helper()
	return New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(10)))
}

// written is what a router gets of one write.
func written(t *testing.T, c Config, d *rollout.Deployment, targets []rollout.Target, s routing.TrafficSplit) (http.Header, []byte) {
	t.Helper()
	var header http.Header
	var body []byte
	d.Spec.Traffic.URL = serve(t, func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
	})
	want(t, New(c).SetWeights(t.Context(), d, targets, callFor(s)), rollout.ResultDone, "HTTP 200")
	return header, body
}

func TestWebhook_WriteFollowsContract(t *testing.T) {
	t.Parallel()
	header, body := written(t, Config{UserAgent: "rollcall/test"}, webhookOn("", false), twoTargets(), setting(0))
	const contract = `{"service":"checkout","environment":"production","deployment_id":"d1","version":"v2",` +
		`"previous_version":"v1","active_slot":"blue","new_weight":0,"old_weight":100,` +
		`"backends":[{"target":"web-1","weight":0},{"target":"web-2","weight":100}]}`
	if string(body) != contract {
		t.Errorf("body %s", body)
	}
	for name, value := range map[string]string{
		"webhook-id": "msg_1", "Rollcall-Attempt": "3", "Rollcall-Fence": "42",
		"Content-Type": "application/json", "User-Agent": "rollcall/test", "webhook-signature": "",
	} {
		if header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, header.Get(name), value)
		}
	}
}

func TestWebhook_PreviousVersionIsTheSharedOne(t *testing.T) {
	t.Parallel()
	touched := func(version string) rollout.Target { return rollout.Target{CallsSent: 1, PreviousVersion: version} }
	for name, test := range map[string]struct {
		targets []rollout.Target
		want    string
	}{
		"none":      {nil, "null"},
		"untouched": {[]rollout.Target{{PreviousVersion: "v1"}}, "null"},
		"shared":    {[]rollout.Target{touched("v1"), {PreviousVersion: "v0"}, touched("v1")}, `"v1"`},
		"different": {[]rollout.Target{touched("v1"), touched("v0"), touched("v1")}, "null"},
		"unknown":   {[]rollout.Target{touched("v1"), touched("")}, "null"},
	} {
		_, body := written(t, Config{}, webhookOn("", false), test.targets, routing.TrafficSplit{})
		if !strings.Contains(string(body), `"previous_version":`+test.want+",") {
			t.Errorf("%s: %s", name, body)
		}
	}
}

func TestWebhook_MixedRollbackHasNoVersion(t *testing.T) {
	t.Parallel()
	d := webhookOn("", false)
	d.Version = ""
	_, body := written(t, Config{}, d, nil, routing.TrafficSplit{})
	if !strings.Contains(string(body), `"version":null,`) || !strings.Contains(string(body), `"backends":[]`) {
		t.Errorf("body %s", body)
	}
}

func TestWebhook_SignatureMatchesReference(t *testing.T) {
	t.Parallel()
	other := secret.Secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
	for name, test := range map[string]struct{ own, server secret.Secret }{
		"deployment's own": {serverSecret, ""}, "server's": {"", serverSecret}, "own before": {serverSecret, other},
	} {
		d := webhookOn("", false)
		d.DeploySecret = test.own
		header, body := written(t, Config{Key: test.server}, d, twoTargets(), setting(10))
		oracle, err := standardwebhooks.NewWebhook(serverSecret.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if err := oracle.Verify(body, header); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := oracle.Verify(append(body, ' '), header); err == nil {
			t.Errorf("%s: the signature does not cover the body", name)
		}
	}
}

func TestWebhook_InvalidSecretIsNotShown(t *testing.T) {
	t.Parallel()
	d := webhookOn("http://127.0.0.1:1", false)
	d.DeploySecret = "whsec_notbase64!"
	got := postWrite(t, d)
	want(t, got, rollout.ResultNotSent, "signing secret")
	if strings.Contains(got.Message, "notbase64") {
		t.Errorf("message %q", got.Message)
	}
}

func TestWebhook_StatusLineDecides(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.Header().Set("Location", "/200")
		w.WriteHeader(status)
	})
	kinds := map[int]rollout.ResultKind{
		200: rollout.ResultDone, 202: rollout.ResultDone, 204: rollout.ResultDone,
		302: rollout.ResultRefused, 308: rollout.ResultRefused, 400: rollout.ResultRefused, 404: rollout.ResultRefused,
		408: rollout.ResultRetry, 409: rollout.ResultFenced, 422: rollout.ResultRefused, 425: rollout.ResultRetry,
		429: rollout.ResultRetry, 500: rollout.ResultUnknown, 503: rollout.ResultUnknown, 504: rollout.ResultUnknown, 600: rollout.ResultUnknown,
	}
	for status, kind := range kinds {
		want(t, postWrite(t, webhookOn(fmt.Sprintf("%s/%d", url, status), false)), kind, fmt.Sprintf("HTTP %d", status))
	}
	if int(calls.Load()) != len(kinds) {
		t.Errorf("%d calls for %d writes", calls.Load(), len(kinds))
	}
}

func TestWebhook_RetryAfterIsCappedAtAMinute(t *testing.T) {
	t.Parallel()
	for value, wait := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "3600": time.Minute, "-1": 0, "soon": 0} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", value)
			http.Error(w, "not\nnow", http.StatusServiceUnavailable)
		})
		got := postWrite(t, webhookOn(url, true))
		want(t, got, rollout.ResultUnknown, "HTTP 503: not now")
		if got.RetryAfter != wait {
			t.Errorf("%q: wait %v, want %v", value, got.RetryAfter, wait)
		}
	}
}

func TestWebhook_FencedWriteIsNotReadBack(t *testing.T) {
	t.Parallel()
	var reads atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			reads.Add(1)
		}
		http.Error(w, "newer fence", http.StatusConflict)
	})
	want(t, postWrite(t, webhookOn(url, true)), rollout.ResultFenced, "HTTP 409: newer fence")
	if reads.Load() != 0 {
		t.Error("it was read back")
	}
}

func TestWebhook_WithoutReadBackIsTrusted(t *testing.T) {
	t.Parallel()
	var gets atomic.Int32
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			gets.Add(1)
		}
	})
	d := webhookOn(url, false)
	want(t, postWrite(t, d), rollout.ResultDone, "HTTP 200")
	_, err := New(Config{}).Read(t.Context(), d, twoTargets())
	if _, never := errors.AsType[routing.Refusal](err); !never || gets.Load() != 0 {
		t.Errorf("read: %v, %d requests", err, gets.Load())
	}
}

func TestWebhook_UnusableReadIsAnError(t *testing.T) {
	t.Parallel()
	for name, respond := range map[string]http.HandlerFunc{
		"HTTP 500":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"HTTP 302":        func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/else", http.StatusFound) },
		"not as expected": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"new_weight":"10"}`) },
		"closed":          func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		d := webhookOn(serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				respond(w, r)
			}
		}), true)
		want(t, postWrite(t, d), rollout.ResultDone, "HTTP 200")
		_, err := New(Config{}).Read(t.Context(), d, nil)
		if _, never := errors.AsType[routing.Refusal](err); err == nil || never || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: read: %v", name, err)
		}
	}
}

func TestWebhook_ReadsTenThousandBackends(t *testing.T) {
	t.Parallel()
	const most = 10_000
	d := webhookOn("", true)
	targets, s := make([]rollout.Target, most), setting(10)
	reported := map[string]any{"deployment_id": d.ID, "active_slot": s.ActiveSlot, "new_weight": s.NewWeight, "old_weight": s.OldWeight}
	s.Backends = make([]routing.Backend, most)
	for i := range s.Backends {
		s.Backends[i] = routing.Backend{Target: fmt.Sprintf("%s-%d", strings.Repeat("x", 30), i), Weight: 100}
		targets[i] = rollout.Target{ID: s.Backends[i].Target, Address: "http://10.0.0.1"}
	}
	reported["backends"] = s.Backends
	d.Spec.Traffic.URL = serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what is left unread would have the connection reset
		if r.Method == http.MethodGet {
			_ = json.NewEncoder(w).Encode(reported)
		}
	})
	want(t, New(Config{}).SetWeights(t.Context(), d, targets, callFor(s)), rollout.ResultDone, "")
	if reading, err := New(Config{}).Read(t.Context(), d, targets); err != nil || len(reading.Backends) != most || reading.Backends[most-1].Weight != 100 {
		t.Errorf("read %d backends, %v", len(reading.Backends), err)
	}
	reported["more"] = strings.Repeat("x", 4<<20)
	if _, err := New(Config{}).Read(t.Context(), d, targets); err == nil || !strings.Contains(err.Error(), "longer than 4 MiB") {
		t.Errorf("read: %v", err)
	}
}

func TestWebhook_ReadingMarksMissingWeights(t *testing.T) {
	t.Parallel()
	const shares = `"deployment_id":"d0","active_slot":"blue","new_weight":10,"old_weight":90.0`
	backend := func(target string, weight int) routing.BackendReading {
		return routing.BackendReading{Target: target, Weight: weight, Serving: true, Sessions: -1, Effective: 100}
	}
	for report, test := range map[string]struct {
		shares   routing.Weights
		backends []routing.BackendReading
	}{
		shares:                                    {routing.Weights{ActiveSlot: "blue", NewWeight: 10, OldWeight: 90}, nil},
		shares + `,"backends":null`:               {routing.Weights{ActiveSlot: "blue", NewWeight: 10, OldWeight: 90}, nil},
		`"deployment_id":"d0","new_weight":10.5`:  {routing.Weights{NewWeight: -1, OldWeight: -1}, nil},
		`"deployment_id":"d0","old_weight":-3`:    {routing.Weights{NewWeight: -1, OldWeight: -1}, nil},
		`"deployment_id":"d0","active_slot":null`: {routing.Weights{NewWeight: -1, OldWeight: -1}, nil},
		`"deployment_id":"d0","new_weight":1e300`: {routing.Weights{NewWeight: -1, OldWeight: -1}, nil},
		shares + `,"backends":[]`:                 {routing.Weights{ActiveSlot: "blue", NewWeight: 10, OldWeight: 90}, []routing.BackendReading{backend("web-1", -1), backend("web-2", -1)}},
		shares + `,"backends":[{"target":"web-2","weight":256},{"target":"web-1","weight":10.0},{"target":"x"}]`: {
			routing.Weights{ActiveSlot: "blue", NewWeight: 10, OldWeight: 90}, []routing.BackendReading{backend("web-1", 10), backend("web-2", 256)},
		},
	} {
		d := webhookOn(serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{"+report+"}") }), true)
		got, err := New(Config{}).Read(t.Context(), d, twoTargets())
		if err != nil || got.DeploymentID != "d0" || *got.Weights != test.shares || !slices.Equal(got.Backends, test.backends) {
			t.Errorf("%s: %+v %+v, %v", report, got, got.Weights, err)
		}
	}
}

func TestWebhook_ReadKeepsQuery(t *testing.T) {
	t.Parallel()
	var query string
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { query = r.URL.RawQuery })
	d := webhookOn(url+"/r?key=a+b&x", true)
	d.Service = "a&b"
	_, _ = New(Config{}).Read(t.Context(), d, nil)
	if query != "key=a+b&x&environment=production&service=a%26b" {
		t.Errorf("query %q", query)
	}
}

func TestWebhook_URLIsNotShown(t *testing.T) {
	t.Parallel()
	l := listener(t, "tcp", "127.0.0.1:0")
	_ = l.Close()
	for _, url := range []string{"http://user:hush@" + l.Addr().String() + "/?token=hush", "http://user:hush@[::1/"} {
		d := webhookOn(url, true)
		_, err := New(Config{}).Read(t.Context(), d, nil)
		if got := postWrite(t, d); err == nil || strings.Contains(got.Message+err.Error(), "hush") {
			t.Errorf("%q, %v", got.Message, err)
		}
	}
}

func TestWebhook_FailedHandshakeIsNotSent(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	want(t, postWrite(t, webhookOn(s.URL, false)), rollout.ResultNotSent, "certificate")
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	trusting := New(Config{TLS: &tls.Config{RootCAs: roots}})
	got := trusting.SetWeights(t.Context(), webhookOn(s.URL, false), nil, callFor(setting(10)))
	want(t, got, rollout.ResultRefused, "HTTP 404")
}

func TestWebhook_DialDecidesAddress(t *testing.T) {
	t.Parallel()
	var networks []string
	guarded := New(Config{Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
		networks = append(networks, network)
		return nil, errors.New("this server may not call that address")
	}})
	for _, traffic := range []routing.Config{
		{Type: "webhook", URL: "http://10.0.0.1/"},
		{Type: "haproxy", Socket: "unix:/run/other.sock", Backend: "checkout"},
		{Type: "haproxy", Socket: "10.0.0.1:9999", Backend: "checkout"},
	} {
		got := guarded.SetWeights(t.Context(), deploymentOn(traffic), twoTargets(), callFor(setting(10)))
		want(t, got, rollout.ResultNotSent, "may not call")
	}
	if strings.Join(networks, " ") != "tcp unix tcp" {
		t.Errorf("dialled %v", networks)
	}
}

func TestClient_UnknownRouterTypeIsRejected(t *testing.T) {
	t.Parallel()
	d := deploymentOn(routing.Config{Type: "carrier pigeon"})
	want(t, postWrite(t, d), rollout.ResultRefused, "carrier pigeon")
	d.Spec.Traffic = nil
	want(t, postWrite(t, d), rollout.ResultRefused, "names no router")
	if _, err := New(Config{}).Read(t.Context(), d, nil); err == nil {
		t.Error("it was read")
	}
}
