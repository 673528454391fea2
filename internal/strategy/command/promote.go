package command

import (
	"cmp"
	"time"

	"rollcall/internal/rollout"
)

// promote opens the gate that the deployment waits at, once; repeated for the same gate it changes nothing.
func promote(d *rollout.Deployment, r Command, now time.Time) ([]rollout.Event, error) {
	if d.StartedAt.IsZero() && d.Spec.Protected {
		return approveStart(d, r, now)
	}
	if err := checkPromotable(d); err != nil {
		return nil, err
	}
	r, err := resolveGate(d, r)
	if err != nil || isPromoted(d, r) {
		return nil, err
	}
	if err := checkGate(d, r); err != nil {
		return nil, err
	}
	waiting := d.Progress.Gate
	e := newEvent(rollout.EventPromoted, d, r, now)
	e.Wave = waiting
	if r.SkipGates {
		e.Message = cmp.Or(r.Reason, "gates and bakes are skipped from now on")
	}
	d.Operator.SkipGates = d.Operator.SkipGates || r.SkipGates
	d.Operator.Promoted = max(d.Operator.Promoted, waiting)
	if waiting > 0 && !d.Operator.Pause && d.Stop == rollout.StopNone { // else something more holds it
		markRunning(d, "promoted", now)
	}
	return withResultingState(e, d), nil
}

// checkGate refuses a promote for another gate than the one that the deployment waits at.
func checkGate(d *rollout.Deployment, r Command) error {
	waiting := d.Progress.Gate
	switch {
	case r.SkipGates || r.Wave == waiting:
		return nil
	case waiting == 0:
		return conflictError("the deployment is not waiting at a gate")
	default:
		return conflictError("the deployment is waiting at the gate of wave %d, not of wave %d", waiting, r.Wave)
	}
}

// approveStart lets a protected deployment begin, once. The gates of its waves come later and are not opened by it.
func approveStart(d *rollout.Deployment, r Command, now time.Time) ([]rollout.Event, error) {
	if r.SkipGates || r.Wave > 0 {
		return nil, conflictError("the deployment has not started: promote it without wave or full to start it")
	}
	if !d.NeedsApproval() {
		return nil, nil
	}
	e := newEvent(rollout.EventPromoted, d, r, now)
	e.Message = cmp.Or(r.Reason, "approved")
	d.Operator.ApprovedBy = r.Actor
	if d.State == rollout.StatePaused && !d.Operator.Pause {
		markRunning(d, "approved", now)
	}
	return withResultingState(e, d), nil
}

// resolveGate names the gate that a promote is for, which may have been left to what the deployment stands at.
func resolveGate(d *rollout.Deployment, r Command) (Command, error) {
	switch {
	case r.SkipGates || r.Wave > 0:
		return r, nil
	case r.SeenGate != nil:
		r.Wave = *r.SeenGate
	default:
		r.Wave = d.Progress.Gate
	}
	if r.Wave == 0 {
		return r, conflictError("the deployment is not waiting at a gate")
	}
	return r, nil
}

func checkPromotable(d *rollout.Deployment) error {
	switch {
	case d.StartedAt.IsZero():
		return conflictError("the deployment has not started: there is nothing to promote")
	case d.Direction == rollout.Backward:
		return conflictError("the deployment is rolling back: there is nothing to promote")
	default:
		return nil
	}
}

// isPromoted reports whether the same promote was applied before.
func isPromoted(d *rollout.Deployment, r Command) bool {
	if r.SkipGates {
		return d.Operator.SkipGates
	}
	return r.Wave <= d.Operator.Promoted && d.Spec.Waves[r.Wave-1].Gate != rollout.GateNone
}
