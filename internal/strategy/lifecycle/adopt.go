package lifecycle

import (
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// TakeOver marks every call without a recorded result as unknown: its owner is gone. Such a call does
// not use up a retry. A blue-green deployment that has not begun is turned to the slot that is idle by now. A new owner does
// this once, before it plans.
func TakeOver(s *rollout.Snapshot, now time.Time) []rollout.Event {
	events := markRouterInDoubt(&s.Deployment, now)
	inheritRouterState(s)
	selectIdleSlot(s)
	for i := range s.Targets {
		t := &s.Targets[i]
		fitCheckStates(&s.Deployment.Spec, t, now)
		for c := range t.Checks {
			t.Checks[c].Probing = false
		}
		if t.Call == nil {
			continue
		}
		call, from := *t.Call, t.State
		t.Call = nil
		markInDoubt(t, now, now, call.Deadline)
		e := targetEvent(rollout.EventTargetUnknown, t, from, now, "the replica that sent this call died before recording the result")
		e.Call = &call
		events = append(events, e)
	}
	return events
}

// inheritRouterState takes what the deployment before has left at a router that cannot be read: whom it took out stays out until it
// is verified.
func inheritRouterState(s *rollout.Snapshot) {
	d := &s.Deployment
	if d.Spec.Traffic == nil || d.Spec.Traffic.Readable() || s.RouterBefore == nil {
		return
	}
	if r := RouterOf(d); r.Sent == nil {
		learnBaseline(s, &r, &routing.Reading{})
		d.Progress.Router = &r
	}
}

// fitCheckStates lets a target have the states of the checks that it is probed with. A server of an older version keeps those of
// the deployment's own.
func fitCheckStates(spec *rollout.Spec, t *rollout.Target, now time.Time) {
	if rules := spec.ProbedBy(t); len(t.Checks) < len(rules.Checks) {
		t.Checks = restartChecks(rules, now)
	}
}

// CompensateDowntime restarts health deadlines and extends the bake by the time the deployment had no owner: a bake ends
// later by as much. The successor of a dead owner does this once, before it plans.
func CompensateDowntime(s *rollout.Snapshot, now time.Time) {
	extendBake(s, now)
	for i := range s.Targets {
		t := &s.Targets[i]
		if t.Phase == rollout.PhaseInDoubt || t.Phase == rollout.PhaseVerifying {
			t.PhaseAt = now
		}
		for c := range t.Checks {
			if !t.Checks[c].UnknownSince.IsZero() {
				t.Checks[c].UnknownSince = now
			}
		}
	}
}

// extendBake lets a bake end later by the time for which probes of its targets are overdue; at most it restarts.
func extendBake(s *rollout.Snapshot, now time.Time) {
	progress := &s.Deployment.Progress
	if progress.WaveSettledAt.IsZero() || progress.Gate > 0 { // at a gate the bake is over
		return
	}
	since := now
	for i := range s.Targets {
		t := &s.Targets[i]
		checks := s.Deployment.Spec.ForTarget(t).Checks
		for c := range min(len(checks), len(t.Checks)) {
			if t.State == rollout.TargetUpdated && checks[c].Type != healthcheck.TypeNone {
				since = Earlier(since, t.Checks[c].NextAt)
			}
		}
	}
	bake := s.Deployment.Spec.Waves[progress.Wave-1].Bake.Std()
	if since.Before(progress.WaveSettledAt.Add(bake)) {
		progress.WaveSettledAt = progress.WaveSettledAt.Add(now.Sub(Later(since, progress.WaveSettledAt)))
	}
}
