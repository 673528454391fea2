package traffic

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"rollcall/internal/routing"
)

// endpoint is a router behind a URL: it stores the last write, and returns it.
type endpoint struct {
	t      *testing.T
	server *httptest.Server

	mu    sync.Mutex
	next  fault
	last  webhookBody
	posts int
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{t: t}
	e.server = httptest.NewServer(e)
	t.Cleanup(e.server.Close)
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		e.serveReading(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	switch e.applyWrite(body) {
	case hangs:
		<-r.Context().Done()
	case refuses:
		http.Error(w, "absent", http.StatusUnprocessableEntity)
	case loses:
		panic(http.ErrAbortHandler)
	}
}

// applyWrite applies a write as the fault has it.
func (e *endpoint) applyWrite(body []byte) fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.posts++
	now := e.next
	e.next = ""
	if now == hangs || now == refuses {
		return now
	}
	if err := json.Unmarshal(body, &e.last); err != nil {
		e.t.Errorf("the write is no JSON: %v", err)
	}
	if now == drifts {
		e.last.NewWeight, e.last.Backends[0].Weight = 7, 7
	}
	return now
}

func (e *endpoint) serveReading(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if q := r.URL.Query(); q.Get("service") != "checkout" || q.Get("environment") != "production" {
		http.Error(w, "which service?", http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"deployment_id": e.last.DeploymentID, "active_slot": e.last.ActiveSlot,
		"new_weight": e.last.NewWeight, "old_weight": e.last.OldWeight, "backends": e.last.Backends,
	})
}

func (e *endpoint) weights() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	found := map[string]int{}
	for _, b := range e.last.Backends {
		found[b.Target] = b.Weight
	}
	return found
}

func (e *endpoint) failNext(how fault) {
	if how == gone {
		e.server.Close()
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next = how
}

func webhookBench(t *testing.T) *bench {
	t.Helper()
	e := newEndpoint(t)
	d := deploymentOn(routing.Config{Type: "webhook", URL: e.server.URL + "/weights", ReadBack: true})
	return &bench{deployment: d, targets: twoTargets(), fail: e.failNext, weights: e.weights}
}
