package planner

import (
	"slices"

	"rollcall/internal/strategy/lifecycle"
)

// proportionalWeights splits the weights between the sides by the share, and within a side in proportion to the targets'
// weights in full rotation. All of them together weigh as much as in full rotation, where whole numbers allow: others that
// share traffic with them keep their part.
func (tf *traffic) proportionalWeights(share int, same bool, sides []side) (newSide, oldSide []int) {
	var full [3][]int
	total := 0
	for i, at := range sides {
		full[at] = append(full[at], tf.full[i])
		total += tf.full[i]
	}
	switch {
	case same:
		return full[sideNew], full[sideOld]
	case share == 0:
		return make([]int, len(full[sideNew])), full[sideOld]
	case share == lifecycle.AllTraffic:
		return full[sideNew], make([]int, len(full[sideOld]))
	}
	step := gcd(share, lifecycle.AllTraffic)
	parts := [3]int{sideNew: share / step, sideOld: (lifecycle.AllTraffic - share) / step}
	unit := divideRounded(total, lifecycle.AllTraffic/step)
	for _, at := range []side{sideNew, sideOld} {
		unit = max(unit, (len(full[at])+parts[at]-1)/parts[at])
	}
	for _, at := range []side{sideNew, sideOld} {
		unit = min(unit, maxWeight*len(full[at])/parts[at])
	}
	unit = max(unit, 1)
	return divideInProportion(unit*parts[sideNew], full[sideNew]), divideInProportion(unit*parts[sideOld], full[sideOld])
}

func gcd(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

func divideRounded(a, b int) int { return (a + b/2) / b }

// divideInProportion splits a sum in proportion to the weights, as exactly as whole numbers can: at least 1 each where the sum
// allows, and at most the greatest weight. The rest goes to those furthest below their part.
func divideInProportion(sum int, full []int) []int {
	total := 0
	for _, weight := range full {
		total += weight
	}
	list := make([]int, len(full))
	rest := sum
	for i, weight := range full {
		list[i] = min(sum*weight/total, maxWeight)
		if list[i] == 0 && sum >= len(full) {
			list[i] = 1
		}
		rest -= list[i]
	}
	distributeRest(list, rest, func(i int) int { return sum*full[i] - list[i]*total })
	return list
}

// distributeRest distributes what is over, or takes back what is too much, one by one: first where most is lacking, or least.
func distributeRest(list []int, rest int, lacks func(i int) int) {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	step := 1
	if rest < 0 {
		step = -1
	}
	for moved := true; rest != 0 && moved; {
		slices.SortStableFunc(order, func(a, b int) int { return step * (lacks(b) - lacks(a)) })
		moved = false
		for _, i := range order {
			if next := list[i] + step; rest != 0 && next >= 1 && next <= maxWeight {
				list[i], rest, moved = next, rest-step, true
			}
		}
	}
}
