package planner

import (
	"fmt"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// awaitWork asks a target whose last call may still be at work what it runs, and otherwise leaves it alone.
func (p *planner) awaitWork(i int, t *rollout.Target) {
	p.noteWork(t)
	if check := p.rulesFor(t).VersionCheck(); check >= 0 {
		p.addProbe(i, check, time.Time{})
	}
}

// noteWork schedules the end of the work at a target, with a reason that names the target.
func (p *planner) noteWork(t *rollout.Target) {
	if t.History.Earlier != "" {
		p.sched.waitUntil("a call of an earlier deployment may still be running at "+t.ID+" until", t.History.MayRunUntil)
	} else {
		p.sched.waitUntil("the last call to "+t.ID+" may still be running until", t.History.MayRunUntil)
	}
}

// awaitAllWork waits for the work of every call of this deployment that may still be running, and reports whether there is any.
func (p *planner) awaitAllWork() bool {
	found := false
	for i := range p.s.Targets {
		if t := &p.s.Targets[i]; t.Touched() && p.mayBeWorking(t) {
			p.awaitWork(i, t)
			found = true
		}
	}
	return found
}

// awaitWorkOfFailed does what awaitAllWork does for targets that were given up while their work may be running: what they
// run in the end is what is remembered of them, and what comes next calls nothing into that work. It waits no longer than
// the deployment may take.
func (p *planner) awaitWorkOfFailed() bool {
	found, deadline := false, p.progressDeadline()
	for i := range p.s.Targets {
		if t := &p.s.Targets[i]; lifecycle.FailedOrUnknown(t) && p.mayBeWorking(t) && (deadline.IsZero() || t.History.MayRunUntil.Before(deadline)) {
			p.awaitWork(i, t)
			found = true
		}
	}
	return found
}

// resolveDoubt finds out what a call without an answer did, until the target says so or its time is over.
func (p *planner) resolveDoubt(i int, t *rollout.Target) {
	until := lifecycle.Later(t.PhaseAt.Add(p.rulesFor(t).HealthyDeadline.Std()), t.History.MayRunUntil)
	if t.RetriesUsed > p.rulesFor(t).Deploy.Retries && !p.now.Before(until) {
		p.out.Transitions = append(p.out.Transitions, unansweredTransition(i, t))
		return
	}
	check := max(p.rulesFor(t).VersionCheck(), 0)
	if len(p.rulesFor(t).Checks) == 0 || p.rulesFor(t).Checks[check].Type == healthcheck.TypeNone {
		p.resendUnasked(i, t)
		return
	}
	if p.mayBeWorking(t) {
		p.awaitWork(i, t)
	} else {
		p.addProbe(i, check, t.NotBefore)
	}
	if t.RetriesUsed > p.rulesFor(t).Deploy.Retries {
		p.sched.wakeVisible(until)
	} else if at := lifecycle.ResendAt(t); p.now.Before(at) {
		p.sched.wakeVisible(at)
	}
}

// resendUnasked continues with a target that has no check to probe.
func (p *planner) resendUnasked(i int, t *rollout.Target) {
	switch {
	case p.mayBeWorking(t):
		p.awaitWork(i, t)
	case t.RetriesUsed > p.rulesFor(t).Deploy.Retries:
		p.out.Transitions = append(p.out.Transitions, unansweredTransition(i, t))
	case p.now.Before(t.NotBefore):
		p.sched.wakeVisible(t.NotBefore)
	case t.RollingBack:
		p.callRollback(i, t)
	default:
		p.callForward(i, t)
	}
}

// unansweredTransition returns the outcome of a target whose call stays in doubt: failed when it is known to run something
// else, and unknown otherwise.
func unansweredTransition(i int, t *rollout.Target) rollout.Transition {
	m := rollout.Transition{Target: i, Phase: rollout.PhaseSettled, State: rollout.TargetUnknown, Message: t.Error}
	if t.Version != "" && t.Version != t.ExpectedVersion() {
		m.State, m.Message = rollout.TargetFailed, fmt.Sprintf("still runs %s; %s", t.Version, t.Error)
	}
	return m
}
