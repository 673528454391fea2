package strategy

import (
	"encoding/json"
	"slices"

	"rollcall/internal/rollout"
)

// DefaultType is the strategy of a request that names none.
const DefaultType = "rolling"

// Prepare makes a deployment of what was asked for: it resolves the strategy (a JSON object, empty for the default)
// against the targets, puts these in the order of their waves, those last seen unhealthy first, and gives each its first
// state. Targets carry what the request says of them, which counts less than what is remembered; d.Spec everything but
// strategy and waves. What is wrong with the strategy is a CodeInvalid error with pointers below /strategy.
func Prepare(
	d rollout.Deployment, targets []rollout.Target, strategy json.RawMessage, remembered map[string]rollout.Remembered,
) (rollout.NewDeployment, error) {
	resolved, waves, problems := resolve(strategy, len(targets))
	if err := rollout.Invalid(problems); err != nil {
		return rollout.NewDeployment{}, err
	}
	d.Spec.Strategy, d.Spec.Waves = resolved, waves
	d.State, d.Direction, d.Reason = rollout.StatePending, rollout.Forward, "waiting to start"

	targets = slices.Clone(targets)
	for i := range targets {
		targets[i].Position = i
	}
	slices.SortStableFunc(targets, func(a, b rollout.Target) int {
		return rank(remembered[a.ID]) - rank(remembered[b.ID])
	})
	assign(&d, targets, remembered)
	d.Counts = rollout.Count(targets)
	return rollout.NewDeployment{Deployment: d, Targets: targets}, nil
}

// rank puts targets that serve badly first: they have the least to lose.
func rank(known rollout.Remembered) int {
	if known.Health == rollout.HealthUnhealthy {
		return 0
	}
	return 1
}

// assign gives each target its wave and its first state.
func assign(d *rollout.Deployment, targets []rollout.Target, remembered map[string]rollout.Remembered) {
	wave, left := 0, 0
	for i := range targets {
		for left == 0 {
			left = d.Spec.Waves[wave].Size
			wave++
		}
		left--
		t := &targets[i]
		known := remembered[t.ID]
		t.Wave, t.State, t.Phase = wave, rollout.TargetPending, rollout.PhaseNew
		t.Fence = max(t.Fence, known.Fence)
		t.Health = rollout.HealthUnknown
		if known.Health != "" {
			t.Health = known.Health
		}
		if known.Version != "" {
			t.Version = known.Version
		}
		t.Checks = freshChecks(&d.Spec)
		if t.Want == "" {
			t.Want = d.Version
		}
	}
}

// resolve reads a strategy object and fixes what it means for n targets.
func resolve(object json.RawMessage, n int) (rollout.Strategy, []rollout.Wave, []rollout.Problem) {
	p := newParams(object)
	s := rollout.Strategy{Type: p.text("type", DefaultType)}
	kind, known := define(s.Type)
	if !known {
		p.problem("type", "%q is not a strategy; known are %s", s.Type, knownTypes())
		return s, nil, p.problems
	}
	resolveCommon(p, n, &s)
	waves := kind.resolve(p, n, &s)
	p.leftovers(s.Type)
	return s, waves, p.problems
}
