package planner

import (
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// side is where a target stands towards traffic.
type side int

const (
	sideOut side = iota
	sideOld
	sideNew
)

// assignSides returns the side of each target, and the number of targets on each side.
func (tf *traffic) assignSides(share int, leaving map[int]bool) (sides []side, count [3]int) {
	sides = make([]side, len(tf.s.Targets))
	for i := range tf.s.Targets {
		sides[i] = tf.sideOf(i, share, leaving)
		count[sides[i]]++
	}
	tf.admitLeftOut(sides, &count, share, leaving)
	stranded := tf.usesSlots() && share == 0 && count[sideOld] == 0 && tf.d.Progress.Weight < lifecycle.AllTraffic
	if count[sideNew]+count[sideOld] > 0 && !stranded {
		return sides, count
	}
	return tf.lastInService()
}

// admitLeftOut has what an earlier deployment left out serve on the old side when nothing else there does: else all traffic
// would go to the new side, or to what is called. Where others serve that the deployment does not call, it stays out.
func (tf *traffic) admitLeftOut(sides []side, count *[3]int, share int, leaving map[int]bool) {
	if count[sideOld] > 0 {
		return
	}
	for i, at := range sides {
		if at == sideNew && tf.s.Targets[i].Wave == 0 {
			return
		}
	}
	for i := range sides {
		t := &tf.s.Targets[i]
		if t.Wave == 0 || !lifecycle.LeftOut(tf.d, t) || lifecycle.HeldBy(tf.d.Progress.Router, t.ID) != "" || tf.ownSide(i, share, leaving) != sideOld {
			continue
		}
		sides[i] = sideOld
		count[sideOut]--
		count[sideOld]++
	}
}

// lastInService keeps targets in service that would be out, as nothing else serves: taking the last ones out would serve no
// client better. What is not verified on a new version, and what was given up, serve only where there is nothing but that.
func (tf *traffic) lastInService() (sides []side, count [3]int) {
	active, _ := lifecycle.Slots(tf.d)
	sides = make([]side, len(tf.s.Targets))
	for _, fit := range []func(*rollout.Target) bool{
		func(t *rollout.Target) bool {
			return !lifecycle.FailedOrUnknown(t) && !lifecycle.LeftOut(tf.d, t) && !tf.wouldExceedExposure(t)
		},
		func(t *rollout.Target) bool { return !lifecycle.FailedOrUnknown(t) && !lifecycle.LeftOut(tf.d, t) },
		func(t *rollout.Target) bool { return !lifecycle.FailedOrUnknown(t) },
		func(*rollout.Target) bool { return true },
	} {
		count = [3]int{}
		for i := range sides {
			t := &tf.s.Targets[i]
			sides[i] = sideOut
			if fit(t) && (!tf.usesSlots() || t.Slot == active) && lifecycle.HeldBy(tf.d.Progress.Router, t.ID) == "" {
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

// sideOf returns where a target stands; sideOut where others keep it out.
func (tf *traffic) sideOf(i, share int, leaving map[int]bool) side {
	if lifecycle.HeldBy(tf.d.Progress.Router, tf.s.Targets[i].ID) != "" || lifecycle.LeftOut(tf.d, &tf.s.Targets[i]) {
		return sideOut
	}
	return tf.ownSide(i, share, leaving)
}

// ownSide returns where a target stands by itself. By slot, a side is a slot; else the new side are the verified targets.
func (tf *traffic) ownSide(i, share int, leaving map[int]bool) side {
	t := &tf.s.Targets[i]
	active, _ := lifecycle.Slots(tf.d)
	switch {
	case tf.updatesInPlace() && (share < lifecycle.AllTraffic || !tf.excludedFromTraffic(t)):
		return sideOld
	case leaving[i], tf.excludedFromTraffic(t), t.Attempts > 0 && t.OutOfService(), tf.wouldExceedExposure(t):
		return sideOut
	case tf.usesSlots() && t.Slot == active:
		return sideOld
	case tf.usesSlots(), t.State == rollout.TargetUpdated, share > 0 && tf.wasUpdatedBefore(t):
		return sideNew
	default:
		return sideOld
	}
}

// wasUpdatedBefore reports whether a target that this deployment does not call runs its version already, because this is the
// retry or the rollback of another one. Once it goes back or is aborted, such a target serves as it did before.
func (tf *traffic) wasUpdatedBefore(t *rollout.Target) bool {
	return tf.kind.WeightPerTarget && tf.d.Direction == rollout.Forward && t.Wave == 0 && t.Version != "" && t.Version == tf.d.Version
}

// excludedFromTraffic reports whether a target was given up. One that no call has reached serves as it did, unless its side is switched as
// a whole.
func (tf *traffic) excludedFromTraffic(t *rollout.Target) bool {
	unreached := t.Attempts > 0 && !t.Touched()
	return lifecycle.FailedOrUnknown(t) && (!unreached || tf.kind.SwitchesSides)
}

// wouldExceedExposure reports whether a target runs the new version already and is not verified yet: it would get more
// traffic than the stage allows. Where most of those that serve do, they keep serving: too few would be left, and nothing
// is exposed that was not before.
func (tf *traffic) wouldExceedExposure(t *rollout.Target) bool {
	return tf.kind.LimitExposure && !tf.widespread && tf.d.Direction == rollout.Forward && t.State != rollout.TargetUpdated && !t.Touched() && t.Version != "" && t.Version == t.DesiredVersion
}

// isWidespread reports whether more than half of the targets that served when the deployment began ran its version already.
func isWidespread(s *rollout.Snapshot) bool {
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
