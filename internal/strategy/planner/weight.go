package planner

import (
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// weightAfterWave returns the new side's share of traffic once a wave has its outcome; wave 0 is the beginning.
func (v *view) weightAfterWave(wave int) int {
	switch {
	case v.kind.WeightPerTarget:
		return lifecycle.AllTraffic
	case wave == 0:
		return 0
	case !v.isSwitchRollback():
		return v.spec.Waves[wave-1].Weight
	case v.d.Progress.Wave > 1 || !v.st.Progress.WaveSettledAt.IsZero():
		return v.d.Progress.Weight // as the first wave left it
	case !v.waveVerified(wave):
		return 0
	default:
		return v.spec.Waves[wave-1].Weight
	}
}

// weightDuringWave returns the new side's share while a wave is being updated. A deployment that has failed and stops leaves it none.
func (v *view) weightDuringWave(wave int) int {
	if v.d.Stop == rollout.StopHalted {
		return v.weightAfterWave(0)
	}
	return max(v.weightAfterWave(wave-1), v.weightInParts(wave))
}

// weightInParts returns the new side's share while a stage is updated in parts: it grows with the targets that are verified, from
// that of the stage before to its own. Else fewer and fewer targets of the old side would get nearly all traffic. 0 when the
// stage is updated at once.
func (v *view) weightInParts(wave int) int {
	w := v.spec.Waves[wave-1]
	if !v.kind.LimitExposure || w.Parallel >= w.Size {
		return 0
	}
	verified := 0
	for i := range v.s.Targets {
		if t := &v.s.Targets[i]; t.Wave == wave && t.State == rollout.TargetUpdated {
			verified++
		}
	}
	before := v.weightAfterWave(wave - 1)
	return before + (w.Weight-before)*verified/w.Size
}

// weightNow returns the new side's share until a wave has its outcome. While a person is waited for it gets no more than it has.
func (v *view) weightNow(wave int) int {
	switch share := v.weightDuringWave(wave); {
	case !v.isPaused() || v.kind.WeightPerTarget:
		return share
	case v.d.Progress.Weight == v.weightAfterWave(wave) && v.waveDone(wave): // it was moved before the deployment was held
		return v.d.Progress.Weight
	default:
		return min(share, v.d.Progress.Weight)
	}
}

// weightForRollback returns the new side's share while targets are taken back: none may have traffic on the new side before anything
// there is touched. Where it is the old side whose targets were touched, the new one keeps its traffic until they are back.
func (v *view) weightForRollback() int {
	if v.kind.WeightPerTarget {
		return lifecycle.AllTraffic
	}
	if v.activeSlotTouched() {
		return v.d.Progress.Weight
	}
	return 0
}

// skippedWaveReason returns why a wave that was only checked has not got the traffic; empty when it has, or was to be called.
func (v *view) skippedWaveReason(wave int) string {
	if !v.spec.Waves[wave-1].CheckOnly || v.waveVerified(wave) {
		return ""
	}
	return "standby slot failed verification; traffic not switched"
}

// halves is of how many parts one may leave where little serves.
const halves = 2

// maxConcurrent bounds how many targets may be out of service together with this one: most, and of a slot that serves half.
func (v *view) maxConcurrent(t *rollout.Target, most int) int {
	most = v.limitBesideLeftOut(t, most)
	serving, idle := lifecycle.Slots(v.d)
	if v.d.Progress.Weight == lifecycle.AllTraffic {
		serving = idle
	}
	if v.spec.Traffic == nil || !v.usesSlots() || t.Slot != serving {
		return most
	}
	all := 0
	for i := range v.s.Targets {
		if v.s.Targets[i].Slot == serving {
			all++
		}
	}
	return min(most, max(all/halves, 1))
}

// limitBesideLeftOut lets half of the targets that serve stay, where an earlier deployment has left others out.
func (v *view) limitBesideLeftOut(t *rollout.Target, most int) int {
	if r := v.d.Progress.Router; v.spec.Traffic == nil || r == nil || len(r.OutBefore) == 0 || lifecycle.LeftOut(v.d, t) {
		return most
	}
	serve := 0
	for i := range v.s.Targets {
		if o := &v.s.Targets[i]; !lifecycle.LeftOut(v.d, o) {
			serve++
		}
	}
	if serve == len(v.s.Targets) {
		return most
	}
	return min(most, max(serve/halves, 1))
}
