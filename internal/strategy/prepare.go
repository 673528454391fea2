package strategy

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy/lifecycle"
)

// DefaultType is the strategy of a request that names none.
const DefaultType = TypeRolling

// Prepare makes a deployment of a request: it resolves the strategy (a JSON object, empty for the default)
// against the targets, puts these in the order of their waves, those last seen unhealthy first, and gives each its first
// state. Targets carry what the request says of them, which counts less than what is remembered; d.Spec everything but
// strategy and waves. What is wrong with the strategy is a CodeInvalid error with pointers below /strategy.
func Prepare(
	d rollout.Deployment, targets []rollout.Target, strategy json.RawMessage, remembered map[string]storage.TargetRecord,
) (storage.NewDeployment, error) {
	targets = slices.Clone(targets)
	resolved, waves, chosen, problems := resolveStrategy(strategy, targets, d.Spec.ActiveSlot)
	k, _ := KindOf(resolved.Type)
	if t := d.Spec.Traffic; t != nil && d.Kind == rollout.KindDeploy && len(problems) == 0 && t.Drain >= resolved.ProgressDeadline {
		problems = append(problems, problem.FieldError{
			Pointer: "/traffic/drain", Detail: "must be shorter than the strategy's progress_deadline, or no target is ever called in time",
		})
	}
	if err := problem.Invalid(problems); err != nil {
		return storage.NewDeployment{}, err
	}
	d.Spec.Strategy, d.Spec.Waves = resolved, waves
	d.Spec.ActiveSlot, d.Spec.IdleSlot = slotsOf(targets, chosen)
	d.State, d.Direction, d.Reason = rollout.StatePending, rollout.Forward, "waiting to start"
	if d.Spec.Protected {
		d.Reason = lifecycle.ReasonUnapproved
	}

	for i := range targets {
		targets[i].Position = i
		InitTarget(&d, &targets[i], remembered[targets[i].ID])
	}
	slices.SortStableFunc(targets, func(a, b rollout.Target) int {
		return updateOrder(&k, &a, chosen[a.Position]) - updateOrder(&k, &b, chosen[b.Position])
	})
	assignWaves(&d, targets)
	d.Counts = rollout.CountStates(targets)
	return storage.NewDeployment{Deployment: d, Targets: targets}, nil
}

// slotsOf names the slot that serves and the one that is updated; both are empty when all targets are taken.
func slotsOf(targets []rollout.Target, chosen []bool) (active, idle string) {
	for i := range targets {
		if chosen[i] {
			idle = targets[i].Slot
		} else {
			active = targets[i].Slot
		}
	}
	if active == "" {
		return "", ""
	}
	return active, idle
}

// InitTarget sets a target's first state and what is stored of it.
func InitTarget(d *rollout.Deployment, t *rollout.Target, known storage.TargetRecord) {
	known = known.ForAddress(t.Address)
	t.State, t.Phase = rollout.TargetPending, rollout.PhaseNew
	t.Fence = max(t.Fence, known.Fence)
	t.Health = cmp.Or(known.Health, healthcheck.Unknown)
	t.Version = cmp.Or(known.Version, t.Version)
	t.DesiredVersion = cmp.Or(t.DesiredVersion, d.Version)
	t.Checks = lifecycle.NewCheckStates(d.Spec.ProbedBy(t))
}

// updateOrder puts targets that serve badly first: they have the least to lose. Where exposure counts, those that are exposed
// already come before them. Those that no wave takes come last.
func updateOrder(k *Kind, t *rollout.Target, chosen bool) int {
	switch {
	case !chosen:
		return 3
	case k.LimitExposure && t.Version != "" && t.Version == t.DesiredVersion:
		return 0
	case t.Health == healthcheck.Unhealthy:
		return 1
	default:
		return 2
	}
}

// assignWaves sets the wave of each target, 0 when none takes it.
func assignWaves(d *rollout.Deployment, targets []rollout.Target) {
	wave, left := 0, 0
	for i := range targets {
		for left == 0 && wave < len(d.Spec.Waves) {
			left = d.Spec.Waves[wave].Size
			wave++
		}
		if left > 0 {
			targets[i].Wave = wave
			left--
		}
	}
}

// resolveStrategy reads a strategy object and fixes what it means for the targets, and which of them it takes.
func resolveStrategy(
	object json.RawMessage, targets []rollout.Target, activeSlot string,
) (s rollout.Strategy, waves []rollout.Wave, chosen []bool, problems []problem.FieldError) {
	p := newParams(object)
	s.Type = p.readString("type", DefaultType)
	k, known := KindOf(s.Type)
	if !known {
		p.addProblem("type", "%q is not a strategy; known are %s", s.Type, strings.Join(Types(), ", "))
		return s, nil, nil, p.problems
	}
	p.refused = k.rejects
	chosen = slices.Repeat([]bool{true}, len(targets))
	if k.selectTargets != nil {
		chosen = k.selectTargets(p, targets, activeSlot)
	}
	n := 0
	for _, taken := range chosen {
		if taken {
			n++
		}
	}
	resolveCommon(p, n, &s)
	waves = k.resolve(p, n, &s)
	p.rejectUnknown(s.Type)
	return s, waves, chosen, p.problems
}
