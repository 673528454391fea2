package planner

import (
	"cmp"
	"fmt"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// resolveDoubt finds out what a call without an answer did, until the target says so or its time is over.
func (p *planner) resolveDoubt(i int, t *rollout.Target) {
	until := lifecycle.Later(t.PhaseAt.Add(p.rulesFor(t).HealthyDeadline.Std()), t.History.MayRunUntil)
	if t.RetriesUsed > p.rulesFor(t).Deploy.Retries && !p.now.Before(until) {
		p.out.Transitions = append(p.out.Transitions, unansweredTransition(i, t))
		return
	}
	if t.History.InDoubt && p.resolveUnasked(i, t) { // a raised fence leaves no doubt
		return
	}
	check := max(p.rulesFor(t).VersionCheck(), 0)
	if len(p.rulesFor(t).Checks) == 0 || p.rulesFor(t).Checks[check].Type == healthcheck.TypeNone {
		p.resendUnasked(i, t)
		return
	}
	if p.mayBeWorking(t) {
		p.probes.awaitWork(i, t)
	} else {
		p.probes.addProbe(i, check, t.NotBefore)
	}
	if t.RetriesUsed > p.rulesFor(t).Deploy.Retries {
		p.sched.wakeVisible(until)
	} else if at := lifecycle.ResendAt(t); p.now.Before(at) {
		p.sched.wakeVisible(at)
	}
}

// resolveUnasked decides about a call without an answer where the target is not to be asked; it reports whether it did.
func (p *planner) resolveUnasked(i int, t *rollout.Target) bool {
	switch p.rulesFor(t).Deploy.OnNoAnswer {
	case rollout.OnNoAnswerResend:
		if at := lifecycle.ResendAt(t); p.now.Before(at) {
			p.sched.wakeVisible(at)
		} else {
			p.resendUnasked(i, t)
		}
		return true
	case rollout.OnNoAnswerStop:
		m := unansweredTransition(i, t)
		m.Message = cmp.Or(m.Message, "the outcome of its call is not known")
		p.out.Transitions = append(p.out.Transitions, m)
		return true
	default:
		return false
	}
}

// resendUnasked continues with a target that has no check to probe.
func (p *planner) resendUnasked(i int, t *rollout.Target) {
	switch {
	case p.mayBeWorking(t):
		p.probes.awaitWork(i, t)
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
