package planner

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

// lookEvery is how often the router is read while something is awaited there: sessions that end, servers that come up.
const lookEvery = time.Second

// lookSoon has the router read again after lookEvery.
func (p *planner) lookSoon(r *routing.State) {
	if r.Reading {
		return
	}
	if due := lifecycle.Later(r.SeenAt.Add(lookEvery), r.LookAt); p.now.Before(due) {
		p.wakeBy(due)
		return
	}
	p.readRouter(r)
}

// leftAlone reports whether no target that shall be called has a session left, as far as the router reports sessions.
func (p *planner) leftAlone(r *routing.State) bool {
	if r.Last == nil || r.SeenAt.Before(r.AppliedAt) || r.Last.Backends == nil {
		return false
	}
	for i := range p.leaving {
		if b := &r.Last.Backends[i]; b.Sessions < 0 {
			return false
		} else if b.Sessions > 0 {
			p.lookSoon(r)
			return false
		}
	}
	return true
}

// takesTraffic reports whether the router gives their share to the verified targets of the new side: a wave counts from then
// on. A target that gets none within healthy_deadline has failed, whatever its checks say.
func (p *planner) takesTraffic() bool {
	r := p.d.Progress.Router
	if !p.spec.Traffic.Readable() || r == nil || r.Applied == nil || r.LooksFailed > p.spec.Traffic.Retries {
		return true
	}
	if r.Last == nil || r.SeenAt.Before(r.AppliedAt) {
		p.lookSoon(r)
		return false
	}
	waits := false
	for i := range r.Last.Backends {
		waits = p.awaitsShare(r, i, p.idle(r, i)) || waits
	}
	return !waits && len(p.out.Transitions) == 0
}

// awaitsShare reports whether a verified target is waited for that does not get its share at the router for a reason, empty
// when it does. Once healthy_deadline is over, one that gets nothing has failed, and one that gets part of it is not waited for.
func (p *planner) awaitsShare(r *routing.State, i int, why string) bool {
	until := lifecycle.Later(r.AppliedAt, lifecycle.IdleSince(r, p.s.Targets[i].ID)).Add(p.spec.HealthyDeadline.Std())
	switch {
	case why == "":
	case p.now.Before(until):
		p.lookSoon(r)
		p.waits(p.s.Targets[i].ID+" "+why+", and is awaited until", until)
		return true
	case !r.Last.Backends[i].Serving && p.d.Direction == rollout.Forward:
		p.out.Transitions = append(p.out.Transitions, rollout.Transition{
			Target: i, Phase: rollout.PhaseSettled, State: rollout.TargetFailed, Message: "verified, but " + why,
		})
	}
	return false
}

// countReturning counts as out of service the verified targets that shall have traffic again and do not get it at the router
// yet: while they come back, no others are taken out in their place. share is the new side's share at present. It reports
// whether there are any.
func (p *planner) countReturning(share int) bool {
	r := p.d.Progress.Router
	if !p.looksAtServers(r) {
		return false
	}
	want, found := p.setting(share, nil), false
	for i := range p.s.Targets {
		t := &p.s.Targets[i]
		back := p.d.Direction == rollout.Backward
		if t.Attempts == 0 || t.RollingBack != back || t.State != lifecycle.SuccessState(t) || want.Backends[i].Weight == 0 {
			continue
		}
		if r.Last.Backends[i].Weight == 0 || r.Applied != nil && p.awaitsShare(r, i, p.idle(r, i)) {
			p.busy, found = p.busy+1, true
		}
	}
	return found
}

// looksAtServers reports whether the router tells, and lately has told, which targets it gives traffic to.
func (p *planner) looksAtServers(r *routing.State) bool {
	return p.spec.Traffic.Readable() && r != nil && r.Last != nil && r.Last.Backends != nil && r.LooksFailed <= p.spec.Traffic.Retries
}

// idle says why a verified target does not get its share at the router; empty when it does, or somebody else keeps it out and
// no share hangs on it.
func (p *planner) idle(r *routing.State, i int) string {
	t, b := &p.s.Targets[i], &r.Last.Backends[i]
	if t.State != lifecycle.SuccessState(t) || r.Applied.Backends[i].Weight == 0 && lifecycle.HeldBy(r, t.ID) == "" || lifecycle.HeldBy(r, t.ID) != "" && !p.kind.LimitExposure {
		return ""
	}
	switch {
	case !b.Serving:
		return "gets no traffic at the router: " + b.Why
	case b.Effective < lifecycle.AllTraffic:
		return fmt.Sprintf("has %d %% of its share so far", b.Effective)
	default:
		return ""
	}
}
