package command

import (
	"encoding/json"
	"fmt"
	"slices"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/lifecycle"
)

// NewRollback returns a deployment that rolls a finished one back: each touched target gets its own previous version,
// those that failed or are in doubt first. Targets whose previous version is unknown are left out. It comes without id
// and requester. A deployment that has not ended, was superseded or leaves nothing to take back is a CodeConflict error
// that says why.
//
// How targets are called, checked and served is taken over; the strategy is rolling with the most targets at once that the
// undone deployment ever had out of service. It never rolls back by itself: the way forward is what is being undone. As in
// a deployment that rolls back by itself, a target that cannot be rolled back does not stop the others; the rollback ends
// as failed then.
func NewRollback(s *rollout.Snapshot) (storage.NewDeployment, error) {
	undone := &s.Deployment
	if err := checkFinished(undone, "roll back"); err != nil {
		return storage.NewDeployment{}, err
	}
	targets, doubtful, err := rollbackTargets(s)
	if err != nil {
		return storage.NewDeployment{}, err
	}
	d := newFrom(undone)
	d.Kind, d.RollbackOf, d.Version = rollout.KindRollback, undone.ID, commonVersion(targets)
	d.Spec.Force, d.Spec.OnConflict, d.Spec.RetryOf = false, rollout.OnConflictQueue, ""
	d.Spec.Protected = false // a rollback needs no approval
	if hasTwoSides(undone) {
		return rollBackBySlot(undone, s, d, targets, doubtful)
	}
	how, err := json.Marshal(map[string]any{
		"type": strategy.TypeRolling, "batch_size": undone.Spec.LargestWave(),
		"on_failure": rollout.OnFailureHalt, "max_failures": len(targets), "progress_deadline": undone.Spec.Strategy.ProgressDeadline,
	})
	if err != nil {
		return storage.NewDeployment{}, fmt.Errorf("describe the strategy of a rollback: %w", err)
	}
	n, err := prepareFrom(d, targets, how, doubtful)
	n.Deployment.Spec.ActiveSlot = lifecycle.ServingSlot(undone) // no slot is switched on the way back
	addBystanders(&n, s)
	return n, err
}

// addBystanders adds the targets of a finished deployment that the new one does not call, where a router moves traffic: they
// belong to no wave, and serve while others are called. What failed or is in doubt there stays out, and so out of traffic.
func addBystanders(n *storage.NewDeployment, ended *rollout.Snapshot) {
	if n.Deployment.Spec.Traffic == nil {
		return
	}
	for i := range ended.Targets {
		t := &ended.Targets[i]
		called := slices.ContainsFunc(n.Targets, func(o rollout.Target) bool { return o.ID == t.ID })
		if called || t.Touched() && lifecycle.FailedOrUnknown(t) {
			continue
		}
		b := resetTarget(t)
		keepAsVerified(&b, t)
		b.Position = len(n.Targets)
		strategy.InitTarget(&n.Deployment, &b, storage.TargetRecord{Address: b.Address, Health: b.Health})
		n.Targets = append(n.Targets, b)
	}
	n.Deployment.Counts = rollout.CountStates(n.Targets)
}

// keepAsVerified lets a target of a new deployment stay as it was at the end of the one before, judged as it was verified.
func keepAsVerified(t, ended *rollout.Target) {
	t.DesiredVersion = ended.Version
	t.Rules = &rollout.TargetRules{Forward: ended.RulesFor(ended.Version)}
}

// rollbackTargets lists the touched targets with the version that each goes back to, and names those in doubt.
func rollbackTargets(s *rollout.Snapshot) (targets []rollout.Target, inDoubt map[string]bool, err error) {
	touched := 0
	inDoubt = map[string]bool{}
	for i := range s.Targets {
		t := &s.Targets[i]
		if !t.Touched() {
			continue
		}
		touched++
		if t.PreviousVersion == "" {
			continue
		}
		back := resetTarget(t)
		back.DesiredVersion = t.PreviousVersion
		back.Rules = &rollout.TargetRules{Forward: t.RulesFor(t.PreviousVersion), Back: t.RulesFor(t.DesiredVersion)}
		targets = append(targets, back)
		inDoubt[t.ID] = lifecycle.InDoubt(t)
	}
	switch {
	case touched == 0:
		return nil, nil, conflictError("the deployment touched no target, so there is nothing to roll back")
	case len(targets) == 0:
		return nil, nil, conflictError("the previous version of every touched target is unknown, so there is nothing to roll back to")
	}
	return targets, inDoubt, nil
}

// commonVersion returns the version that all targets go to, empty when they differ.
func commonVersion(targets []rollout.Target) string {
	for i := range targets {
		if targets[i].DesiredVersion != targets[0].DesiredVersion {
			return ""
		}
	}
	return targets[0].DesiredVersion
}

// checkFinished refuses to make anything of a deployment that has not ended, or ended before it began.
func checkFinished(d *rollout.Deployment, what string) error {
	switch {
	case !d.State.Terminal():
		return conflictError("the deployment has not ended: it is %s", d.State)
	case d.State == rollout.StateSuperseded:
		return conflictError("the deployment was superseded before it started, so there is nothing to %s", what)
	default:
		return nil
	}
}

// newFrom returns what a deployment made from a finished one has in common with it.
func newFrom(d *rollout.Deployment) rollout.Deployment {
	return rollout.Deployment{
		Service: d.Service, Environment: d.Environment, Spec: d.Spec, DeploySecret: d.DeploySecret,
	}
}

// resetTarget returns a target as a new deployment begins with it.
func resetTarget(t *rollout.Target) rollout.Target {
	return rollout.Target{
		ID: t.ID, Name: t.Name, Address: t.Address, Slot: t.Slot, Metadata: t.Metadata, DeployURL: t.DeployURL, Weight: t.Weight,
		Position: t.Position, DesiredVersion: t.DesiredVersion, Version: t.Version, Health: t.Health, Fence: t.Fence, Rules: t.Rules,
	}
}

// prepareFrom prepares a deployment for the targets of a finished one, in the order of the request; first go those that are
// named, then the unhealthy ones.
func prepareFrom(
	d rollout.Deployment, targets []rollout.Target, how json.RawMessage, first map[string]bool,
) (storage.NewDeployment, error) {
	slices.SortFunc(targets, func(a, b rollout.Target) int { return a.Position - b.Position })
	health, order := map[string]healthcheck.Health{}, map[string]storage.TargetRecord{}
	for i := range targets {
		t := &targets[i]
		health[t.ID], order[t.ID] = t.Health, storage.TargetRecord{Address: t.Address, Health: t.Health}
		if first[t.ID] {
			order[t.ID] = storage.TargetRecord{Address: t.Address, Health: healthcheck.Unhealthy}
		}
	}
	n, err := strategy.Prepare(d, targets, how, order)
	for i := range n.Targets {
		n.Targets[i].Health = health[n.Targets[i].ID]
	}
	return n, err
}
