package planner

import (
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/lifecycle"
)

// view is what a decision is made from: the snapshot, never changed, and the status as decided so far.
type view struct {
	s    *rollout.Snapshot
	d    *rollout.Deployment
	spec *rollout.Spec
	kind strategy.Kind
	now  time.Time
	st   *rollout.Status
	// failures counts the targets whose update failed, calling the calls in flight.
	failures, calling int
}

func newView(s *rollout.Snapshot, now time.Time, st *rollout.Status) *view {
	d := &s.Deployment
	v := &view{s: s, d: d, spec: &d.Spec, now: now, st: st}
	v.kind, _ = strategy.KindOf(d.Spec.Strategy.Type)
	for i := range s.Targets {
		v.countTarget(&s.Targets[i])
	}
	if r := d.Progress.Router; r != nil && r.InFlight {
		v.calling++
	}
	return v
}

func (v *view) countTarget(t *rollout.Target) {
	if t.Phase == rollout.PhaseCalling {
		v.calling++
	}
	if t.Done() && v.failedForward(t) {
		v.failures++
	}
}

// waitedUntil returns when work of earlier deployments ends at targets of the waves that have started.
func waitedUntil(s *rollout.Snapshot) time.Time {
	var until time.Time
	for i := range s.Targets {
		if t := &s.Targets[i]; t.Wave > 0 && t.Wave <= s.Deployment.Progress.Wave {
			until = lifecycle.Later(until, t.History.WaitedUntil)
		}
	}
	return until
}

// mayBeWorking reports whether the work of an earlier call may still be running at the target.
func (v *view) mayBeWorking(t *rollout.Target) bool { return v.now.Before(t.History.MayRunUntil) }

// unknownCheck finds a verified target of which a critical check knows nothing at present.
func (v *view) unknownCheck() (t *rollout.Target, check int, found bool) {
	for i := range v.s.Targets {
		t := &v.s.Targets[i]
		if t.State != rollout.TargetUpdated {
			continue
		}
		for c := range v.rulesFor(t).Checks {
			if v.rulesFor(t).Checks[c].Critical && !t.Checks[c].UnknownSince.IsZero() {
				return t, c, true
			}
		}
	}
	return nil, 0, false
}

// rulesFor returns the spec by which the target is called and judged on its present way.
func (v *view) rulesFor(t *rollout.Target) *rollout.Spec { return v.spec.ForTarget(t) }

// failedForward reports whether a target did not get where the deployment wants it; one that was only checked was there.
func (v *view) failedForward(t *rollout.Target) bool {
	checked := t.Wave > 0 && v.spec.Waves[t.Wave-1].CheckOnly
	return !t.RollingBack && lifecycle.FailedOrUnknown(t) && !checked
}

// isPaused reports whether nothing may begin until a person says so.
func (v *view) isPaused() bool { return v.pausedByOperator() || v.pausedAutomatically() }

// pausedByOperator reports whether an operator has paused the deployment, or it is not approved: then nothing happens.
func (v *view) pausedByOperator() bool {
	return !v.d.Operator.Abort && (v.d.Operator.Pause || v.d.NeedsApproval())
}

// pausedAutomatically reports whether the deployment has stopped at a gate or after a failure: unhealthy targets still
// lose their traffic.
func (v *view) pausedAutomatically() bool {
	return !v.d.Operator.Abort && (v.d.Stop == rollout.StopPaused || v.d.Progress.Gate > 0)
}

// windingDown reports whether the deployment only waits for what is under way, or takes back what was done.
func (v *view) windingDown() bool {
	return v.d.Direction == rollout.Backward || v.d.Stop == rollout.StopHalted || v.d.Operator.Abort
}

func (v *view) hasStarted() bool { return !v.d.StartedAt.IsZero() }

// isUntouched reports whether no call has reached any target.
func (v *view) isUntouched() bool {
	return !slices.ContainsFunc(v.s.Targets, func(t rollout.Target) bool { return t.Touched() })
}

// refusedByRouter reports whether the router has refused the first look or write, and no target was called: nothing was changed.
func (v *view) refusedByRouter() bool {
	r := v.d.Progress.Router
	return v.spec.Traffic != nil && r != nil && r.Refused && !slices.ContainsFunc(v.s.Targets, func(t rollout.Target) bool { return t.Touched() })
}

// updatesInPlace reports whether a blue-green deployment updates the very targets that serve: the switch moves none of them.
func (v *view) updatesInPlace() bool {
	return v.kind.SwitchesSides && v.spec.ActiveSlot == ""
}

// usesSlots reports whether the sides are two slots, of which one serves.
func (v *view) usesSlots() bool { return v.spec.IdleSlot != "" }

// waveVerified reports whether every target of a wave is verified.
func (v *view) waveVerified(wave int) bool {
	return !slices.ContainsFunc(v.s.Targets, func(t rollout.Target) bool {
		return t.Wave == wave && t.State != rollout.TargetUpdated
	})
}

func (v *view) mayCallForward() bool {
	return !v.isPaused() && v.d.Stop == rollout.StopNone
}
