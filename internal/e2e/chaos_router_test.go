package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"rollcall/internal/e2e/chaos"
)

// chaosRouter is a router that keeps what it was sent, refuses what is late, and fails late when asked to.
type chaosRouter struct {
	url     string
	service string
	// configured are the weights with which it starts, of all targets.
	configured map[string]int
	// terse has it report the sides' shares alone when it is read, which is all that it has to.
	terse bool

	mu       sync.Mutex
	writes   []chaos.Write
	restarts []chaos.Restart
	does     chaos.Write
	fence    int64
	active   string
	old      int
	late     int
}

func newChaosRouter(t testing.TB, service string, targets []string, terse bool) *chaosRouter {
	r := &chaosRouter{service: service, configured: map[string]int{}, terse: terse}
	for _, target := range targets {
		r.configured[target] = 100
	}
	r.does.Weights = r.configured
	mux := http.NewServeMux()
	mux.HandleFunc("POST /weights", r.write)
	mux.HandleFunc("GET /weights", r.read)
	server := httptest.NewServer(mux)
	r.url = server.URL + "/weights"
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return r
}

func (r *chaosRouter) failLate(times int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = times
}

// restart has the router forget what it was sent, as an HAProxy does: it has the weights of its configuration again. The
// fence is kept.
func (r *chaosRouter) restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.restarts = append(r.restarts, chaos.Restart{Service: r.service, At: time.Now(), Forgot: r.does.DeploymentID != ""})
	r.does, r.active, r.old = chaos.Write{Service: r.service, Weights: r.configured}, "", 0
}

func (r *chaosRouter) write(w http.ResponseWriter, q *http.Request) {
	var asked routerWrite
	if err := json.NewDecoder(q.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	asked.id = q.Header.Get("Webhook-Id")
	_, _ = fmt.Sscan(q.Header.Get("Rollcall-Attempt"), &asked.attempt)
	_, _ = fmt.Sscan(q.Header.Get("Rollcall-Fence"), &asked.fence)
	if status := r.take(asked); status != http.StatusOK {
		w.WriteHeader(status)
	}
}

func (r *chaosRouter) take(asked routerWrite) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	written := chaos.Write{
		Service: r.service, DeploymentID: asked.DeploymentID, WebhookID: asked.id, Attempt: asked.attempt, Fence: asked.fence,
		At: time.Now(), NewWeight: asked.NewWeight, Weights: map[string]int{}, Applied: asked.fence >= r.fence,
	}
	for _, b := range asked.Backends {
		written.Weights[b.Target] = b.Weight
	}
	written.Status = r.answer(written.Applied)
	r.writes = append(r.writes, written)
	if written.Applied {
		r.fence, r.does, r.active, r.old = asked.fence, written, asked.ActiveSlot, asked.OldWeight
	}
	return written.Status
}

func (r *chaosRouter) answer(applied bool) int {
	switch {
	case !applied:
		return http.StatusConflict
	case r.late > 0:
		r.late--
		return http.StatusInternalServerError
	default:
		return http.StatusOK
	}
}

func (r *chaosRouter) read(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	does := object{
		"deployment_id": r.does.DeploymentID, "active_slot": r.active, "new_weight": r.does.NewWeight, "old_weight": r.old,
	}
	if !r.terse {
		var backends []object
		for target, weight := range r.does.Weights {
			backends = append(backends, object{"target": target, "weight": weight})
		}
		does["backends"] = backends
	}
	_ = json.NewEncoder(w).Encode(does)
}
