package planner

import (
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// probePlan plans the probes of targets.
type probePlan struct {
	*view
	sched *schedule
	out   *rollout.Decision
}

// addProbe adds the probe of a check when it is due and none is in flight.
func (pp *probePlan) addProbe(i, check int, due time.Time) {
	state := &pp.s.Targets[i].Checks[check]
	if state.Probing || pp.spec.ProbedBy(&pp.s.Targets[i]).Checks[check].Type == healthcheck.TypeNone {
		return
	}
	due = lifecycle.Later(due, state.NextAt)
	if pp.now.Before(due) {
		pp.sched.wakeBy(due)
		return
	}
	pp.out.Actions = append(pp.out.Actions, rollout.Action{Kind: rollout.ActionProbe, Target: i, Check: check})
}

// watchTarget keeps probing a target that was verified, until the deployment ends.
func (pp *probePlan) watchTarget(i int, t *rollout.Target) {
	if t.State != rollout.TargetUpdated || pp.d.Direction == rollout.Backward {
		return
	}
	for c := range pp.rulesFor(t).Checks {
		pp.addProbe(i, c, t.Checks[c].NextAt)
	}
}

// awaitWork asks a target whose last call may still be at work what it runs, and otherwise leaves it alone.
func (pp *probePlan) awaitWork(i int, t *rollout.Target) {
	pp.noteWork(t)
	if check := pp.rulesFor(t).VersionCheck(); check >= 0 {
		pp.addProbe(i, check, time.Time{})
	}
}

// noteWork schedules the end of the work at a target, with a reason that names the target.
func (pp *probePlan) noteWork(t *rollout.Target) {
	if t.History.Earlier != "" {
		pp.sched.waitUntil("a call of an earlier deployment may still be running at "+t.ID+" until", t.History.MayRunUntil)
	} else {
		pp.sched.waitUntil("the last call to "+t.ID+" may still be running until", t.History.MayRunUntil)
	}
}

// awaitAllWork waits for the work of every call of this deployment that may still be running, and reports whether there is any.
func (pp *probePlan) awaitAllWork() bool {
	found := false
	for i := range pp.s.Targets {
		if t := &pp.s.Targets[i]; t.Touched() && pp.mayBeWorking(t) {
			pp.awaitWork(i, t)
			found = true
		}
	}
	return found
}

// awaitWorkOfFailed does what awaitAllWork does for targets that were given up while their work may be running: what they
// run in the end is what is remembered of them, and what comes next calls nothing into that work. It waits no longer than
// the deployment may take.
func (pp *probePlan) awaitWorkOfFailed() bool {
	found, deadline := false, pp.progressDeadline()
	for i := range pp.s.Targets {
		if t := &pp.s.Targets[i]; lifecycle.FailedOrUnknown(t) && pp.mayBeWorking(t) && (deadline.IsZero() || t.History.MayRunUntil.Before(deadline)) {
			pp.awaitWork(i, t)
			found = true
		}
	}
	return found
}
