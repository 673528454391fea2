package strategy_test

import (
	"testing"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
	"rollcall/internal/strategy/command"
	"rollcall/internal/strategy/lifecycle"
	"rollcall/internal/strategy/planner"
)

// firstWrite begins a new deployment and plans until it first writes to its router.
func firstWrite(t *testing.T, n storage.NewDeployment) map[string]int {
	t.Helper()
	s := &rollout.Snapshot{Deployment: n.Deployment, Targets: n.Targets}
	for range 20 {
		dec := planner.Plan(s, simStart)
		s.Deployment.Status = dec.Status
		for _, m := range dec.Transitions {
			lifecycle.ApplyTransition(s, m, simStart)
		}
		for _, a := range dec.Actions {
			if a.Kind != rollout.ActionSetWeights {
				continue
			}
			weights := map[string]int{}
			for _, b := range a.Route.Setting.Backends {
				weights[b.Target] = b.Weight
			}
			return weights
		}
	}
	t.Fatal("the router is never written to")
	return nil
}

// A rollback or retry of some targets must not forget that the others serve: what is called, and what has failed, gets no
// traffic for want of another target.
func TestFollowUp_OtherTargetsKeepTraffic(t *testing.T) {
	t.Parallel()
	for _, how := range []string{`{"type":"rolling"}`, `{"type":"canary","stages":[50,100]}`, `{"type":"blue_green"}`} {
		s := ended(t, rollout.StateFailed, how)
		s.Deployment.Spec.Traffic = &routing.Config{Type: "webhook"}
		s.Targets[0].State, s.Targets[0].CallsSent, s.Targets[0].Version = rollout.TargetUnchanged, 0, "v1"
		s.Targets[2].Version = "v1"
		n, err := command.NewRollback(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := firstWrite(t, n); got["t2"] != 0 || got["t1"] == 0 || got["t3"] == 0 {
			t.Errorf("rollback of %s: weights %v, and t2 has failed", how, got)
		}
	}
}
