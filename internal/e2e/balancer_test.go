package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"rollcall/internal/testtarget"
)

// balancer is a router behind the traffic webhook. It applies and keeps every write, and holds each against
// what the targets are doing at that moment.
type balancer struct {
	url   string
	fleet *testtarget.Fleet
	kind  string // the strategy that it serves, for what the sides' sums must be

	mu     sync.Mutex
	writes []routerWrite
	does   routerWrite
	fence  int64
	// fault says how a write is treated; nil is as it should be. shows is the weight that it claims beside the truth.
	fault func(routerWrite) fault
	lying bool
	// terse reports the sides' shares and not the targets' weights when it is read back, which is all that it has to.
	terse bool
	wrong []string
}

type routerWrite struct {
	DeploymentID string `json:"deployment_id"`
	Version      *string
	ActiveSlot   string `json:"active_slot"`
	NewWeight    int    `json:"new_weight"`
	OldWeight    int    `json:"old_weight"`
	Backends     []struct {
		Target string `json:"target"`
		Weight int    `json:"weight"`
	}
	id      string
	attempt int
	fence   int64
	applied bool
	at      time.Time
}

// fault is how a router takes a write.
type fault string

const (
	obeys      fault = ""
	refuses    fault = "refuses"
	fails      fault = "answers 500"
	failsLate  fault = "does it and answers 500"
	hangs      fault = "does not answer"
	hangsLate  fault = "does it and does not answer"
	contradict fault = "says yes and reads back another weight"
)

// newBalancer starts a router for the fleet's targets.
func newBalancer(t testing.TB, f *testtarget.Fleet, kind string) *balancer {
	t.Helper()
	b := &balancer{fleet: f, kind: kind}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /weights", b.write)
	mux.HandleFunc("GET /weights", b.read)
	server := httptest.NewServer(mux)
	b.url = server.URL + "/weights"
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, wrong := range b.wrong {
			t.Error(wrong)
		}
		if t.Failed() {
			for _, w := range b.writes {
				t.Logf("%s fence %d attempt %d applied %t: %d:%d %q %v",
					w.at.Format(time.TimeOnly+".000"), w.fence, w.attempt, w.applied, w.NewWeight, w.OldWeight, w.ActiveSlot, w.Backends)
			}
		}
	})
	return b
}

// traffic is the part of a request that names the router.
func (b *balancer) traffic() object {
	return object{"type": "webhook", "url": b.url, "read_back": true, "timeout": "5s", "retries": 2, "backoff": "50ms"}
}

// faulty has the router treat writes as fault says from now on.
func (b *balancer) faulty(fault func(routerWrite) fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = fault
}

// restart has the router forget what was set: all targets share traffic alike.
func (b *balancer) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	forgotten := routerWrite{}
	for _, backend := range b.does.Backends {
		backend.Weight = 100
		forgotten.Backends = append(forgotten.Backends, backend)
	}
	b.does = forgotten
}

// weightAt is the weight that a target had at some time, by what was written before it.
func (b *balancer) weightAt(target string, at time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	weight := 0
	for _, w := range b.writes {
		for _, backend := range w.Backends {
			if w.applied && w.at.Before(at) && backend.Target == target {
				weight = backend.Weight
			}
		}
	}
	return weight
}

func (b *balancer) write(w http.ResponseWriter, r *http.Request) {
	var asked routerWrite
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	asked.id, asked.at = r.Header.Get("Webhook-Id"), time.Now()
	asked.attempt, _ = strconv.Atoi(r.Header.Get("Rollcall-Attempt"))
	asked.fence, _ = strconv.ParseInt(r.Header.Get("Rollcall-Fence"), 10, 64)
	switch treated := b.take(asked); treated {
	case refuses:
		http.Error(w, "not this one", http.StatusBadRequest)
	case fails, failsLate:
		http.Error(w, "broken", http.StatusInternalServerError)
	case hangs, hangsLate:
		<-r.Context().Done()
	case stale:
		http.Error(w, "a newer write was seen", http.StatusConflict)
	}
}

const stale fault = "has seen a newer write"

// take applies a write, or not, and says how it is answered.
func (b *balancer) take(w routerWrite) fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	treated := obeys
	if b.fault != nil {
		treated = b.fault(w)
	}
	switch {
	case w.fence < b.fence:
		treated = stale
	case treated == obeys, treated == failsLate, treated == hangsLate, treated == contradict:
		w.applied = true
		b.does = w
		b.lying = treated == contradict
		b.judge(w)
	}
	if w.fence == b.fence && treated != stale {
		b.accuse("fence %d came twice", w.fence)
	}
	b.fence = max(b.fence, w.fence)
	b.writes = append(b.writes, w)
	return treated
}

func (b *balancer) read(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	weight := b.does.NewWeight
	if b.lying {
		weight = 7
	}
	does := object{
		"deployment_id": b.does.DeploymentID, "active_slot": b.does.ActiveSlot, "new_weight": weight, "old_weight": b.does.OldWeight,
	}
	if !b.terse {
		does["backends"] = b.does.Backends
	}
	_ = json.NewEncoder(w).Encode(does) // a caller that left needs no error
}

// judge holds a write against the targets: none that is being called gets traffic, and those that run the new version
// get the new side's share, neither more nor less.
func (b *balancer) judge(w routerWrite) {
	open := map[string]bool{}
	for _, c := range b.fleet.Calls() {
		open[c.Target] = open[c.Target] || c.Answered.IsZero()
	}
	total, onNew := 0, 0
	for _, backend := range w.Backends {
		total += backend.Weight
		if backend.Weight > 0 && open[backend.Target] && b.kind != oneSide {
			b.accuse("%s gets weight %d while it is being called", backend.Target, backend.Weight)
		}
		if w.Version != nil && b.fleet.Target(backend.Target).Version() == *w.Version {
			onNew += backend.Weight
		}
	}
	switch {
	case total == 0 || w.NewWeight+w.OldWeight != 100 || len(w.Backends) != len(b.fleet.Targets):
		b.accuse("a write of %d:%d with weights %v", w.NewWeight, w.OldWeight, w.Backends)
	case w.Version == nil: // targets go to different versions
	case b.kind == oneSide && w.NewWeight == 100 && onNew != total:
		b.accuse("switched with %d of %d on the new version", onNew, total)
	case b.kind == twoSides && onNew*100 != w.NewWeight*total:
		b.accuse("%d of %d go to targets on the new version, not %d %%", onNew, total, w.NewWeight)
	case b.kind == byCount && w.NewWeight > 0 && onNew*100/total != w.NewWeight:
		b.accuse("%d of %d go to targets on the new version, and it says %d %%", onNew, total, w.NewWeight)
	}
}

// What the weights of the sides must be: as the shares say, as many as there are targets, or all on one side.
const (
	twoSides = "two sides"
	byCount  = "by count"
	oneSide  = "one side"
)

func (b *balancer) accuse(format string, args ...any) {
	b.wrong = append(b.wrong, fmt.Sprintf("the router, write %d: ", len(b.writes)+1)+fmt.Sprintf(format, args...))
}

// all lists the writes that came, in order.
func (b *balancer) all() []routerWrite {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.writes)
}

// shares lists the new side's shares one after the other, as the router did them.
func (b *balancer) shares() []int {
	var shares []int
	for _, w := range b.all() {
		if w.applied {
			shares = append(shares, w.NewWeight)
		}
	}
	return slices.Compact(shares)
}

// last is what the router does now, and the weights of the targets in the fleet's order.
func (b *balancer) last() (routerWrite, []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	weights := make([]int, len(b.fleet.Targets))
	for _, backend := range b.does.Backends {
		weights[slices.Index(b.fleet.Targets, b.fleet.Target(backend.Target))] = backend.Weight
	}
	return b.does, weights
}

// assertSettled checks how the router was left, and that each write had been written down before with its number.
func (b *balancer) assertSettled(p *process, id string, newWeight int) {
	p.t.Helper()
	if now, _ := b.last(); now.NewWeight != newWeight {
		p.t.Errorf("the router was left at %d:%d", now.NewWeight, now.OldWeight)
	}
	written := map[string]bool{}
	for _, e := range list[event](p, "/deployments/"+id+"/events") {
		if e.Type == "traffic.intent" {
			written[fmt.Sprint(e.Call.WebhookID, " ", e.Call.Attempt, " ", e.Call.Fence)] = true
		}
	}
	attempts := map[string]int{}
	for _, w := range b.all() {
		if w.DeploymentID != id {
			continue
		}
		if !written[fmt.Sprint(w.id, " ", w.attempt, " ", w.fence)] {
			p.t.Errorf("write %s, attempt %d, fence %d was never written down", w.id, w.attempt, w.fence)
		}
		if w.attempt <= attempts[w.id] {
			p.t.Errorf("write %s came with attempt %d after %d", w.id, w.attempt, attempts[w.id])
		}
		attempts[w.id] = w.attempt
	}
}

// assertDrained checks that no target was called while the router sent it traffic.
func (b *balancer) assertDrained(t testing.TB) {
	t.Helper()
	writes := b.all()
	for _, c := range b.fleet.Calls() {
		weight := -1
		for _, w := range writes {
			for _, backend := range w.Backends {
				if w.applied && w.at.Before(c.Received) && backend.Target == c.Target {
					weight = backend.Weight
				}
			}
		}
		if weight != 0 {
			t.Errorf("%s was called with weight %d", c.Target, weight)
		}
	}
}
