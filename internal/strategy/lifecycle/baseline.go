package lifecycle

import (
	"slices"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// WeightsByTarget returns the weight of each target.
func WeightsByTarget(backends []routing.Backend) map[string]int {
	weights := make(map[string]int, len(backends))
	for _, b := range backends {
		weights[b.Target] = b.Weight
	}
	return weights
}

// learnBaseline takes from the first reading of a deployment what the router does before the first write: the weights in full
// rotation, and who is out. What the deployment before has left distinguishes its own writes from those of others.
func learnBaseline(s *rollout.Snapshot, r *routing.State, reading *routing.Reading) {
	before := priorStateOf(s.RouterBefore)
	r.TakenOut = nil
	for i := range s.Targets {
		if before.out[s.Targets[i].ID] {
			r.TakenOut = append(r.TakenOut, s.Targets[i].ID)
		}
	}
	r.OutBefore = slices.Clone(r.TakenOut)
	r.Baseline = before.knownWeights(s)
	if reading.Backends == nil || before.isUnchanged(reading) && reading.Weights != nil {
		return
	}
	if slices.ContainsFunc(reading.Backends, func(b routing.BackendReading) bool { return b.Weight < 0 }) {
		return
	}
	r.TakenOut = append(r.TakenOut, unservedTargets(s, r, reading)...)
	r.Baseline = before.adjustedBaseline(reading)
}

// priorState is how the deployment before left a router.
type priorState struct {
	full, set map[string]int
	out       map[string]bool
}

func priorStateOf(r *routing.State) priorState {
	l := priorState{out: map[string]bool{}}
	if r == nil || r.Sent == nil {
		return l
	}
	l.full, l.set = WeightsByTarget(r.Baseline), WeightsByTarget(r.Sent.Setting.Backends)
	for _, target := range r.TakenOut {
		l.out[target] = true
	}
	for target, weight := range l.set {
		if len(r.Baseline) == 0 && weight == 0 { // a server from before baselines were known took it out
			l.out[target] = true
		}
	}
	return l
}

func (l priorState) knownWeights(s *rollout.Snapshot) []routing.Backend {
	var list []routing.Backend
	for i := range s.Targets {
		if weight := l.full[s.Targets[i].ID]; weight > 0 {
			list = append(list, routing.Backend{Target: s.Targets[i].ID, Weight: weight})
		}
	}
	return list
}

func (l priorState) isUnchanged(reading *routing.Reading) bool {
	return !slices.ContainsFunc(reading.Backends, func(b routing.BackendReading) bool {
		weight, set := l.set[b.Target]
		return !set || weight != b.Weight
	})
}

// adjustedBaseline returns the weights as they are read, but for those that the deployment before has set itself. A target without weight
// has the one that it had, else as much as the others.
func (l priorState) adjustedBaseline(reading *routing.Reading) []routing.Backend {
	list := make([]routing.Backend, len(reading.Backends))
	sum, known := 0, 0
	for i, b := range reading.Backends {
		weight := b.Weight
		if set, ours := l.set[b.Target]; weight == 0 || ours && set == weight && l.full[b.Target] > 0 {
			weight = l.full[b.Target]
		}
		list[i] = routing.Backend{Target: b.Target, Weight: weight}
		if weight > 0 {
			sum, known = sum+weight, known+1
		}
	}
	for i := range list {
		switch {
		case list[i].Weight > 0:
		case known > 0:
			list[i].Weight = max(sum/known, 1)
		default:
			list[i].Weight = DefaultWeight
		}
	}
	return list
}

// unservedTargets lists the targets without weight that are no one's own hand: those of a slot of which none serves, and all when
// no target serves at all.
func unservedTargets(s *rollout.Snapshot, r *routing.State, reading *routing.Reading) []string {
	serves := map[string]bool{}
	for i, b := range reading.Backends {
		slot := ""
		if s.Deployment.Spec.IdleSlot != "" {
			slot = s.Targets[i].Slot
		}
		serves[slot] = serves[slot] || b.Weight > 0 || b.HeldBy != ""
	}
	var out []string
	for i, b := range reading.Backends {
		slot := ""
		if s.Deployment.Spec.IdleSlot != "" {
			slot = s.Targets[i].Slot
		}
		if !serves[slot] && !slices.Contains(r.TakenOut, b.Target) {
			out = append(out, b.Target)
		}
	}
	return out
}

// findHeld lists the targets that others keep out of rotation. A router that reports the shares of its sides does what was
// written to it, or not: it has no hand of its own.
func findHeld(r *routing.State, reading *routing.Reading) []routing.HeldBackend {
	if reading.Weights != nil {
		return nil
	}
	var held []routing.HeldBackend
	for _, b := range reading.Backends {
		switch {
		case isTakenOut(r, &b, b.Target):
		case b.HeldBy != "":
			held = append(held, routing.HeldBackend{Target: b.Target, By: b.HeldBy})
		case b.Weight == 0:
			held = append(held, routing.HeldBackend{Target: b.Target, By: routing.HeldByWeight})
		}
	}
	return held
}

// inferTakenOut notes, of a router that a server of an older version has written to in this deployment, whom that one took out: it
// did so by weight 0, and wrote down neither weights in full rotation nor whom it took out. That weight is Rollcall's mark on
// a server that it drains as well; what an operator holds has its weight.
func inferTakenOut(r *routing.State, reading *routing.Reading) {
	if r.Sent == nil || len(r.Baseline) > 0 {
		return
	}
	out := slices.Clone(r.TakenOut)
	for _, b := range reading.Backends {
		if b.Weight == 0 && !slices.Contains(out, b.Target) {
			out = append(out, b.Target)
		}
	}
	r.TakenOut = out
}

// HeldBy returns what keeps a target out of rotation that is not Rollcall; empty when nothing does.
func HeldBy(r *routing.State, target string) string {
	if r == nil {
		return ""
	}
	for _, h := range r.Held {
		if h.Target == target {
			return h.By
		}
	}
	return ""
}

// LeftOut reports whether a target is out as an earlier deployment left it, and was not verified since.
func LeftOut(d *rollout.Deployment, t *rollout.Target) bool {
	return t.State != rollout.TargetUpdated && t.State != rollout.TargetRolledBack && d.Spec.IdleSlot == "" && WasOut(d, t)
}

// WasOut reports whether a target was out when the deployment began, as an earlier one left it.
func WasOut(d *rollout.Deployment, t *rollout.Target) bool {
	r := d.Progress.Router
	return r != nil && slices.Contains(r.OutBefore, t.ID)
}

// noteTakenOut notes, before a write, whom it takes out; what is out already by another hand is not Rollcall's.
func noteTakenOut(r *routing.State, setting *routing.TrafficSplit) {
	out := slices.Clone(r.TakenOut)
	for _, b := range setting.Backends {
		if b.Weight == 0 && HeldBy(r, b.Target) == "" && !slices.Contains(out, b.Target) {
			out = append(out, b.Target)
		}
	}
	r.TakenOut = out
}

// isTakenOut reports whether Rollcall has taken a target out: by a write that is known to have been done, or by one without an
// answer that the router has carried out since.
func isTakenOut(r *routing.State, is *routing.BackendReading, target string) bool {
	return r != nil && (slices.Contains(r.TakenOut, target) || is.Weight == 0 && slices.Contains(r.LateOut, target))
}

// noteLateOut records, of a write without an answer, which targets it takes out when the router carries it out late.
func noteLateOut(r *routing.State) {
	late := slices.Clone(r.LateOut)
	for _, b := range r.Sent.Setting.Backends {
		if b.Weight == 0 && HeldBy(r, b.Target) == "" && !slices.Contains(late, b.Target) {
			late = append(late, b.Target)
		}
	}
	r.LateOut = late
}

// dropLateOut records that the last write has been carried out: nothing more is to be expected of it.
func dropLateOut(r *routing.State) {
	weights := WeightsByTarget(r.Sent.Setting.Backends)
	r.LateOut = slices.DeleteFunc(slices.Clone(r.LateOut), func(target string) bool {
		weight, set := weights[target]
		return set && weight == 0
	})
}

// claimLateOut counts the targets that a late write has taken out as taken out by Rollcall, so that they may be restored.
func claimLateOut(r *routing.State, reading *routing.Reading) {
	out := slices.Clone(r.TakenOut)
	for _, b := range reading.Backends {
		if isTakenOut(r, &b, b.Target) && !slices.Contains(out, b.Target) {
			out = append(out, b.Target)
		}
	}
	r.TakenOut = out
}

// noteRestored notes, after a write, which targets are back in rotation.
func noteRestored(r *routing.State, setting *routing.TrafficSplit) {
	weights := WeightsByTarget(setting.Backends)
	r.TakenOut = slices.DeleteFunc(slices.Clone(r.TakenOut), func(target string) bool { return weights[target] > 0 })
}

// DefaultWeight is the weight of a target in full rotation when neither the request nor the router names one.
const DefaultWeight = 100
