package planner

import (
	"slices"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// shareAfter is the new side's share of traffic once a wave has its outcome; wave 0 is the beginning.
func (p *planner) shareAfter(wave int) int {
	switch {
	case p.kind.WeightPerTarget:
		return lifecycle.AllTraffic
	case wave == 0:
		return 0
	case !p.undoesSwitch():
		return p.spec.Waves[wave-1].Weight
	case p.d.Progress.Wave > 1 || !p.out.Status.Progress.WaveSettledAt.IsZero():
		return p.d.Progress.Weight // as the first wave left it
	case !p.complete(wave):
		return 0
	default:
		return p.spec.Waves[wave-1].Weight
	}
}

// shareWithin is the new side's share while a wave is being updated. A deployment that has failed and stops leaves it none.
func (p *planner) shareWithin(wave int) int {
	if p.d.Stop == rollout.StopHalted {
		return p.shareAfter(0)
	}
	return max(p.shareAfter(wave-1), p.shareInParts(wave))
}

// shareInParts is the new side's share while a stage is updated in parts: it grows with the targets that are verified, from
// that of the stage before to its own. Else fewer and fewer targets of the old side would get nearly all traffic. 0 when the
// stage is updated at once.
func (p *planner) shareInParts(wave int) int {
	w := p.spec.Waves[wave-1]
	if !p.kind.LimitExposure || w.Parallel >= w.Size {
		return 0
	}
	verified := 0
	for i := range p.s.Targets {
		if t := &p.s.Targets[i]; t.Wave == wave && t.State == rollout.TargetUpdated {
			verified++
		}
	}
	before := p.shareAfter(wave - 1)
	return before + (w.Weight-before)*verified/w.Size
}

// shareNow is the new side's share until a wave has its outcome. While a person is waited for it gets no more than it has.
func (p *planner) shareNow(wave int) int {
	switch share := p.shareWithin(wave); {
	case !p.held() || p.kind.WeightPerTarget:
		return share
	case p.d.Progress.Weight == p.shareAfter(wave) && p.arrived(wave): // it was moved before the deployment was held
		return p.d.Progress.Weight
	default:
		return min(share, p.d.Progress.Weight)
	}
}

// arrived reports whether all targets of a wave have their outcome, and it did not stop the deployment that all of them
// failed. Before that the new side has a greater share only for want of an old one, as while the last targets are called.
func (p *planner) arrived(wave int) bool {
	size, failed := 0, 0
	for i := range p.s.Targets {
		t := &p.s.Targets[i]
		if t.Wave != wave {
			continue
		}
		if !t.Done() {
			return false
		}
		size++
		if lifecycle.FailedOrUnknown(t) {
			failed++
		}
	}
	return failed < size || size == 0 || p.d.Stop != rollout.StopPaused
}

// keepsShare reports whether what a wave has earned for the new side waits for a person: at the gate before it, or because
// something else holds the deployment before it was given.
func (p *planner) keepsShare(wave int) bool {
	moves := p.spec.Traffic != nil && p.shareNow(wave) != p.shareAfter(wave)
	return p.waitsAtGate(wave, rollout.GateSwitch) || p.held() && moves
}

// shareBack is the new side's share while targets are taken back: none may have traffic on the new side before anything
// there is touched. Where it is the old side whose targets were touched, the new one goes on until they are back.
func (p *planner) shareBack() int {
	if p.kind.WeightPerTarget {
		return lifecycle.AllTraffic
	}
	if p.oldSideTouched() {
		return p.d.Progress.Weight
	}
	return 0
}

// oldSideTouched reports whether targets of the slot that served at first were called.
func (p *planner) oldSideTouched() bool {
	active, _ := lifecycle.Slots(p.d)
	return p.bySlot() && slices.ContainsFunc(p.s.Targets, func(t rollout.Target) bool { return t.Touched() && t.Slot == active })
}

// undoesSwitch reports whether the deployment takes back one that went from slot to slot. What fails in it is no reason to
// stop, and so no reason to move traffic either.
func (p *planner) undoesSwitch() bool { return p.d.Kind == rollout.KindRollback && p.bySlot() }

// complete reports whether every target of a wave is verified.
func (p *planner) complete(wave int) bool {
	return !slices.ContainsFunc(p.s.Targets, func(t rollout.Target) bool {
		return t.Wave == wave && t.State != rollout.TargetUpdated
	})
}

// passedBy says why a wave that was only checked has not got the traffic; empty when it has, or was to be called.
func (p *planner) passedBy(wave int) string {
	if !p.spec.Waves[wave-1].CheckOnly || p.complete(wave) {
		return ""
	}
	return "not all of it is as it was: traffic stays where it is"
}

// halves is of how many parts one may leave where little serves.
const halves = 2

// atOnce bounds how many targets may be out of service together with this one: most, and of a slot that serves half.
func (p *planner) atOnce(t *rollout.Target, most int) int {
	most = p.besideLeftOut(t, most)
	serving, idle := lifecycle.Slots(p.d)
	if p.d.Progress.Weight == lifecycle.AllTraffic {
		serving = idle
	}
	if p.spec.Traffic == nil || !p.bySlot() || t.Slot != serving {
		return most
	}
	all := 0
	for i := range p.s.Targets {
		if p.s.Targets[i].Slot == serving {
			all++
		}
	}
	return min(most, max(all/halves, 1))
}

// besideLeftOut lets half of the targets that serve stay, where an earlier deployment has left others out.
func (p *planner) besideLeftOut(t *rollout.Target, most int) int {
	if r := p.d.Progress.Router; p.spec.Traffic == nil || r == nil || len(r.OutBefore) == 0 || lifecycle.LeftOut(p.d, t) {
		return most
	}
	serve := 0
	for i := range p.s.Targets {
		if o := &p.s.Targets[i]; !lifecycle.LeftOut(p.d, o) {
			serve++
		}
	}
	if serve == len(p.s.Targets) {
		return most
	}
	return min(most, max(serve/halves, 1))
}
