package lifecycle

import (
	"fmt"
	"strings"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// NeedsReadBack reports whether a write with this answer counts only once the router has been read.
func NeedsReadBack(d *rollout.Deployment, a rollout.CallResult) bool {
	return d.Spec.Traffic.Readable() && (a.Kind == rollout.ResultDone || a.Kind == rollout.ResultAccepted)
}

// VerifyRouterWrite returns the answer to a write once its reading is taken into account: one that reads back otherwise is to be tried
// again. Judging twice is judging once.
func VerifyRouterWrite(d *rollout.Deployment, o rollout.Outcome) rollout.CallResult {
	a := o.Result
	if o.Reading == nil || !NeedsReadBack(d, a) {
		return a
	}
	if differs := RouterDifference(d, &o.Action.Route.Setting, o.Reading); differs != "" {
		return rollout.CallResult{Kind: rollout.ResultRetry, Message: "written, but read back " + differs, Latency: a.Latency}
	}
	a.Message = strings.TrimSuffix(a.Message, readBack) + readBack
	return a
}

const readBack = ", read back"

// RouterDifference returns where a router does not do what is wanted of it, such as "new_weight 10, not 50"; empty when
// it agrees in all that it reports. One that reports only the shares of its sides says the same before and after a target
// was taken out: it confirms a write that it has answered, but never that one has arrived; see reportsWeights.
func RouterDifference(d *rollout.Deployment, want *routing.TrafficSplit, r *routing.Reading) string {
	if r.Weights != nil {
		if differs := sharesDiffer(d, want.Weights(), r); differs != "" {
			return differs
		}
	}
	if r.Backends == nil {
		return ""
	}
	read := make(map[string]*routing.BackendReading, len(r.Backends))
	for i := range r.Backends {
		read[r.Backends[i].Target] = &r.Backends[i]
	}
	for _, b := range want.Backends {
		is := read[b.Target]
		if is == nil {
			is = &routing.BackendReading{Weight: -1}
		}
		if differs := backendDiffers(d.Progress.Router, b, is, r.Weights == nil); differs != "" {
			return fmt.Sprintf("target %s with %s", b.Target, differs)
		}
	}
	return ""
}

// backendDiffers returns where one target's weight is not as wanted. At a router that others work on by hand (byHand), a
// target that others keep out stays out, and what Rollcall itself has taken out must not be held any more to be back.
func backendDiffers(r *routing.State, want routing.Backend, is *routing.BackendReading, byHand bool) string {
	if byHand {
		ours := isTakenOut(r, is, want.Target)
		if ours && want.Weight > 0 && is.HeldBy != "" {
			return fmt.Sprintf("weight %d in %s, not %d in rotation", is.Weight, is.HeldBy, want.Weight)
		}
		if leftByHand(r, want, is, ours) {
			return ""
		}
	}
	if is.Weight != want.Weight {
		return fmt.Sprintf("weight %s, not %d", weightText(is.Weight), want.Weight)
	}
	return ""
}

// leftByHand reports whether a target that Rollcall has taken out (ours), or others have, is out as it may be.
func leftByHand(r *routing.State, want routing.Backend, is *routing.BackendReading, ours bool) bool {
	if want.Weight == 0 {
		return is.HeldBy != "" || !ours && HeldBy(r, want.Target) == routing.HeldByWeight
	}
	return is.Weight == 0 && !ours && len(r.Known()) > 0
}

func sharesDiffer(d *rollout.Deployment, want routing.Weights, r *routing.Reading) string {
	switch {
	case r.DeploymentID != d.ID:
		return fmt.Sprintf("deployment_id %.100q, not %q", r.DeploymentID, d.ID)
	case r.Weights.ActiveSlot != want.ActiveSlot:
		return fmt.Sprintf("active_slot %.100q, not %q", r.Weights.ActiveSlot, want.ActiveSlot)
	case r.Weights.NewWeight != want.NewWeight:
		return fmt.Sprintf("new_weight %s, not %d", weightText(r.Weights.NewWeight), want.NewWeight)
	case r.Weights.OldWeight != want.OldWeight:
		return fmt.Sprintf("old_weight %s, not %d", weightText(r.Weights.OldWeight), want.OldWeight)
	default:
		return ""
	}
}

// reportsWeights reports whether a router has reported the weight of every target.
func reportsWeights(r *routing.Reading) bool { return r.Backends != nil }

func weightText(weight int) string {
	if weight < 0 {
		return "missing or not an integer"
	}
	return fmt.Sprint(weight)
}
