package strategy

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
)

// lookEvery is how often the router is read while something is awaited there: sessions that end, servers that come up.
const lookEvery = time.Second

// lookSoon has the router read again after lookEvery.
func (p *planner) lookSoon(r *rollout.RouterState) {
	if r.Asking {
		return
	}
	if due := later(r.SeenAt.Add(lookEvery), r.LookAt); p.now.Before(due) {
		p.wakeBy(due)
		return
	}
	p.readRouter(r)
}

// leftAlone reports whether no target that shall be called has a session left, as far as the router reports sessions.
func (p *planner) leftAlone(r *rollout.RouterState) bool {
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
	until := r.AppliedAt.Add(p.spec.HealthyDeadline.Std())
	for i := range r.Last.Backends {
		switch why := p.idle(r, i); {
		case why == "":
		case p.now.Before(until):
			p.lookSoon(r)
			p.waits(p.s.Targets[i].ID+" "+why+", and is awaited until", until)
			return false
		case !r.Last.Backends[i].Serving:
			p.out.Moves = append(p.out.Moves, rollout.Move{
				Target: i, Phase: rollout.PhaseSettled, State: rollout.TargetFailed, Message: "verified, but " + why,
			})
		}
	}
	return len(p.out.Moves) == 0
}

// idle says why a verified target does not get its share at the router; empty when it does, or somebody else keeps it out and
// no share hangs on it.
func (p *planner) idle(r *rollout.RouterState, i int) string {
	t, b := &p.s.Targets[i], &r.Last.Backends[i]
	if t.State != rollout.TargetUpdated || r.Applied.Backends[i].Weight == 0 && heldBy(r, t.ID) == "" || heldBy(r, t.ID) != "" && !p.kind.gradual {
		return ""
	}
	switch {
	case !b.Serving:
		return "gets no traffic at the router: " + b.Why
	case b.Effective < percentBase:
		return fmt.Sprintf("has %d %% of its share so far", b.Effective)
	default:
		return ""
	}
}
