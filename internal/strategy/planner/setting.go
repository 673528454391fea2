package planner

import (
	"cmp"
	"slices"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

// fullWeights are the weights that the targets have in full rotation, in their order: as the request says, else as the router
// had them before the first write. nil when nobody knows them.
func fullWeights(s *rollout.Snapshot) []int {
	known := lifecycle.WeightsByTarget(s.Deployment.Progress.Router.Known())
	if len(known) == 0 && !slices.ContainsFunc(s.Targets, func(t rollout.Target) bool { return t.Weight > 0 }) {
		return nil
	}
	weights := make([]int, len(s.Targets))
	for i := range s.Targets {
		t := &s.Targets[i]
		weights[i] = cmp.Or(t.Weight, known[t.ID], lifecycle.DefaultWeight)
	}
	return weights
}

// backends are the full weights as a write carries them.
func (p *planner) backends() []routing.Backend {
	if p.full == nil {
		return nil
	}
	list := make([]routing.Backend, len(p.full))
	for i, weight := range p.full {
		list[i] = routing.Backend{Target: p.s.Targets[i].ID, Weight: weight}
	}
	return list
}

// maxWeight is the highest weight that routers take.
const maxWeight = 256

// side is where a target stands towards traffic.
type side int

const (
	sideOut side = iota
	sideOld
	sideNew
)

// setting is what the router should do now, with share percent of traffic on the new side (rolling ignores it: there
// every target in service counts as in full rotation) and without the targets in leaving.
func (p *planner) setting(share int, leaving map[int]bool) routing.TrafficSplit {
	sides, count := p.sides(share, leaving)
	active, idle := lifecycle.Slots(p.d)
	s := routing.TrafficSplit{ActiveSlot: active, NewWeight: p.newShare(share, sides, count)}
	s.OldWeight = lifecycle.AllTraffic - s.NewWeight
	if idle != "" && s.NewWeight == lifecycle.AllTraffic {
		s.ActiveSlot = idle
	}
	weights := p.shareOut(s.NewWeight, p.alike(share), sides, count)
	p.keepHeld(weights, &s, share, leaving)
	s.Backends = make([]routing.Backend, len(sides))
	for i := range sides {
		s.Backends[i] = routing.Backend{Target: p.s.Targets[i].ID, Weight: weights[i]}
	}
	return s
}

// keepHeld gives targets that somebody else drains the weight that they will have when they are back: none where their side
// has none.
func (p *planner) keepHeld(weights []int, s *routing.TrafficSplit, share int, leaving map[int]bool) {
	r := p.d.Progress.Router
	if p.full == nil || r == nil || len(r.Held) == 0 {
		return
	}
	for i := range weights {
		if by := lifecycle.HeldBy(r, p.s.Targets[i].ID); by == "" || by == routing.HeldByWeight {
			continue
		}
		switch at := p.placeOf(i, share, leaving); {
		case at == sideNew && (s.NewWeight > 0 || p.alike(share)), at == sideOld && s.OldWeight > 0:
			weights[i] = p.full[i]
		}
	}
}

// shareOut gives each target that serves its part of its side's share; the sides' sums stand exactly as their shares. Where
// all that serve count the same, each is in full rotation, however little the share of its side is in whole percent.
func (p *planner) shareOut(share int, same bool, sides []side, count [3]int) []int {
	var parts [3][]int
	if p.full == nil {
		parts[sideNew], parts[sideOld] = p.weights(share, same, count)
	} else {
		parts[sideNew], parts[sideOld] = p.proportional(share, same, sides)
	}
	weights := make([]int, len(sides))
	for i, at := range sides {
		if at != sideOut {
			weights[i], parts[at] = parts[at][0], parts[at][1:]
		}
	}
	return weights
}

// sides says where each target stands, and how many stand where.
func (p *planner) sides(share int, leaving map[int]bool) (sides []side, count [3]int) {
	sides = make([]side, len(p.s.Targets))
	for i := range p.s.Targets {
		sides[i] = p.sideOf(i, share, leaving)
		count[sides[i]]++
	}
	p.letIn(sides, &count, share, leaving)
	stranded := p.bySlot() && share == 0 && count[sideOld] == 0 && p.d.Progress.Weight < lifecycle.AllTraffic
	if count[sideNew]+count[sideOld] > 0 && !stranded {
		return sides, count
	}
	return p.lastInService()
}

// letIn has what an earlier deployment left out serve on the old side when nothing else there does: else all traffic
// would go to the new side, or to what is called. Where others serve that the deployment does not call, it stays out.
func (p *planner) letIn(sides []side, count *[3]int, share int, leaving map[int]bool) {
	if count[sideOld] > 0 {
		return
	}
	for i, at := range sides {
		if at == sideNew && p.s.Targets[i].Wave == 0 {
			return
		}
	}
	for i := range sides {
		t := &p.s.Targets[i]
		if t.Wave == 0 || !lifecycle.LeftOut(p.d, t) || lifecycle.HeldBy(p.d.Progress.Router, t.ID) != "" || p.placeOf(i, share, leaving) != sideOld {
			continue
		}
		sides[i] = sideOld
		count[sideOut]--
		count[sideOld]++
	}
}

// lastInService keeps targets in service that would be out, as nothing else serves: taking the last ones out would serve
// nobody better. What is not verified on a new version, and what was given up, serve only where there is nothing but that.
func (p *planner) lastInService() (sides []side, count [3]int) {
	active, _ := lifecycle.Slots(p.d)
	sides = make([]side, len(p.s.Targets))
	for _, fit := range []func(*rollout.Target) bool{
		func(t *rollout.Target) bool {
			return !lifecycle.FailedOrUnknown(t) && !lifecycle.LeftOut(p.d, t) && !p.exposes(t)
		},
		func(t *rollout.Target) bool { return !lifecycle.FailedOrUnknown(t) && !lifecycle.LeftOut(p.d, t) },
		func(t *rollout.Target) bool { return !lifecycle.FailedOrUnknown(t) },
		func(*rollout.Target) bool { return true },
	} {
		count = [3]int{}
		for i := range sides {
			t := &p.s.Targets[i]
			sides[i] = sideOut
			if fit(t) && (!p.bySlot() || t.Slot == active) && lifecycle.HeldBy(p.d.Progress.Router, t.ID) == "" {
				sides[i] = sideOld
			}
			count[sides[i]]++
		}
		if count[sideOld] > 0 {
			break
		}
	}
	return sides, count
}

// newShare is the new side's share in percent, as far as both sides have a target to take theirs.
func (p *planner) newShare(share int, sides []side, count [3]int) int {
	switch {
	case p.kind.WeightPerTarget && share > 0:
		sum := count
		if p.full != nil {
			sum = [3]int{}
			for i, at := range sides {
				sum[at] += p.full[i]
			}
		}
		return sum[sideNew] * lifecycle.AllTraffic / max(sum[sideNew]+sum[sideOld], 1)
	case p.inOneSlot():
		return share
	case count[sideNew] == 0:
		return 0
	case count[sideOld] == 0:
		return lifecycle.AllTraffic
	default:
		return share
	}
}

// weights gives each target of a side its part of the side's share; the sides' sums stand exactly as their shares.
func (p *planner) weights(share int, same bool, count [3]int) (newSide, oldSide []int) {
	if same {
		return spread(lifecycle.DefaultWeight*count[sideNew], count[sideNew]), spread(lifecycle.DefaultWeight*count[sideOld], count[sideOld])
	}
	unit := maxWeight * len(p.s.Targets)
	for at, part := range map[side]int{sideNew: share, sideOld: lifecycle.AllTraffic - share} {
		if part > 0 {
			unit = min(unit, maxWeight*count[at]/part)
		}
	}
	unit = max(unit, 1)
	return spread(share*unit, count[sideNew]), spread((lifecycle.AllTraffic-share)*unit, count[sideOld])
}

// spread divides a sum over n targets as evenly as whole numbers can.
func spread(sum, n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = min(sum/n, maxWeight)
		if i < sum%n {
			list[i] = min(list[i]+1, maxWeight)
		}
	}
	return list
}

// inOneSlot reports whether a blue-green deployment updates the very targets that serve: the switch moves none of them.
func (p *planner) inOneSlot() bool {
	return p.kind.SwitchesSides && p.spec.ActiveSlot == ""
}

// alike reports whether all targets that serve count the same, whatever their side.
func (p *planner) alike(share int) bool { return p.inOneSlot() || p.kind.WeightPerTarget && share > 0 }

// sideOf is where a target stands; out where somebody else keeps it there.
func (p *planner) sideOf(i, share int, leaving map[int]bool) side {
	if lifecycle.HeldBy(p.d.Progress.Router, p.s.Targets[i].ID) != "" || lifecycle.LeftOut(p.d, &p.s.Targets[i]) {
		return sideOut
	}
	return p.placeOf(i, share, leaving)
}

// placeOf is where a target stands by itself. By slot, a side is a slot; else the new side are the verified targets.
func (p *planner) placeOf(i, share int, leaving map[int]bool) side {
	t := &p.s.Targets[i]
	active, _ := lifecycle.Slots(p.d)
	switch {
	case p.inOneSlot() && (share < lifecycle.AllTraffic || !p.gone(t)):
		return sideOld
	case leaving[i], p.gone(t), t.Attempts > 0 && t.OutOfService(), p.exposes(t):
		return sideOut
	case p.bySlot() && t.Slot == active:
		return sideOld
	case p.bySlot(), t.State == rollout.TargetUpdated, share > 0 && p.wasUpdatedBefore(t):
		return sideNew
	default:
		return sideOld
	}
}

// wasUpdatedBefore reports whether a target that this deployment does not call runs its version already, because this is the
// retry or the rollback of another one. Once it goes back or is aborted, such a target serves as it did before.
func (p *planner) wasUpdatedBefore(t *rollout.Target) bool {
	return p.kind.WeightPerTarget && p.d.Direction == rollout.Forward && t.Wave == 0 && t.Version != "" && t.Version == p.d.Version
}

// gone reports whether a target was given up. One that no call has reached serves as it did, unless its side is switched as
// a whole.
func (p *planner) gone(t *rollout.Target) bool {
	unreached := t.Attempts > 0 && !t.Touched()
	return lifecycle.FailedOrUnknown(t) && (!unreached || p.kind.SwitchesSides)
}

// exposes reports whether a target runs the new version already and is not verified yet: it would get more traffic than the
// stage allows. Where most do that serve, they go on: too few would be left, and nothing is exposed that was not before.
func (p *planner) exposes(t *rollout.Target) bool {
	return p.kind.LimitExposure && !p.widespread && p.d.Direction == rollout.Forward && t.State != rollout.TargetUpdated && !t.Touched() && t.Version != "" && t.Version == t.DesiredVersion
}

// widespread reports whether more than half of the targets that served when the deployment began ran its version already.
func widespread(s *rollout.Snapshot) bool {
	ran, others := 0, 0
	for i := range s.Targets {
		t := &s.Targets[i]
		before := t.Version
		if t.Touched() {
			before = t.PreviousVersion
		}
		switch {
		case lifecycle.WasOut(&s.Deployment, t):
		case before != "" && before == t.DesiredVersion:
			ran++
		default:
			others++
		}
	}
	return ran > others
}

// bySlot reports whether the sides are two slots, of which one serves.
func (p *planner) bySlot() bool { return p.spec.IdleSlot != "" }
