package strategy_test

import (
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/lifecycle"
	"rollcall/internal/strategy/planner"
)

// bySlots is a blue-green deployment behind a router that can be read: blue, first in the list, is held to serve.
func bySlots(t *testing.T, targets ...rollout.Target) *rollout.Snapshot {
	t.Helper()
	d := running(t, 1, ``).Deployment
	d.Kind, d.Spec.Checks[0].HealthyThreshold = rollout.KindDeploy, 2
	d.Spec.Traffic = &routing.Config{Type: "webhook", ReadBack: true, Timeout: duration.Duration(time.Second), Retries: 3}
	n, err := strategy.Prepare(d, targets, []byte(`{"type":"blue_green"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &rollout.Snapshot{Deployment: n.Deployment, Targets: n.Targets}
}

// begunAt plans until no decision asks for another at once, and gives the first action of each kind at each target.
func begunAt(t *testing.T, s *rollout.Snapshot, now time.Time) map[string]rollout.Action {
	t.Helper()
	begun := map[string]rollout.Action{}
	for again := true; again; {
		d := planner.Plan(s, now)
		s.Deployment.Status, again = d.Status, d.Replan
		for _, m := range d.Transitions {
			lifecycle.ApplyTransition(s, m, now)
		}
		for _, a := range d.Actions {
			if a.Target < 0 {
				a, _ = lifecycle.StartRouterAction(&s.Deployment, a, now)
				begun[string(a.Kind)] = a
				continue
			}
			target, complete, _ := lifecycle.StartTargetAction(&s.Deployment, s.Targets[a.Target], a, now)
			s.Targets[a.Target] = target
			begun[string(a.Kind)+" "+target.ID] = complete
		}
	}
	return begun
}

func TestRouter_OtherSlotFoundDuringChecks(t *testing.T) {
	t.Parallel()
	s := bySlots(t,
		rollout.Target{ID: "blue", Slot: "blue", Version: oldVersion},
		rollout.Target{ID: "green-1", Slot: "green", Version: newVersion},
		rollout.Target{ID: "green-2", Slot: "green", Version: oldVersion},
	)
	first := begunAt(t, s, simStart)
	lifecycle.ApplyResult(s, rollout.Outcome{Action: first["probe green-1"], Probe: saw(newVersion)}, simStart)
	checks := begunAt(t, s, simStart.Add(time.Second))
	lifecycle.ApplyResult(s, rollout.Outcome{Action: first["ask_router"], Reading: &routing.Reading{
		DeploymentID: "before", Weights: &routing.Weights{ActiveSlot: "green", OldWeight: 100},
	}}, simStart.Add(time.Second))
	check := rollout.Outcome{Action: checks["probe green-1"], Probe: saw(newVersion)}
	check.Probe.Status = healthcheck.Unhealthy
	lifecycle.ApplyResult(s, check, simStart.Add(2*time.Second))
	for i := range s.Targets {
		if got := &s.Targets[i]; got.State != rollout.TargetPending || (got.Wave == 1) != (got.Slot == "blue") {
			t.Errorf("%s: %s in wave %d", got.ID, got.State, got.Wave)
		}
	}
}
