package strategy

import (
	"fmt"
	"strings"

	"rollcall/internal/rollout"
)

// ReadsBack reports whether a write with this answer counts only once the router has been read.
func ReadsBack(d *rollout.Deployment, a rollout.Answer) bool {
	return d.Spec.Traffic.Readable() && (a.Kind == rollout.AnswerDone || a.Kind == rollout.AnswerAccepted)
}

// JudgeRoute is the answer to a write once its reading is taken into account: one that reads back otherwise is to be tried
// again. Judging twice is judging once.
func JudgeRoute(d *rollout.Deployment, o rollout.Outcome) rollout.Answer {
	a := o.Answer
	if o.Reading == nil || !ReadsBack(d, a) {
		return a
	}
	if differs := RouterDiffers(d, &o.Action.Route.Setting, o.Reading); differs != "" {
		return rollout.Answer{Kind: rollout.AnswerRetry, Message: "written, but read back " + differs, Latency: a.Latency}
	}
	a.Message = strings.TrimSuffix(a.Message, readBack) + readBack
	return a
}

const readBack = ", read back"

// RouterDiffers says in words where a router does not do what is wanted of it, such as "new_weight 10, not 50"; empty when
// it agrees in all that it reports. One that reports only the shares of its sides says the same before and after a target
// was taken out: it confirms a write that it has answered, but never that one has arrived; see tellsWeights.
func RouterDiffers(d *rollout.Deployment, want *rollout.Setting, r *rollout.RouterReading) string {
	if r.Shares != nil {
		if differs := sharesDiffer(d, want.Shares(), r); differs != "" {
			return differs
		}
	}
	if r.Backends == nil {
		return ""
	}
	weights := make(map[string]int, len(r.Backends))
	for i := range r.Backends {
		weights[r.Backends[i].Target] = r.Backends[i].Weight
	}
	for _, b := range want.Backends {
		is, reported := weights[b.Target]
		if !reported {
			is = -1
		}
		if is != b.Weight {
			return fmt.Sprintf("target %s with weight %s, not %d", b.Target, weightWord(is), b.Weight)
		}
	}
	return ""
}

func sharesDiffer(d *rollout.Deployment, want rollout.Shares, r *rollout.RouterReading) string {
	switch {
	case r.DeploymentID != d.ID:
		return fmt.Sprintf("deployment_id %.100q, not %q", r.DeploymentID, d.ID)
	case r.Shares.ActiveSlot != want.ActiveSlot:
		return fmt.Sprintf("active_slot %.100q, not %q", r.Shares.ActiveSlot, want.ActiveSlot)
	case r.Shares.NewWeight != want.NewWeight:
		return fmt.Sprintf("new_weight %s, not %d", weightWord(r.Shares.NewWeight), want.NewWeight)
	case r.Shares.OldWeight != want.OldWeight:
		return fmt.Sprintf("old_weight %s, not %d", weightWord(r.Shares.OldWeight), want.OldWeight)
	default:
		return ""
	}
}

// tellsWeights reports whether a router has reported the weight of every target.
func tellsWeights(r *rollout.RouterReading) bool { return r.Backends != nil }

func weightWord(weight int) string {
	if weight < 0 {
		return "missing or no whole number"
	}
	return fmt.Sprint(weight)
}
