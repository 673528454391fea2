package strategy_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/command"
)

// undoScenario is the rollback of a finished blue-green deployment behind a router: one that was switched, one that never
// was, or the rollback of either, and the retry of one that failed.
func undoScenario(rng *rand.Rand) scenario {
	sc := scenario{commands: pick(rng, 0, 0, 1, 2, 4), crashes: pick(rng, 0, 0, 1, 3, 8)}
	trouble := pick(rng, 0, 0.05, 0.3, 0.8)
	d := randomDeployment(rng)
	d.Kind, d.RollbackOf, d.Spec.Force = rollout.KindDeploy, "", false
	sc.router, d.Spec.Traffic = randomRouter(rng)
	for sc.router == nil {
		sc.router, d.Spec.Traffic = randomRouter(rng)
	}
	n := pick(rng, 2, 3, 4, 6, 9, 14)
	var targets []rollout.Target
	for i := range n {
		w := randomTarget(rng, fmt.Sprintf("t%02d", i), trouble)
		w.initial, w.running = oldVersion, oldVersion
		sc.world = append(sc.world, w)
		t := rollout.Target{ID: w.id, Name: w.id, Address: "http://" + w.id, Version: oldVersion, Slot: pick(rng, "blue", "green")}
		if chance(rng, 0.2) {
			t.Version = "" // it is unknown what it runs
		}
		targets = append(targets, t)
	}
	targets[0].Slot, targets[1].Slot = "blue", "green"
	d.Spec.ActiveSlot = "blue"
	object := fmt.Sprintf(`{"type":"blue_green","max_parallel":%d,"progress_deadline":%q}`, rng.IntN(n), pick(rng, "10s", "45s", "2m"))
	prepared, err := strategy.Prepare(d, targets, []byte(object), nil)
	if err != nil {
		panic(err)
	}
	ended := &rollout.Snapshot{Deployment: prepared.Deployment, Targets: prepared.Targets}
	sc.end(rng, ended, chance(rng, 0.7), newVersion)
	n2 := sc.undone(ended)
	for range rng.IntN(3) { // the rollback of a rollback, and so on
		before := ended
		ended = &rollout.Snapshot{Deployment: n2.Deployment, Targets: n2.Targets}
		if chance(rng, 0.3) {
			ended = sc.failed(rng, ended)
			n2 = sc.retried(ended)
			continue
		}
		sc.end(rng, ended, before.Deployment.Progress.Weight == 100 || n2.Deployment.Spec.Waves[0].Weight == 100, "")
		n2 = sc.undone(ended)
	}
	sc.adopt(n2)
	for _, w := range sc.world {
		w.initial = w.running
		w.unhealthyAfter = pick(rng, 0, 0, w.unhealthyAfter)
	}
	sc.snapshot.Deployment.ID = "d1"
	return sc
}

// end makes a deployment one that has ended well: its targets run what they should, and traffic went over or stayed.
func (sc *scenario) end(rng *rand.Rand, s *rollout.Snapshot, switched bool, version string) {
	d := &s.Deployment
	d.State, d.StartedAt, d.FinishedAt = rollout.StateCompleted, simStart.Add(-time.Hour), simStart.Add(-time.Minute)
	if d.Kind == rollout.KindRollback {
		d.State = rollout.StateRolledBack
	} else if !switched {
		d.State = rollout.StateAborted
	}
	d.Progress = rollout.Progress{Wave: len(d.Spec.Waves)}
	if switched && d.Spec.Waves[0].Weight == 100 {
		d.Progress.Weight = 100
	}
	for i := range s.Targets {
		t := &s.Targets[i]
		t.State, t.Phase = rollout.TargetUnchanged, rollout.PhaseSettled
		if t.Wave == 0 || d.State == rollout.StateAborted && chance(rng, 0.3) && i > 0 {
			continue
		}
		t.State = rollout.TargetUpdated
		if d.Spec.Waves[t.Wave-1].CheckOnly {
			continue
		}
		sc.bring(t, version)
	}
}

// bring lets a target have got what the deployment wanted for it.
func (sc *scenario) bring(t *rollout.Target, version string) {
	if version != "" {
		t.DesiredVersion = version
	}
	t.CallsSent, t.Attempts, t.Fence = 1, 1, t.Fence+1
	t.PreviousVersion, t.Version = oldVersion, t.DesiredVersion
	for _, w := range sc.world {
		if w.id == t.ID {
			t.PreviousVersion, w.running, w.highest = w.running, t.DesiredVersion, t.Fence
		}
	}
}

// failed is a rollback of which nothing was done.
func (sc *scenario) failed(rng *rand.Rand, s *rollout.Snapshot) *rollout.Snapshot {
	d := &s.Deployment
	d.State, d.StartedAt, d.FinishedAt = rollout.StateFailed, simStart.Add(-time.Hour), simStart.Add(-time.Minute)
	d.Progress = rollout.Progress{Wave: 1}
	if d.Spec.Waves[0].CheckOnly && chance(rng, 0.5) {
		d.Progress = rollout.Progress{Wave: 2, Weight: 100}
	}
	for i := range s.Targets {
		s.Targets[i].State, s.Targets[i].Phase = rollout.TargetUnchanged, rollout.PhaseSettled
	}
	return s
}

func (sc *scenario) undone(ended *rollout.Snapshot) storage.NewDeployment {
	n, err := command.NewRollback(ended)
	if err != nil {
		panic(fmt.Sprintf("%+v: %v", ended.Deployment, err))
	}
	return n
}

func (sc *scenario) retried(ended *rollout.Snapshot) storage.NewDeployment {
	n, err := command.NewRetry(ended)
	if err != nil {
		panic(fmt.Sprintf("%+v: %v", ended.Deployment, err))
	}
	return n
}
