package command

import (
	"encoding/json"
	"fmt"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy"
)

// NewRetry returns a deployment that completes a finished one: of the same kind, version, strategy and labels, for the
// targets that were not updated. It comes without id and requester. A deployment that has not ended, was superseded or left
// nothing to do is a CodeConflict error that says why.
//
// Numbers of targets in the strategy stay as they were resolved, whatever share of the fewer targets they are now. Where
// the strategy has two slots, all targets are taken, and the same slot as before is the idle one; targets that run the
// version already are only checked.
func NewRetry(s *rollout.Snapshot) (storage.NewDeployment, error) {
	left := &s.Deployment
	if err := checkFinished(left, "retry"); err != nil {
		return storage.NewDeployment{}, err
	}
	targets := unfinishedTargets(s)
	if len(targets) == 0 {
		return storage.NewDeployment{}, conflictError("no target is unfinished, so there is nothing to retry")
	}
	d := newFrom(left)
	d.Kind, d.RollbackOf, d.Version, d.Labels = left.Kind, left.RollbackOf, left.Version, left.Labels
	d.Spec.RetryOf = left.ID
	if left.Kind == rollout.KindRollback && hasTwoSides(left) {
		return retryBySlot(s, d, targets)
	}
	how, err := json.Marshal(left.Spec.Strategy)
	if err != nil {
		return storage.NewDeployment{}, fmt.Errorf("describe the strategy again: %w", err)
	}
	n, err := prepareFrom(d, targets, how, nil)
	addBystanders(&n, s)
	return n, err
}

// unfinishedTargets lists the targets of a retry. Where a strategy has to know both of its sides, it takes all of them, and only
// checks those that have arrived.
func unfinishedTargets(s *rollout.Snapshot) []rollout.Target {
	var missing, everything []rollout.Target
	slots := false
	for i := range s.Targets {
		t := &s.Targets[i]
		slots = slots || t.Slot != ""
		everything = append(everything, resetTarget(t))
		if isUnfinished(&s.Deployment, t) {
			missing = append(missing, resetTarget(t))
		}
	}
	k, _ := strategy.KindOf(s.Deployment.Spec.Strategy.Type)
	bothSides := slots && k.SwitchesSides || s.Deployment.Spec.Traffic != nil && !k.WeightPerTarget
	if len(missing) > 0 && bothSides && s.Deployment.Kind == rollout.KindDeploy {
		return everything
	}
	return missing
}

// isUnfinished reports whether the target has not got what the deployment was for. A target that is unchanged at the end of a
// deployment that reached its goal was no part of that goal.
func isUnfinished(d *rollout.Deployment, t *rollout.Target) bool {
	if t.Wave == 0 || d.Spec.Waves[t.Wave-1].CheckOnly {
		return false // it was never to be called
	}
	switch t.State {
	case rollout.TargetUpdated:
		return false
	case rollout.TargetFailed, rollout.TargetUnknown:
		return true
	case rollout.TargetRolledBack:
		return t.RollingBack || d.Kind != rollout.KindRollback
	default:
		return d.Direction == rollout.Backward || d.State != rollout.StateCompleted && d.State != rollout.StateRolledBack
	}
}
