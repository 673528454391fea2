package planner

import (
	"slices"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// newSide computes which share of traffic, in percent, the new side gets.
type newSide struct{ *view }

// weightAfterWave returns the new side's share of traffic once a wave has its outcome; wave 0 is the beginning.
func (ns *newSide) weightAfterWave(wave int) int {
	switch {
	case ns.kind.WeightPerTarget:
		return lifecycle.AllTraffic
	case wave == 0:
		return 0
	case !ns.isSwitchRollback():
		return ns.spec.Waves[wave-1].Weight
	case ns.d.Progress.Wave > 1 || !ns.st.Progress.WaveSettledAt.IsZero():
		return ns.d.Progress.Weight // as the first wave left it
	case !ns.waveVerified(wave):
		return 0
	default:
		return ns.spec.Waves[wave-1].Weight
	}
}

// weightDuringWave returns the new side's share while a wave is being updated. A deployment that has failed and stops leaves it none.
func (ns *newSide) weightDuringWave(wave int) int {
	if ns.d.Stop == rollout.StopHalted {
		return ns.weightAfterWave(0)
	}
	return max(ns.weightAfterWave(wave-1), ns.weightInParts(wave))
}

// weightInParts returns the new side's share while a stage is updated in parts: it grows with the targets that are verified, from
// that of the stage before to its own. Else fewer and fewer targets of the old side would get nearly all traffic. 0 when the
// stage is updated at once.
func (ns *newSide) weightInParts(wave int) int {
	w := ns.spec.Waves[wave-1]
	if !ns.kind.LimitExposure || w.Parallel >= w.Size {
		return 0
	}
	verified := 0
	for i := range ns.s.Targets {
		if t := &ns.s.Targets[i]; t.Wave == wave && t.State == rollout.TargetUpdated {
			verified++
		}
	}
	before := ns.weightAfterWave(wave - 1)
	return before + (w.Weight-before)*verified/w.Size
}

// weightNow returns the new side's share until a wave has its outcome. While a person is waited for it gets no more than it has.
func (ns *newSide) weightNow(wave int) int {
	switch share := ns.weightDuringWave(wave); {
	case !ns.isPaused() || ns.kind.WeightPerTarget:
		return share
	case ns.d.Progress.Weight == ns.weightAfterWave(wave) && ns.waveDone(wave): // it was moved before the deployment was held
		return ns.d.Progress.Weight
	default:
		return min(share, ns.d.Progress.Weight)
	}
}

// weightForRollback returns the new side's share while targets are taken back: none may have traffic on the new side before anything
// there is touched. Where it is the old side whose targets were touched, the new one keeps its traffic until they are back.
func (ns *newSide) weightForRollback() int {
	if ns.kind.WeightPerTarget {
		return lifecycle.AllTraffic
	}
	if ns.activeSlotTouched() {
		return ns.d.Progress.Weight
	}
	return 0
}

// waveDone reports whether all targets of a wave have their outcome, and it did not stop the deployment that all of them
// failed. Before that the new side has a greater share only for want of an old one, as while the last targets are called.
func (ns *newSide) waveDone(wave int) bool {
	size, failed := 0, 0
	for i := range ns.s.Targets {
		t := &ns.s.Targets[i]
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
	return failed < size || size == 0 || ns.d.Stop != rollout.StopPaused
}

// activeSlotTouched reports whether targets of the slot that served at first were called.
func (ns *newSide) activeSlotTouched() bool {
	active, _ := lifecycle.Slots(ns.d)
	return ns.usesSlots() && slices.ContainsFunc(ns.s.Targets, func(t rollout.Target) bool { return t.Touched() && t.Slot == active })
}

// isSwitchRollback reports whether the deployment takes back one that went from slot to slot. What fails in it is no reason to
// stop, and so no reason to move traffic either.
func (ns *newSide) isSwitchRollback() bool {
	return ns.d.Kind == rollout.KindRollback && ns.usesSlots()
}
