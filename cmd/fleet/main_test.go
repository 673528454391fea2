package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// rollcall is a server that answers like a Rollcall which is not ready at first, loses the first request, and is done
// after the second look.
func rollcall(t *testing.T, success bool) (*httptest.Server, *atomic.Value) {
	t.Helper()
	var readies, posts, gets atomic.Int32
	var body atomic.Value
	key := ""
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if readies.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST /deployments", func(w http.ResponseWriter, r *http.Request) {
		if posts.Add(1) == 1 {
			key = r.Header.Get("Idempotency-Key")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if got := r.Header.Get("Idempotency-Key"); got != key || key == "" {
			t.Errorf("the repeated request has the key %q, not %q", got, key)
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		body.Store(b)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":"d1","state":"pending","reason":"waits","revision":1,"result":null}`)
	})
	mux.HandleFunc("GET /deployments/d1", func(w http.ResponseWriter, r *http.Request) {
		if gets.Add(1) == 1 {
			_, _ = io.WriteString(w, `{"id":"d1","state":"in_progress","reason":"wave 1","revision":2,"result":null}`)
			return
		}
		if r.URL.Query().Get("after") != "2" {
			t.Errorf("asked %s", r.URL)
		}
		d := map[string]any{
			"id": "d1", "state": "completed", "reason": "over", "revision": 3,
			"result": map[string]any{"success": success, "duration_ms": 1500, "errors": []any{}},
		}
		if !success {
			d["state"] = "rolled_back"
		}
		_ = json.NewEncoder(w).Encode(d)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s, &body
}

func TestFleet_RequestsOneRolloutAndFollowsIt(t *testing.T) {
	t.Parallel()
	server, body := rollcall(t, true)
	var out strings.Builder
	f := demo(server.URL)
	f.Advertise = "fleet.example"
	if err := run(t.Context(), f, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 pretend targets run v1", "[v1 v1]  wave 1", "completed in 1.5 s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, &out)
		}
	}
	var sent struct {
		Version  string
		Targets  []struct{ ID, Address string }
		Strategy struct{ Type string }
	}
	raw, ok := body.Load().([]byte)
	if err := json.Unmarshal(raw, &sent); err != nil || !ok {
		t.Fatal(err)
	}
	if sent.Version != "v2" || len(sent.Targets) != 2 || sent.Targets[1].ID != "web-2" || sent.Strategy.Type != "rolling" ||
		!strings.HasPrefix(sent.Targets[0].Address, "http://fleet.example:") {
		t.Errorf("asked for %+v", sent)
	}
}

func TestFleet_FailedRolloutIsAnError(t *testing.T) {
	t.Parallel()
	server, _ := rollcall(t, false)
	if err := run(t.Context(), demo(server.URL), io.Discard); err == nil || !strings.Contains(err.Error(), "rolled_back") {
		t.Errorf("the error is %v", err)
	}
}

func TestFleet_WithoutServerGivesUpInTime(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	server.Close()
	f := demo(server.URL)
	f.ReadyWithin = 50 * time.Millisecond
	if err := run(t.Context(), f, io.Discard); err == nil || !strings.Contains(err.Error(), "no Rollcall is ready") {
		t.Errorf("the error is %v", err)
	}
}

func TestFail_InvalidValueIsRefused(t *testing.T) {
	t.Parallel()
	for id, how := range map[string]string{"web-9": "503", "web-1": "sulk", "web-2": "200"} {
		f := demo("")
		f.Fail = map[string]string{id: how}
		if err := run(t.Context(), f, io.Discard); err == nil || !strings.Contains(err.Error(), "--fail "+id+"="+how) {
			t.Errorf("--fail %s=%s: %v", id, how, err)
		}
	}
}

func demo(url string) flags {
	return flags{
		Host: "127.0.0.1", Targets: 2, Running: "v1", Deploy: url, Version: "v2", Service: "demo",
		Environment: "production", Batch: 1, ReadyWithin: 10 * time.Second,
	}
}
