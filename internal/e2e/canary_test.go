package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// mixed is a fleet in which each target runs a version of its own, and takes a moment over each call.
func mixed(t *testing.T, n int) *testtarget.Fleet {
	f := newFleet(t, n, "v1")
	for i, target := range f.Targets {
		target.SetVersion(own(i))
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay, b.Fenced = 50*time.Millisecond, true })
	}
	return f
}

// own is the version that a target of a mixed fleet ran at first.
func own(i int) string { return fmt.Sprintf("old-%d", i) }

func allRun(version string) func(int) string { return func(int) string { return version } }

// routed is a request whose traffic the balancer moves.
func routed(b *balancer, version string, strategy object) object {
	body := request(b.fleet, version, strategy)
	body["traffic"] = b.traffic()
	return body
}

func stages(duration string) object {
	return object{"type": "canary", "stages": []int{10, 50, 100}, "stage_duration": duration}
}

func assertShares(t *testing.T, b *balancer, want ...int) {
	t.Helper()
	if got := b.shares(); !slices.Equal(got, want) {
		t.Errorf("the new side's shares were %v, not %v", got, want)
	}
}

func assertEnd(p *process, d deployment, state string, success bool) {
	p.t.Helper()
	if d.State != state || d.Result.Success != success {
		p.t.Errorf("ended %s (%s): %+v", d.State, d.Reason, d.Result)
	}
}

func TestCanary_WeightRisesByStage(t *testing.T) {
	t.Parallel()
	f := mixed(t, 10)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	d := p.awaitEnd(p.post(routed(b, "v2", stages("200ms"))).ID)
	assertEnd(p, d, "completed", true)
	assertRuns(t, f, allRun("v2"))
	assertShares(t, b, 0, 10, 50, 100)
	b.assertSettled(p, d.ID, 100)
	b.assertDrained(t)
	assertTruth(p, d.ID, f)
	if _, weights := b.last(); slices.Min(weights) != slices.Max(weights) {
		t.Errorf("left with weights %v", weights)
	}
	assertStages(t, b, map[int]int{10: 1, 50: 5, 100: 5}) // the new side serves alone while the last wave is out
}

// assertStages checks how many targets had been called when each share was set for the first time.
func assertStages(t *testing.T, b *balancer, called map[int]int) {
	t.Helper()
	for share, want := range called {
		writes := b.all()
		first := writes[slices.IndexFunc(writes, func(w routerWrite) bool { return w.applied && w.NewWeight == share })]
		before := 0
		for _, c := range b.fleet.Calls() {
			if c.Received.Before(first.at) {
				before++
			}
		}
		if before != want {
			t.Errorf("%d targets had been called when the share became %d", before, share)
		}
	}
}

func TestCanary_FirstStageOfFewTargetsIsOne(t *testing.T) {
	t.Parallel()
	f := mixed(t, 3)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	d := p.awaitEnd(p.post(routed(b, "v2", stages("50ms"))).ID)
	assertEnd(p, d, "completed", true)
	assertShares(t, b, 0, 10, 50, 100)
	assertStages(t, b, map[int]int{10: 1, 50: 2})
	b.assertDrained(t)
}

func TestCanary_GateKeepsWeightUntilPromote(t *testing.T) {
	t.Parallel()
	f := mixed(t, 10)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	stage := func(percent int) object { return object{"percent": percent, "duration": "0s", "promotion": "manual"} }
	d := p.post(routed(b, "v2", object{"type": "canary", "stages": []any{stage(10), stage(50), 100}, "stage_duration": "0s"}))
	for wave, share := range []int{10, 50} {
		at := p.await(d.ID, "at its gate", func(d *deployment) bool { return d.State == "paused" && d.Progress.Wave == wave+1 })
		if want := fmt.Sprintf("stage %d of 3 (%d%%) verified; waiting for promotion", wave+1, share); !strings.HasPrefix(at.Reason, want) {
			t.Errorf("the reason is %q", at.Reason)
		}
		if now, _ := b.last(); now.NewWeight != share || at.Progress.Weight != share || len(f.Calls()) != share/10 {
			t.Errorf("at the gate of %d %%: the router does %d, the API says %d; %d calls", share, now.NewWeight, at.Progress.Weight, len(f.Calls()))
		}
		promoteAtOnce(p, d.ID, wave+1)
	}
	assertEnd(p, p.awaitEnd(d.ID), "completed", true)
	assertShares(t, b, 0, 10, 50, 100)
	promoted := 0
	for _, e := range list[event](p, "/deployments/"+d.ID+"/events") {
		if e.Type == "deployment.promoted" {
			promoted++
		}
	}
	if promoted != 2 {
		t.Errorf("promoted %d times", promoted)
	}
}

// promoteAtOnce asks eight times at the same moment for the same step.
func promoteAtOnce(p *process, id string, wave int) {
	p.t.Helper()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			res, data := call(p.t, http.MethodPost, p.url+"/deployments/"+id+"/promote", object{"wave": wave}, nil)
			if res.StatusCode != http.StatusOK {
				p.t.Errorf("promote answered %d %s", res.StatusCode, data)
			}
		})
	}
	all.Wait()
}

func TestCanary_AllDeploysFailedIsFailed(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	for name, does := range map[string]testtarget.Behaviour{
		"answers-500": {Status: 500}, "refuses": {Status: 403}, "lies": {Lie: true}, "is-reset": {Reset: testtarget.ResetBefore},
		"turns-unhealthy": {UnhealthyOn: "v2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := mixed(t, 4)
			for _, target := range f.Targets {
				target.SetBehaviour(func(b *testtarget.Behaviour) { *b = does })
			}
			b := newBalancer(t, f, twoSides)
			body := routed(b, "v2", stages("50ms"))
			body["service"], body["healthy_deadline"] = name, "1s"
			// A target that takes nothing cannot be taken back either, unless it never left its version.
			d := p.awaitEnd(p.post(body).ID)
			if d.State != "rolled_back" && d.State != "failed" || d.Result.Success || d.Result.Updated != 0 {
				t.Errorf("ended %s (%s): %+v", d.State, d.Reason, d.Result)
			}
			assertShares(t, b, 0)
			assertRuns(t, f, own)
			if stage := d.Result.Metadata.StoppedAtStage; stage == nil || *stage != 1 {
				t.Errorf("stopped at stage %v", stage)
			}
			if d.State == "rolled_back" { // else it is unknown what the target did with the rollback call
				assertTruth(p, d.ID, f)
			}
		})
	}
}

func TestCanary_UnhealthyDuringBakeRollsBack(t *testing.T) {
	t.Parallel()
	f := mixed(t, 10)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	d := p.post(routed(b, "v2", object{"type": "canary", "stages": []any{object{"percent": 50, "duration": "10m"}, 100}}))
	p.await(d.ID, "in the bake", func(d *deployment) bool { return d.Progress.Weight == 50 })
	calls := len(f.Calls())
	f.Targets[2].SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v2" })
	end := p.awaitEnd(d.ID)
	assertEnd(p, end, "rolled_back", false)
	assertRuns(t, f, own)
	assertShares(t, b, 0, 50, 0)
	b.assertSettled(p, d.ID, 0)
	b.assertDrained(t)
	assertTruth(p, d.ID, f)
	if len(f.Calls()) != 2*calls || end.Result.RolledBack != 5 {
		t.Errorf("%d calls there and %d back; %+v", calls, len(f.Calls())-calls, end.Result)
	}
	if _, weights := b.last(); slices.Min(weights) == 0 {
		t.Errorf("left with weights %v", weights)
	}
}

func TestCanary_HalfStaysInService(t *testing.T) {
	t.Parallel()
	f := mixed(t, 10)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	d := p.awaitEnd(p.post(routed(b, "v2", object{"type": "canary", "stages": []int{10, 100}, "stage_duration": "50ms"})).ID)
	assertEnd(p, d, "completed", true)
	for _, w := range b.all() {
		out := 0
		for _, backend := range w.Backends {
			if backend.Weight == 0 {
				out++
			}
		}
		if out > 5 {
			t.Errorf("%d of 10 targets are out of service at %d %%", out, w.NewWeight)
		}
	}
	if f.MaxOpen() > 5 {
		t.Errorf("%d calls at once", f.MaxOpen())
	}
	b.assertDrained(t)
	assertRuns(t, f, allRun("v2"))
	assertTruth(p, d.ID, f)
}
