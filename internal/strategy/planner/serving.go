package planner

import (
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

// takesTraffic reports whether the router gives their share to the verified targets of the new side: a wave counts from then
// on. A target that gets none within healthy_deadline has failed, whatever its checks say.
func (rp *routerPlan) takesTraffic() bool {
	r := rp.d.Progress.Router
	if !rp.spec.Traffic.Readable() || r == nil || r.Applied == nil || r.LooksFailed > rp.spec.Traffic.Retries {
		return true
	}
	if r.Last == nil || r.SeenAt.Before(r.AppliedAt) {
		rp.readSoon(r)
		return false
	}
	waits := false
	for i := range r.Last.Backends {
		waits = rp.awaitWeight(r, i, rp.idleReason(r, i)) || waits
	}
	return !waits && len(rp.out.Transitions) == 0
}

// awaitWeight reports whether a verified target is waited for that does not get its share at the router for a reason, empty
// when it does. Once healthy_deadline is over, one that gets nothing has failed, and one that gets part of it is not waited for.
func (rp *routerPlan) awaitWeight(r *routing.State, i int, why string) bool {
	until := lifecycle.Later(r.AppliedAt, lifecycle.IdleSince(r, rp.s.Targets[i].ID)).Add(rp.spec.HealthyDeadline.Std())
	switch {
	case why == "":
	case rp.now.Before(until):
		rp.readSoon(r)
		rp.sched.waitUntil(rp.s.Targets[i].ID+" "+why+"; waiting until", until)
		return true
	case !r.Last.Backends[i].Serving && rp.d.Direction == rollout.Forward:
		rp.out.Transitions = append(rp.out.Transitions, rollout.Transition{
			Target: i, Phase: rollout.PhaseSettled, State: rollout.TargetFailed, Message: "verified, but " + why,
		})
	}
	return false
}

// countReturning returns how many verified targets should have traffic again and do not get it at the router yet. They count
// as out of service: while they come back, no others are taken out in their place.
func (rp *routerPlan) countReturning(weight int) int {
	r := rp.d.Progress.Router
	if !rp.seesBackends(r) {
		return 0
	}
	want, found := rp.splitAt(weight, nil), 0
	for i := range rp.s.Targets {
		t := &rp.s.Targets[i]
		back := rp.d.Direction == rollout.Backward
		if t.Attempts == 0 || t.RollingBack != back || t.State != lifecycle.SuccessState(t) || want.Backends[i].Weight == 0 {
			continue
		}
		if r.Last.Backends[i].Weight == 0 || r.Applied != nil && rp.awaitWeight(r, i, rp.idleReason(r, i)) {
			found++
		}
	}
	return found
}

// drainedFirst returns the targets in the order in which they are called: first those that the last write took out for their
// call, then the others as they are listed. In the order of the list alone, a target that is probed late would take the place of
// one that is out already: that one would return without a call, while the other leaves.
func (rp *routerPlan) drainedFirst(weight int) []int {
	var first, rest []int
	var sent, want []routing.Backend
	if r := rp.d.Progress.Router; rp.spec.Traffic != nil && r != nil && r.Sent != nil {
		sent, want = r.Sent.Setting.Backends, rp.splitAt(weight, nil).Backends
	}
	for i := range rp.s.Targets {
		phase := rp.s.Targets[i].Phase
		uncalled := phase == rollout.PhaseNew || phase == rollout.PhaseReady
		if uncalled && sent != nil && sent[i].Weight == 0 && want[i].Weight > 0 {
			first = append(first, i)
		} else {
			rest = append(rest, i)
		}
	}
	return append(first, rest...)
}
