package planner

import (
	"cmp"
	"slices"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

// traffic computes how a router should split traffic.
type traffic struct {
	*view
	// full are the weights of the targets in full rotation; nil when they are not known.
	full []int
	// widespread reports that most of the targets in service when the deployment began ran its version already.
	widespread bool
}

func newTraffic(v *view) *traffic {
	tf := &traffic{view: v, widespread: isWidespread(v.s)}
	if v.spec.Traffic != nil {
		tf.full = fullWeights(v.s)
	}
	return tf
}

// fullWeights returns the weights that the targets have in full rotation, in their order: as the request says, else as the router
// had them before the first write. nil when they are not known.
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

// fullBackends returns the full weights as a write carries them.
func (tf *traffic) fullBackends() []routing.Backend {
	if tf.full == nil {
		return nil
	}
	list := make([]routing.Backend, len(tf.full))
	for i, weight := range tf.full {
		list[i] = routing.Backend{Target: tf.s.Targets[i].ID, Weight: weight}
	}
	return list
}

// maxWeight is the highest weight that routers take.
const maxWeight = 256

// splitAt returns what the router should do now, with share percent of traffic on the new side (rolling ignores it: there
// every target in service counts as in full rotation) and without the targets in leaving.
func (tf *traffic) splitAt(share int, leaving map[int]bool) routing.TrafficSplit {
	sides, count := tf.assignSides(share, leaving)
	active, idle := lifecycle.Slots(tf.d)
	s := routing.TrafficSplit{ActiveSlot: active, NewWeight: tf.newWeight(share, sides, count)}
	s.OldWeight = lifecycle.AllTraffic - s.NewWeight
	if idle != "" && s.NewWeight == lifecycle.AllTraffic {
		s.ActiveSlot = idle
	}
	weights := tf.targetWeights(s.NewWeight, tf.sameWeights(share), sides, count)
	tf.keepHeldWeights(weights, &s, share, leaving)
	s.Backends = make([]routing.Backend, len(sides))
	for i := range sides {
		s.Backends[i] = routing.Backend{Target: tf.s.Targets[i].ID, Weight: weights[i]}
	}
	return s
}

// keepHeldWeights sets for targets that others drain the weight that they will have when they are back: none where
// their side has none.
func (tf *traffic) keepHeldWeights(weights []int, s *routing.TrafficSplit, share int, leaving map[int]bool) {
	r := tf.d.Progress.Router
	if tf.full == nil || r == nil || len(r.Held) == 0 {
		return
	}
	for i := range weights {
		if by := lifecycle.HeldBy(r, tf.s.Targets[i].ID); by == "" || by == routing.HeldByWeight {
			continue
		}
		switch at := tf.ownSide(i, share, leaving); {
		case at == sideNew && (s.NewWeight > 0 || tf.sameWeights(share)), at == sideOld && s.OldWeight > 0:
			weights[i] = tf.full[i]
		}
	}
}

// targetWeights returns the weight of each target: its part of its side's weight, and 0 for a target out of traffic. Where
// all that serve count the same, each is in full rotation, however little the share of its side is in whole percent.
func (tf *traffic) targetWeights(share int, same bool, sides []side, count [3]int) []int {
	var parts [3][]int
	if tf.full == nil {
		parts[sideNew], parts[sideOld] = tf.evenWeights(share, same, count)
	} else {
		parts[sideNew], parts[sideOld] = tf.proportionalWeights(share, same, sides)
	}
	weights := make([]int, len(sides))
	for i, at := range sides {
		if at != sideOut {
			weights[i], parts[at] = parts[at][0], parts[at][1:]
		}
	}
	return weights
}

// newWeight returns the new side's share in percent, as far as both sides have a target to take theirs.
func (tf *traffic) newWeight(share int, sides []side, count [3]int) int {
	switch {
	case tf.kind.WeightPerTarget && share > 0:
		sum := count
		if tf.full != nil {
			sum = [3]int{}
			for i, at := range sides {
				sum[at] += tf.full[i]
			}
		}
		return sum[sideNew] * lifecycle.AllTraffic / max(sum[sideNew]+sum[sideOld], 1)
	case tf.updatesInPlace():
		return share
	case count[sideNew] == 0:
		return 0
	case count[sideOld] == 0:
		return lifecycle.AllTraffic
	default:
		return share
	}
}

// evenWeights splits the share of each side evenly among its targets; the sides' sums relate exactly as their shares.
func (tf *traffic) evenWeights(share int, same bool, count [3]int) (newSide, oldSide []int) {
	if same {
		return spreadEvenly(lifecycle.DefaultWeight*count[sideNew], count[sideNew]), spreadEvenly(lifecycle.DefaultWeight*count[sideOld], count[sideOld])
	}
	unit := maxWeight * len(tf.s.Targets)
	for at, part := range map[side]int{sideNew: share, sideOld: lifecycle.AllTraffic - share} {
		if part > 0 {
			unit = min(unit, maxWeight*count[at]/part)
		}
	}
	unit = max(unit, 1)
	return spreadEvenly(share*unit, count[sideNew]), spreadEvenly((lifecycle.AllTraffic-share)*unit, count[sideOld])
}

// spreadEvenly divides a sum over n targets as evenly as whole numbers can.
func spreadEvenly(sum, n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = min(sum/n, maxWeight)
		if i < sum%n {
			list[i] = min(list[i]+1, maxWeight)
		}
	}
	return list
}

// sameWeights reports whether all targets that serve count the same, whatever their side.
func (tf *traffic) sameWeights(share int) bool {
	return tf.updatesInPlace() || tf.kind.WeightPerTarget && share > 0
}
