package lifecycle

import (
	"fmt"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// applyProbe adds what a probe found and moves the target on by it.
func applyProbe(s *rollout.Snapshot, t *rollout.Target, o rollout.Outcome, now time.Time) []rollout.Event {
	if o.Action.Call.Fence != t.Fence {
		return nil // it saw what was there before the newest call
	}
	spec := s.Deployment.Spec.ProbedBy(t)
	if o.Action.Check >= min(len(spec.Checks), len(t.Checks)) {
		return nil // it asked what the target ran before its first call, by other checks
	}
	check, state := &spec.Checks[o.Action.Check], &t.Checks[o.Action.Check]
	state.Probing = false
	state.NextAt = now.Add(check.Interval.Std())
	if o.Probe.Version != "" && t.Phase != rollout.PhaseCalling {
		t.Version = o.Probe.Version
		endDoubt(t, now)
	}
	from := t.State
	switch t.Phase {
	case rollout.PhaseNew:
		if until := t.History.MayRunUntil; o.Action.Begun.Before(until) { // what it runs may change yet
			state.NextAt, t.Version = Earlier(state.NextAt, Later(now, until)), ""
			return nil
		}
		state.NextAt = time.Time{}
		t.PreviousVersion = t.Version
		enterPhase(t, rollout.PhaseReady, t.State, now)
		return nil
	case rollout.PhaseInDoubt:
		return applyDoubtProbe(spec, t, o, now)
	case rollout.PhaseVerifying:
		*state = addProbeResult(spec, o.Action.Check, *state, o.Probe, t.ExpectedVersion(), now)
		t.Health = healthcheck.AggregateHealth(spec.Checks, t.Checks)
		if !concludeChecks(spec, t, now) {
			return nil
		}
	case rollout.PhaseSettled:
		return applyWatched(s, t, o, now)
	case rollout.PhaseReady, rollout.PhaseCalling:
		return nil
	}
	return []rollout.Event{outcomeEvent(spec, t, from, now)}
}

// concludeChecks reports a target its outcome as soon as its checks allow one, and reports whether they did.
func concludeChecks(spec *rollout.Spec, t *rollout.Target, now time.Time) bool {
	switch {
	case isVerified(spec, t):
		settleTarget(t, SuccessState(t), now)
	case spec.Waves[t.Wave-1].CheckOnly && allConcluded(t): // nothing was done that it would have to recover from
		settleWithError(t, rollout.TargetFailed, FailingCheck(spec, t), now)
	default:
		return false
	}
	return true
}

// applyWatched adds a probe of a verified target; one that becomes unhealthy counts as failed.
func applyWatched(s *rollout.Snapshot, t *rollout.Target, o rollout.Outcome, now time.Time) []rollout.Event {
	if t.State != rollout.TargetUpdated {
		return nil
	}
	spec := s.Deployment.Spec.ForTarget(t)
	check, state := &spec.Checks[o.Action.Check], &t.Checks[o.Action.Check]
	awaited := !state.UnknownSince.IsZero() && !s.Deployment.Progress.WaveSettledAt.IsZero()
	*state = addProbeResult(spec, o.Action.Check, *state, o.Probe, t.ExpectedVersion(), now)
	if awaited && (state.UnknownSince.IsZero() || state.Status == healthcheck.Unknown) {
		s.Deployment.Progress.LastProgressAt = now // the wait was for an answer, and no lack of progress
	}
	state.NextAt = now.Add(watchEvery(check, len(s.Targets)))
	t.Health = healthcheck.AggregateHealth(spec.Checks, t.Checks)
	if t.Health.Passing() {
		return nil
	}
	why := "became unhealthy after verification: "
	if state.Status == healthcheck.Unknown {
		why = fmt.Sprintf("health unknown for %s after verification: ", spec.HealthyDeadline)
	}
	settleWithError(t, rollout.TargetFailed, why+FailingCheck(spec, t), now)
	return []rollout.Event{targetEvent(rollout.EventTargetUnhealthy, t, rollout.TargetUpdated, now, t.Error)}
}
