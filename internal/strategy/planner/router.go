package planner

import (
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

// routed reports whether the router is known to do what is wanted of it; without a router it always does. When it is
// not, the next step towards it is planned. One write is out at a time.
func (p *planner) routed(want routing.TrafficSplit) bool {
	if p.spec.Traffic == nil {
		return true
	}
	r := p.d.Progress.Router
	if r == nil {
		r = &routing.State{}
	}
	switch {
	case r.InFlight:
		p.awaitRouter(r)
	case r.Reading && (r.InDoubt || !r.Seen):
		p.wakeBy(p.now.Add(p.spec.Traffic.Timeout.Std() + answerGrace))
	case r.Applied.Equal(&want):
		return true
	case p.heldByPeople(): // the router stays as it is
	case p.now.Before(p.routerDue(r, &want)):
		p.waits("the router is tried again at", p.routerDue(r, &want))
	case p.readsFirst(r, &want):
		p.readRouter(r)
	default:
		p.act(rollout.Action{Kind: rollout.ActionSetWeights, Route: routing.Call{Setting: want, Baseline: p.backends()}})
		p.visibleAt(p.now.Add(p.spec.Traffic.Timeout.Std()))
	}
	return false
}

// settled reports whether the router is known to do what is wanted of it, and was seen to just now: a deployment ends on that.
// One that refuses everything was left as it was.
func (p *planner) settled(want routing.TrafficSplit) bool {
	return p.refused() || p.routed(want) && p.seenLately()
}

// refused reports whether the router has refused the first look or write, and nobody was called: nothing was changed.
func (p *planner) refused() bool {
	r := p.d.Progress.Router
	return p.spec.Traffic != nil && r != nil && r.Refused && !slices.ContainsFunc(p.s.Targets, func(t rollout.Target) bool { return t.Touched() })
}

// routerRest is how much longer a router is left alone that has refused often enough, while a person is waited for anyway.
const routerRest = time.Minute

// routerDue is when the router may be written to.
func (p *planner) routerDue(r *routing.State, want *routing.TrafficSplit) time.Time {
	if p.heldByItself() && p.routerRefusal() != "" && (r.Sent == nil || r.Sent.Setting.Equal(want)) {
		return r.NotBefore.Add(routerRest)
	}
	return r.NotBefore
}

// trustRouter lets the router be tried as often as if it had not refused: a person has said that it goes on.
func (p *planner) trustRouter() {
	if p.d.Progress.Router == nil {
		return
	}
	r := lifecycle.RouterOf(p.d)
	r.RetriesUsed, r.Refused = 0, false
	p.out.Status.Progress.Router = &r
}

func (p *planner) act(a rollout.Action) {
	a.Target, a.Check = -1, -1
	p.out.Actions = append(p.out.Actions, a)
}

func (p *planner) awaitRouter(r *routing.State) {
	p.wakeBy(lifecycle.Later(r.Sent.Deadline, p.now).Add(answerGrace))
	p.showsBy(r.Sent.Deadline)
	p.pending = "; the router must answer by " + moment(r.Sent.Deadline)
}

// drained reports whether the targets that shall be called have been out of service for long enough.
func (p *planner) drained(want routing.TrafficSplit) bool {
	if !p.routed(want) {
		return false
	}
	if p.spec.Traffic == nil {
		return true
	}
	r := p.d.Progress.Router
	until := r.AppliedAt.Add(p.spec.Traffic.Drain.Std())
	if p.now.Before(until) && !p.leftAlone(r) {
		p.waits("traffic drains until", until)
		return false
	}
	return true
}

// routerCause is why the deployment stops because of its router; empty while it may go on. At a gate nothing goes on that
// the router could stop: a person is waited for.
func (p *planner) routerCause() string {
	if p.d.Progress.Gate > 0 {
		return ""
	}
	return p.routerRefusal()
}

// routerRefusal says that the router has been tried often enough; empty while it has not. One that can tell whether it did
// what no answer came of is asked first.
func (p *planner) routerRefusal() string {
	r := p.d.Progress.Router
	if p.spec.Traffic == nil || r == nil || r.RetriesUsed <= p.spec.Traffic.Retries || p.spec.Traffic.Readable() && r.InDoubt && r.CanConfirm() {
		return ""
	}
	return "the router did not move traffic" + p.routerError()
}

// routerError is what the router said last, to be appended; empty when nothing is wrong.
func (p *planner) routerError() string {
	if r := p.d.Progress.Router; r != nil && r.Error != "" {
		return ": " + r.Error
	}
	return ""
}
