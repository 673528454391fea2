package planner

import (
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

// routerFresh is how old a reading may be for a deployment to end on it.
const routerFresh = 5 * time.Second

// watchRouter reads, from time to time, a router that is held to do what it was told: somebody else may have told it
// something else, and a restart forgets.
func (p *planner) watchRouter() {
	r := p.d.Progress.Router
	if !p.spec.Traffic.Readable() || r == nil || r.Applied == nil || r.InFlight || r.Reading || p.out.Status.State.Terminal() {
		return
	}
	if due := lifecycle.Later(r.SeenAt.Add(lifecycle.RouterReadInterval), r.LookAt); p.now.Before(due) {
		p.wakeBy(due)
		return
	}
	p.readRouter(r)
}

// readsFirst reports whether the router is to be read before it is written to: by a new owner, whose memory may be older than
// what it does, and where that tells whether a write without an answer was done.
func (p *planner) readsFirst(r *routing.State, want *routing.TrafficSplit) bool {
	return p.spec.Traffic.Readable() && (!r.Seen || r.InDoubt && r.CanConfirm() && r.Sent.Setting.Equal(want))
}

// readRouter asks the router what it does, once in a decision.
func (p *planner) readRouter(r *routing.State) {
	p.wakeBy(p.now.Add(p.spec.Traffic.Timeout.Std() + answerGrace))
	if slices.ContainsFunc(p.out.Actions, func(a rollout.Action) bool {
		return a.Kind == rollout.ActionReadWeights || a.Kind == rollout.ActionSetWeights
	}) {
		return
	}
	var sent routing.Call
	if r.Sent != nil {
		sent = *r.Sent
	}
	p.act(rollout.Action{Kind: rollout.ActionReadWeights, Route: sent})
}

// seenLately reports whether the router has been read just now, or cannot be in time: a deployment ends on what its router
// does, not on what it did once. When it has not, it is read.
func (p *planner) seenLately() bool {
	r := p.d.Progress.Router
	if !p.spec.Traffic.Readable() || r == nil {
		return true
	}
	switch {
	case r.Reading:
		p.wakeBy(p.now.Add(p.spec.Traffic.Timeout.Std() + answerGrace))
	case p.now.Before(r.SeenAt.Add(routerFresh)), r.LooksFailed > p.spec.Traffic.Retries, p.tooLateToRead(r):
		return true
	case p.now.Before(r.LookAt):
		p.waits("the router is read again at", r.LookAt)
	default:
		p.readRouter(r)
	}
	return false
}

// tooLateToRead reports whether the progress deadline could pass while the router is read.
func (p *planner) tooLateToRead(r *routing.State) bool {
	deadline := p.deadline()
	end := lifecycle.Later(p.now, r.LookAt).Add(p.spec.Traffic.Timeout.Std() + answerGrace)
	return !deadline.IsZero() && !end.Before(deadline)
}

// unreadRouter says that the router could not be read when the deployment ended; empty when it was.
func (p *planner) unreadRouter() string {
	r := p.d.Progress.Router
	if p.spec.Traffic == nil || r == nil || r.LooksFailed == 0 {
		return ""
	}
	return "; the router could not be read since " + moment(r.SeenAt)
}
