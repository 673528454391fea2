package planner

import (
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

// routerPlan plans the calls to the router: at most one in a decision.
type routerPlan struct {
	*traffic
	sched *schedule
	out   *rollout.Decision
}

// ensureSplit reports whether the router is known to do what is wanted of it; without a router it always does. When it is
// not, the next step towards it is planned. One write is out at a time.
func (rp *routerPlan) ensureSplit(want routing.TrafficSplit) bool {
	if rp.spec.Traffic == nil {
		return true
	}
	r := rp.d.Progress.Router
	if r == nil {
		r = &routing.State{}
	}
	switch {
	case r.InFlight:
		rp.awaitWrite(r)
	case r.Reading && (r.InDoubt || !r.Seen):
		rp.sched.wakeBy(rp.now.Add(rp.spec.Traffic.Timeout.Std() + resultGrace))
	case r.Applied.Equal(&want):
		return true
	case rp.pausedByOperator(): // the router stays as it is
	case rp.now.Before(rp.routerDue(r, &want)):
		rp.sched.waitUntil("the router is retried at", rp.routerDue(r, &want))
	case rp.readsFirst(r, &want):
		rp.addRead(r)
	default:
		rp.addAction(rollout.Action{Kind: rollout.ActionSetWeights, Route: routing.Call{Setting: want, Baseline: rp.fullBackends()}})
		rp.sched.wakeVisible(rp.now.Add(rp.spec.Traffic.Timeout.Std()))
	}
	return false
}

// ensureAtEnd reports whether the router is known to do what is wanted of it, and was seen to just now: a deployment ends on that.
// One that refuses everything was left as it was.
func (rp *routerPlan) ensureAtEnd(want routing.TrafficSplit) bool {
	return rp.refusedByRouter() || rp.ensureSplit(want) && rp.readLately()
}

func (rp *routerPlan) addAction(a rollout.Action) {
	a.Target, a.Check = -1, -1
	rp.out.Actions = append(rp.out.Actions, a)
}

func (rp *routerPlan) awaitWrite(r *routing.State) {
	rp.sched.wakeBy(lifecycle.Later(r.Sent.Deadline, rp.now).Add(resultGrace))
	rp.sched.noteVisible(r.Sent.Deadline)
	rp.sched.waiting = "; the router must answer by " + formatTime(r.Sent.Deadline)
}

// isDrained reports whether the targets to call have been out of service for long enough.
func (rp *routerPlan) isDrained(want routing.TrafficSplit, targets map[int]bool) bool {
	if !rp.ensureSplit(want) {
		return false
	}
	if rp.spec.Traffic == nil {
		return true
	}
	r := rp.d.Progress.Router
	until := r.AppliedAt.Add(rp.spec.Traffic.Drain.Std())
	if rp.now.Before(until) && !rp.idleSessions(r, targets) {
		rp.sched.waitUntil("traffic drains until", until)
		return false
	}
	return true
}
