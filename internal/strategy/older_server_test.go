package strategy_test

import (
	"testing"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
	"rollcall/internal/strategy/planner"
)

// takenOverFromOlder is a deployment in which a server of an older version has updated t1 after it took t1 out by weight 0.
// Such a server writes down neither the weights in full rotation nor whom it has taken out.
func takenOverFromOlder(t *testing.T) *rollout.Snapshot {
	t.Helper()
	s := running(t, 3, ``)
	d, first := &s.Deployment, &s.Targets[0]
	d.Spec.Traffic = &routing.Config{Type: "haproxy"}
	first.Version, first.State, first.Phase, first.Attempts, first.CallsSent = newVersion, rollout.TargetUpdated, rollout.PhaseSettled, 1, 1
	setting := routing.TrafficSplit{OldWeight: 100, Backends: []routing.Backend{
		{Target: s.Targets[0].ID}, {Target: s.Targets[1].ID, Weight: 100}, {Target: s.Targets[2].ID, Weight: 100},
	}}
	applied := setting
	d.Progress.Router = &routing.State{
		SplitSeq: 1, Fence: 7, Applied: &applied, AppliedAt: simStart, Sent: &routing.Call{Fence: 7, Attempt: 1, Setting: setting},
	}
	return s
}

func TestOlderServer_TakenOutTargetIsRestored(t *testing.T) {
	t.Parallel()
	s := takenOverFromOlder(t)
	lifecycle.TakeOver(s, simStart)
	reading := routing.Reading{}
	for i, weight := range []int{0, 100, 100} {
		reading.Backends = append(reading.Backends, routing.BackendReading{Target: s.Targets[i].ID, Weight: weight, Serving: weight > 0})
	}
	d := &s.Deployment
	for range 20 {
		dec := planner.Plan(s, simStart)
		d.Status = dec.Status
		for _, m := range dec.Transitions {
			lifecycle.ApplyTransition(s, m, simStart)
		}
		for _, a := range dec.Actions {
			switch a.Kind {
			case rollout.ActionReadWeights:
				asked, _ := lifecycle.StartRouterAction(d, a, simStart)
				lifecycle.ApplyResult(s, rollout.Outcome{Action: asked, Result: rollout.CallResult{Kind: rollout.ResultDone}, Reading: &reading}, simStart)
			case rollout.ActionSetWeights:
				if a.Route.Setting.Backends[0].Weight == 0 {
					t.Errorf("the verified target stays out: %+v, held %+v", a.Route.Setting.Backends, d.Progress.Router.Held)
				}
				return
			}
		}
	}
	t.Error("the router is never written to")
}
