package planner

import (
	"fmt"
	"time"

	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

// readsFirst reports whether the router is to be read before it is written to: by a new owner, whose memory may be older than
// what it does, and where that shows whether a write without an answer was applied.
func (rp *routerPlan) readsFirst(r *routing.State, want *routing.TrafficSplit) bool {
	return rp.spec.Traffic.Readable() && (!r.Seen || r.InDoubt && r.CanConfirm() && r.Sent.Setting.Equal(want))
}

// tooLateToRead reports whether the progress deadline could pass while the router is read.
func (rp *routerPlan) tooLateToRead(r *routing.State) bool {
	deadline := rp.progressDeadline()
	end := lifecycle.Later(rp.now, r.LookAt).Add(rp.spec.Traffic.Timeout.Std() + resultGrace)
	return !deadline.IsZero() && !end.Before(deadline)
}

// routerRetryInterval is how much longer a router is left alone that has refused often enough, while a person is waited for anyway.
const routerRetryInterval = time.Minute

// routerDue returns when the router may be written to.
func (rp *routerPlan) routerDue(r *routing.State, want *routing.TrafficSplit) time.Time {
	if rp.pausedAutomatically() && routerFailure(rp.view) != "" && (r.Sent == nil || r.Sent.Setting.Equal(want)) {
		return r.NotBefore.Add(routerRetryInterval)
	}
	return r.NotBefore
}

// seesBackends reports whether the router reports the targets that it gives traffic to, and could be read lately.
func (rp *routerPlan) seesBackends(r *routing.State) bool {
	return rp.spec.Traffic.Readable() && r != nil && r.Last != nil && r.Last.Backends != nil && r.LooksFailed <= rp.spec.Traffic.Retries
}

// idleReason returns why a verified target does not get its share at the router; empty when it does, or is kept out by others and
// no share hangs on it.
func (rp *routerPlan) idleReason(r *routing.State, i int) string {
	t, b := &rp.s.Targets[i], &r.Last.Backends[i]
	if t.State != lifecycle.SuccessState(t) || r.Applied.Backends[i].Weight == 0 && lifecycle.HeldBy(r, t.ID) == "" || lifecycle.HeldBy(r, t.ID) != "" && !rp.kind.LimitExposure {
		return ""
	}
	switch {
	case !b.Serving:
		return "gets no traffic from the router: " + b.Why
	case b.Effective < lifecycle.AllTraffic:
		return fmt.Sprintf("has %d %% of its weight so far", b.Effective)
	default:
		return ""
	}
}
