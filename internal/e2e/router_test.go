package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

func TestRolling_DrainsAndRestoresEachTarget(t *testing.T) {
	t.Parallel()
	f := mixed(t, 6)
	b := newBalancer(t, f, byCount)
	p := serve(t, dbtest.New(t))
	body := routed(b, "v2", object{"type": "rolling", "batch_size": 2})
	part[object](body, "traffic")["drain"] = "100ms"
	d := p.awaitEnd(p.post(body).ID)
	assertEnd(p, d, "completed", true)
	assertRuns(t, f, allRun("v2"))
	assertAllServe(t, b)
	b.assertSettled(p, d.ID, 100)
	b.assertDrained(t)
	assertTruth(p, d.ID, f)
	assertLeftAlone(t, b, 100*time.Millisecond)

	back := p.awaitEnd(p.ask("/deployments/"+d.ID+"/rollback", http.StatusAccepted).ID)
	assertEnd(p, back, "rolled_back", true)
	assertRuns(t, f, own)
	assertAllServe(t, b)
	b.assertDrained(t)
}

// assertAllServe checks that every target has its weight back, the same for all.
func assertAllServe(t *testing.T, b *balancer) {
	t.Helper()
	if _, weights := b.last(); slices.Min(weights) == 0 || slices.Min(weights) != slices.Max(weights) {
		t.Errorf("left with weights %v", weights)
	}
}

// assertLeftAlone checks that no target was called sooner after it was taken out than it takes to drain.
func assertLeftAlone(t *testing.T, b *balancer, drain time.Duration) {
	t.Helper()
	writes := b.all()
	for _, c := range b.fleet.Calls() {
		for _, w := range writes {
			for _, backend := range w.Backends {
				if since := c.Received.Sub(w.at); backend.Target == c.Target && backend.Weight > 0 && since > 0 && since < drain {
					t.Errorf("%s was called %s after it had traffic", c.Target, since)
				}
			}
		}
	}
}

// TestRolling_TrafficIsRestoredAtEveryEnd ends a deployment in the middle of its second wave in several ways, each
// with the same server and with one that was killed and started again.
func TestRolling_TrafficIsRestoredAtEveryEnd(t *testing.T) {
	t.Parallel()
	ends := map[string]func(p *process, f *testtarget.Fleet, id string) (state string){
		"completes": func(*process, *testtarget.Fleet, string) string { return "completed" },
		"rolls-back": func(p *process, _ *testtarget.Fleet, id string) string {
			p.ask("/deployments/"+id+"/rollback", http.StatusOK)
			return "rolled_back"
		},
		"aborts": func(p *process, _ *testtarget.Fleet, id string) string {
			p.ask("/deployments/"+id+"/abort", http.StatusOK)
			return "aborted"
		},
		"fails": func(_ *process, f *testtarget.Fleet, _ string) string {
			f.Targets[0].SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v2" })
			return "rolled_back"
		},
	}
	for name, end := range ends {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/killed=%t", name, killed), func(t *testing.T) {
				t.Parallel()
				f := mixed(t, 6)
				b := newBalancer(t, f, byCount)
				database, state := dbtest.New(t), "--state-dir="+t.TempDir()
				p := serve(t, database, state)
				d := p.post(routed(b, "v2", object{"type": "rolling", "batch_size": 2, "bake": "100ms"}))
				p.await(d.ID, "in its second wave", func(d *deployment) bool { return d.Progress.Wave == 2 && d.Progress.InFlight > 0 })
				want := end(p, f, d.ID)
				if killed {
					p.kill()
					p = serve(t, database, state)
				}
				done := p.awaitEnd(d.ID)
				assertEnd(p, done, want, want == "completed")
				assertTruth(p, d.ID, f)
				b.assertDrained(t)
				assertLeft(p, b, done)
			})
		}
	}
}

// assertLeft checks the router at the end: all serve, or, when nothing was restored, those that still run what they ran.
func assertLeft(p *process, b *balancer, d deployment) {
	p.t.Helper()
	switch d.State {
	case "completed":
		b.assertSettled(p, d.ID, 100)
	default:
		b.assertSettled(p, d.ID, 0)
	}
	if d.State != "aborted" {
		now, weights := b.last()
		if slices.Min(weights) == 0 || slices.Min(weights) != slices.Max(weights) {
			p.t.Errorf("%s with weights %v: %+v", d.State, weights, now)
		}
		return
	}
	for _, r := range list[targetResult](p, "/deployments/"+d.ID+"/targets") {
		_, weights := b.last()
		weight := weights[slices.Index(b.fleet.Targets, b.fleet.Target(r.ID))]
		if serves := r.State == "unchanged"; serves != (weight > 0) {
			p.t.Errorf("%s is %s and has weight %d", r.ID, r.State, weight)
		}
	}
}

func TestCanary_AbortSendsTrafficToOldVersion(t *testing.T) {
	t.Parallel()
	f := mixed(t, 10)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	d := p.post(routed(b, "v2", object{"type": "canary", "stages": []any{object{"percent": 50, "duration": "10m"}, 100}}))
	p.await(d.ID, "in the bake", func(d *deployment) bool { return d.Progress.Weight == 50 })
	calls := len(f.Calls())
	p.ask("/deployments/"+d.ID+"/abort", http.StatusOK)
	end := p.awaitEnd(d.ID)
	assertEnd(p, end, "aborted", false)
	assertShares(t, b, 0, 50, 0)
	assertLeft(p, b, end)
	if len(f.Calls()) != calls {
		t.Errorf("%d calls after the abort", len(f.Calls())-calls)
	}
}
