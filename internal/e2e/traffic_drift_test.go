package e2e

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/slowtest"
)

// trafficStatus is what a service's status says of its router.
type trafficStatus struct {
	Type    string
	SeenAt  *time.Time `json:"seen_at"`
	Differs *string
	Error   *string
	Held    []struct{ Target, By string }
}

func (p *process) trafficStatus(service string) *trafficStatus {
	p.t.Helper()
	var status struct{ Traffic *trafficStatus }
	call(p.t, http.MethodGet, p.url+"/services/"+service+"/environments/production/status", nil, &status)
	return status.Traffic
}

// trafficEvents lists the types of a deployment's events that are about traffic.
func (p *process) trafficEvents(id string) []string {
	p.t.Helper()
	var types []string
	for _, e := range list[event](p, "/deployments/"+id+"/events") {
		if len(e.Type) > 8 && e.Type[:8] == "traffic." {
			types = append(types, e.Type)
		}
	}
	return types
}

func TestTraffic_LostDuringBakeIsSetAgain(t *testing.T) {
	t.Parallel()
	f := mixed(t, 10)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	d := p.post(routed(b, "v2", object{"type": "canary", "stages": []any{object{"percent": 10, "duration": "15s"}, object{"percent": 100, "duration": "0s"}}}))
	p.await(d.ID, "in the bake", func(d *deployment) bool { return d.Progress.Weight == 10 })
	b.restart()
	p.await(d.ID, "set again in its bake", func(d *deployment) bool {
		now, _ := b.last()
		return now.NewWeight == 10 && d.Progress.Wave == 1
	})
	end := p.awaitEnd(d.ID)
	assertEnd(p, end, "completed", true)
	b.assertSettled(p, d.ID, 100)
	if types := p.trafficEvents(d.ID); !slices.Contains(types, "traffic.drifted") {
		t.Errorf("events %v", types)
	}
	if s := p.trafficStatus("checkout"); s == nil || s.Type != "webhook" || s.SeenAt == nil || time.Since(*s.SeenAt) > time.Minute || s.Differs != nil {
		t.Errorf("the status says %+v", s)
	}
}

// A canary at 10 %, and HAProxy is restarted in it.
func TestTraffic_RestartedHAProxyGetsWeightsBack(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	f := newFleet(t, 4, "v1")
	proxy := startProxy(t, f)
	p := serve(t, dbtest.New(t))
	d := p.post(proxy.request(f, "v2", object{"type": "canary", "stages": []any{object{"percent": 10, "duration": "15s"}, object{"percent": 100, "duration": "0s"}}}))
	p.await(d.ID, "in the bake", func(d *deployment) bool { return d.Progress.Weight == 10 })
	before := proxy.weights()
	proxy.restart()
	if slices.Equal(proxy.weights(), before) {
		t.Fatalf("the restart changed nothing: %v", before)
	}
	p.await(d.ID, "set again in its bake", func(d *deployment) bool { return d.Progress.Wave == 1 && slices.Equal(proxy.weights(), before) })
	end := p.awaitEnd(d.ID)
	assertEnd(p, end, "completed", true)
	if types := p.trafficEvents(d.ID); !slices.Contains(types, "traffic.drifted") {
		t.Errorf("events %v", types)
	}
}

// Just before a switch is reported as done, the router forgets it.
func TestTraffic_LostWeightsBlockCompletion(t *testing.T) {
	t.Parallel()
	f := mixed(t, 4)
	b := newBalancer(t, f, oneSide)
	p := serve(t, dbtest.New(t))
	d := p.post(inSlots(routed(b, "v2", blueGreen(object{"keep_old_for": "8s"}))))
	p.await(d.ID, "switched", func(d *deployment) bool { return d.Progress.Weight == 100 })
	b.restart()
	assertEnd(p, p.awaitEnd(d.ID), "completed", true)
	if now, _ := b.last(); now.NewWeight != 100 || now.ActiveSlot != "green" {
		t.Errorf("it completed, and the router does %+v", now)
	}
}

// What an operator's configuration says of its servers stands when the deployment has ended, and in it the sides have their
// shares, and within a side each server its part.
func TestTraffic_ConfiguredWeightsStay(t *testing.T) {
	t.Parallel()
	configured := []int{100, 25, 60, 200}
	for name, strategy := range map[string]object{
		"rolling": {"type": "rolling"},
		"canary":  {"type": "canary", "stages": []any{object{"percent": 50, "duration": "0s"}, object{"percent": 100, "duration": "0s"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, len(configured), "v1")
			proxy := startProxyWeighted(t, f, func(i int) int { return configured[i] })
			p := serve(t, dbtest.New(t))
			d := p.awaitEnd(p.post(proxy.request(f, "v2", strategy)).ID)
			assertEnd(p, d, "completed", true)
			if got := proxy.weights(); !slices.Equal(got, configured) {
				t.Errorf("left with weights %v", got)
			}
			undone := p.awaitEnd(p.ask("/deployments/"+d.ID+"/rollback", http.StatusAccepted).ID)
			assertEnd(p, undone, "rolled_back", true)
			if got := proxy.weights(); !slices.Equal(got, configured) {
				t.Errorf("rolled back with weights %v", got)
			}
		})
	}
}

func TestTraffic_AbortRestoresOldWeights(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	proxy := startProxyWeighted(t, f, func(i int) int { return []int{40, 100, 25, 50}[i] })
	p := serve(t, dbtest.New(t))
	d := p.post(proxy.request(f, "v2", object{"type": "canary", "stages": []any{object{"percent": 20, "duration": "10m"}, 100}}))
	p.await(d.ID, "in the bake", func(d *deployment) bool { return d.Progress.Weight == 20 })
	// 215 together in full rotation, and the sides' sums stand as 20 to 80
	if got := proxy.weights(); !slices.Equal(got, []int{43, 98, 25, 49}) {
		t.Errorf("at 20 %% the weights are %v", got)
	}
	p.ask("/deployments/"+d.ID+"/abort", http.StatusOK)
	assertEnd(p, p.awaitEnd(d.ID), "aborted", false)
	if got := proxy.weights(); !slices.Equal(got, []int{0, 100, 25, 50}) {
		t.Errorf("aborted with weights %v", got)
	}
	// The next deployment knows what the first one took out, and what it weighs.
	assertEnd(p, p.awaitEnd(p.post(proxy.request(f, "v3", object{"type": "rolling"})).ID), "completed", true)
	if got := proxy.weights(); !slices.Equal(got, []int{40, 100, 25, 50}) {
		t.Errorf("in the end the weights are %v", got)
	}
}

func TestTraffic_OperatorDrainStays(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	proxy := startProxy(t, f)
	p := serve(t, dbtest.New(t))
	proxy.say("set server checkout/" + f.Targets[1].ID + " weight 0; set server checkout/" + f.Targets[2].ID + " state drain")
	d := p.awaitEnd(p.post(proxy.request(f, "v2", object{"type": "rolling"})).ID)
	assertEnd(p, d, "completed", true)
	assertRuns(t, f, allRun("v2"))
	if got := proxy.weights(); !slices.Equal(got, []int{100, 0, 100, 100}) {
		t.Errorf("left with weights %v", got)
	}
	var status struct {
		Traffic struct{ Held []struct{ Target, By string } }
	}
	call(t, http.MethodGet, p.url+"/services/checkout/environments/production/status", nil, &status)
	if held := status.Traffic.Held; len(held) != 2 || held[0].Target != f.Targets[1].ID || held[0].By != "weight" || held[1].By != "drain" {
		t.Errorf("held are %+v", held)
	}
}

// A blue-green deployment has left one slot out. A deployment that updates all of the other slot at once calls no target with
// traffic: meanwhile those that were left out serve.
func TestTraffic_ExcludedTargetsCoverCalledOnes(t *testing.T) {
	t.Parallel()
	for name, strategy := range map[string]object{
		"rolling": {"type": "rolling", "batch_size": 3, "bake": "0s"},
		"canary":  {"type": "canary", "stages": []any{object{"percent": 50, "duration": "0s"}, object{"percent": 100, "duration": "0s"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := mixed(t, 6)
			b := newBalancer(t, f, oneSide)
			b.terse = true
			p := serve(t, dbtest.New(t))
			for _, version := range []string{"v2", "v3"} {
				assertEnd(p, p.awaitEnd(p.post(inSlots(routed(b, version, blueGreen(nil)))).ID), "completed", true)
			}
			d := p.awaitEnd(p.post(inSlots(routed(b, "v4", strategy))).ID)
			assertEnd(p, d, "completed", true)
			for _, c := range f.Calls() {
				if weight := b.weightAt(c.Target, c.Received); c.DeploymentID == d.ID && weight > 0 {
					t.Errorf("%s was called while it had weight %d", c.Target, weight)
				}
			}
		})
	}
}
