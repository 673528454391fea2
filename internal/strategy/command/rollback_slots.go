package command

import (
	"encoding/json"
	"fmt"
	"slices"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/lifecycle"
)

// slotRollback is how a deployment by slots is taken back: which targets get the version that they want, and whether traffic
// goes to the slot that does not serve now.
type slotRollback struct {
	targets  []rollout.Target // all of them
	called   map[string]bool  // those that are called
	doubtful map[string]bool
	parallel int
	switches bool
}

// hasTwoSides reports whether a router moves traffic between two slots of the deployment.
func hasTwoSides(d *rollout.Deployment) bool { return d.Spec.Traffic != nil && d.Spec.IdleSlot != "" }

// rollBackBySlot takes a deployment by slots back: traffic goes where it was, and each touched target gets its own previous
// version while it has no traffic. When traffic is on the touched side, the other one is only checked first, as it still runs
// what it ran; should it not be well, the touched targets are called where they serve, half of them at a time.
func rollBackBySlot(undone *rollout.Deployment, s *rollout.Snapshot, d rollout.Deployment, back []rollout.Target, doubtful map[string]bool) (storage.NewDeployment, error) {
	served, _ := lifecycle.Slots(undone)
	way := slotRollback{called: map[string]bool{}, doubtful: doubtful, parallel: undone.Spec.LargestWave(), switches: lifecycle.ServingSlot(undone) != served}
	way.targets = allTargets(s, back)
	for i := range back {
		way.called[back[i].ID] = true
	}
	return way.prepareDeployment(d, undone)
}

// retryBySlot finishes what a rollback by slots left undone.
func retryBySlot(s *rollout.Snapshot, d rollout.Deployment, missing []rollout.Target) (storage.NewDeployment, error) {
	left := &s.Deployment
	served, _ := lifecycle.Slots(left)
	way := slotRollback{called: map[string]bool{}, parallel: left.Spec.LargestWave()}
	way.switches = left.Spec.Waves[0].Weight == lifecycle.AllTraffic && lifecycle.ServingSlot(left) == served
	way.targets = allTargets(s, missing)
	for i := range missing {
		way.called[missing[i].ID] = true
	}
	return way.prepareDeployment(d, left)
}

// allTargets lists all targets of a snapshot, some of them as given.
func allTargets(s *rollout.Snapshot, some []rollout.Target) []rollout.Target {
	all := make([]rollout.Target, len(s.Targets))
	for i := range s.Targets {
		all[i] = resetTarget(&s.Targets[i])
		keepAsVerified(&all[i], &s.Targets[i])
		for j := range some {
			if some[j].ID == all[i].ID {
				all[i] = some[j]
			}
		}
	}
	return all
}

// prepareDeployment prepares the deployment, and gives it the waves of the rollback.
func (w *slotRollback) prepareDeployment(d rollout.Deployment, ended *rollout.Deployment) (storage.NewDeployment, error) {
	d.Spec.ActiveSlot = lifecycle.ServingSlot(ended)
	how, err := json.Marshal(map[string]any{
		"type": strategy.TypeBlueGreen, "max_parallel": w.parallel, "on_failure": rollout.OnFailureHalt, "max_failures": len(w.called),
		"progress_deadline": ended.Spec.Strategy.ProgressDeadline,
	})
	if err != nil {
		return storage.NewDeployment{}, fmt.Errorf("describe the strategy of a rollback: %w", err)
	}
	n, err := prepareFrom(d, w.targets, how, w.doubtful)
	if err != nil {
		return n, err
	}
	w.assignWaves(&n)
	return n, nil
}

// assignWaves puts the targets into waves: those of the other slot first when they are only checked, then those that are called.
func (w *slotRollback) assignWaves(n *storage.NewDeployment) {
	spec := &n.Deployment.Spec
	calls := rollout.Wave{Size: len(w.called), Parallel: min(w.parallel, len(w.called))}
	if w.switches {
		calls.Weight = lifecycle.AllTraffic
	}
	inService := slices.ContainsFunc(w.targets, func(t rollout.Target) bool { return w.called[t.ID] && t.Slot == spec.ActiveSlot })
	spec.Waves = nil
	checked := w.switches && inService
	if checked {
		spec.Waves = []rollout.Wave{{Parallel: 1, Weight: lifecycle.AllTraffic, CheckOnly: true}}
	}
	spec.Waves = append(spec.Waves, calls)
	for i := range n.Targets {
		t := &n.Targets[i]
		switch t.Wave = 0; {
		case w.called[t.ID]:
			t.Wave = len(spec.Waves)
		case checked && t.Slot != spec.ActiveSlot:
			t.Wave, t.DesiredVersion = 1, t.Version
			spec.Waves[0].Size++
		}
	}
	last := len(spec.Waves) + 1
	slices.SortStableFunc(n.Targets, func(a, b rollout.Target) int { return waveOrder(&a, last) - waveOrder(&b, last) })
}

// waveOrder returns a target's wave, or last when it has none.
func waveOrder(t *rollout.Target, last int) int {
	if t.Wave == 0 {
		return last
	}
	return t.Wave
}
