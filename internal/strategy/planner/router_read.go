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

// readIfDue reads a router regularly once its write is confirmed: others may have set it to
// something else, and a restart forgets.
func (rp *routerPlan) readIfDue() {
	r := rp.d.Progress.Router
	if !rp.spec.Traffic.Readable() || r == nil || r.Applied == nil || r.InFlight || r.Reading || rp.st.State.Terminal() {
		return
	}
	if due := lifecycle.Later(r.SeenAt.Add(lifecycle.RouterReadInterval), r.LookAt); rp.now.Before(due) {
		rp.sched.wakeBy(due)
		return
	}
	rp.addRead(r)
}

// addRead asks the router what it does, once in a decision.
func (rp *routerPlan) addRead(r *routing.State) {
	rp.sched.wakeBy(rp.now.Add(rp.spec.Traffic.Timeout.Std() + resultGrace))
	if slices.ContainsFunc(rp.out.Actions, func(a rollout.Action) bool {
		return a.Kind == rollout.ActionReadWeights || a.Kind == rollout.ActionSetWeights
	}) {
		return
	}
	var sent routing.Call
	if r.Sent != nil {
		sent = *r.Sent
	}
	rp.addAction(rollout.Action{Kind: rollout.ActionReadWeights, Route: sent})
}

// readLately reports whether the router has been read just now, or cannot be in time: a deployment ends on what its router
// does, not on what it did once. When it has not, it is read.
func (rp *routerPlan) readLately() bool {
	r := rp.d.Progress.Router
	if !rp.spec.Traffic.Readable() || r == nil {
		return true
	}
	switch {
	case r.Reading:
		rp.sched.wakeBy(rp.now.Add(rp.spec.Traffic.Timeout.Std() + resultGrace))
	case rp.now.Before(r.SeenAt.Add(routerFresh)), r.LooksFailed > rp.spec.Traffic.Retries, rp.tooLateToRead(r):
		return true
	case rp.now.Before(r.LookAt):
		rp.sched.waitUntil("the router is read again at", r.LookAt)
	default:
		rp.addRead(r)
	}
	return false
}

// lookEvery is how often the router is read while something is awaited there: sessions that end, servers that come up.
const lookEvery = time.Second

// readSoon has the router read again after lookEvery.
func (rp *routerPlan) readSoon(r *routing.State) {
	if r.Reading {
		return
	}
	if due := lifecycle.Later(r.SeenAt.Add(lookEvery), r.LookAt); rp.now.Before(due) {
		rp.sched.wakeBy(due)
		return
	}
	rp.addRead(r)
}

// idleSessions reports whether the router reports that none of the targets has a session left.
func (rp *routerPlan) idleSessions(r *routing.State, targets map[int]bool) bool {
	if r.Last == nil || r.SeenAt.Before(r.AppliedAt) || r.Last.Backends == nil {
		return false
	}
	for i := range targets {
		if b := &r.Last.Backends[i]; b.Sessions < 0 {
			return false
		} else if b.Sessions > 0 {
			rp.readSoon(r)
			return false
		}
	}
	return true
}
