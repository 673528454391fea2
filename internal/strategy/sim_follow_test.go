package strategy_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
)

// followUpScenario is the rollback or the retry of a finished deployment without slots behind a router, of which some targets
// were updated, some failed, and some were never called.
func followUpScenario(rng *rand.Rand) scenario {
	sc := scenario{followUp: true, commands: pick(rng, 0, 0, 1, 2, 4), crashes: pick(rng, 0, 0, 1, 3, 8)}
	d := randomDeployment(rng)
	d.Kind, d.RollbackOf, d.Spec.Force = rollout.KindDeploy, "", false
	for sc.router == nil {
		sc.router, d.Spec.Traffic = randomRouter(rng)
	}
	trouble := pick(rng, 0, 0.05, 0.3)
	n := pick(rng, 2, 3, 4, 6, 9, 14)
	var targets []rollout.Target
	for i := range n {
		w := randomTarget(rng, fmt.Sprintf("t%02d", i), trouble)
		w.initial, w.running = oldVersion, oldVersion
		sc.world = append(sc.world, w)
		targets = append(targets, rollout.Target{ID: w.id, Name: w.id, Address: "http://" + w.id, Version: oldVersion})
	}
	kind := pick(rng, "rolling", "rolling", "canary", "blue_green")
	prepared, err := strategy.Prepare(d, targets, randomStrategy(rng, kind, n), nil)
	if err != nil {
		panic(err)
	}
	ended := &rollout.Snapshot{Deployment: prepared.Deployment, Targets: prepared.Targets}
	sc.stopHalfWay(rng, ended)
	next := sc.undone
	if chance(rng, 0.5) {
		next = sc.retried
	}
	sc.adopt(next(ended))
	for _, w := range sc.world {
		w.initial = w.running
	}
	sc.snapshot.Deployment.ID = "d1"
	return sc
}

// stopHalfWay ends a deployment as failed: at least one target was touched, and at least one has not arrived.
func (sc *scenario) stopHalfWay(rng *rand.Rand, s *rollout.Snapshot) {
	d := &s.Deployment
	d.State, d.StartedAt, d.FinishedAt = rollout.StateFailed, simStart.Add(-time.Hour), simStart.Add(-time.Minute)
	d.Progress = rollout.Progress{Wave: 1}
	for i := range s.Targets {
		t := &s.Targets[i]
		t.State, t.Phase = rollout.TargetUnchanged, rollout.PhaseSettled
		switch {
		case i == 0 || chance(rng, 0.2):
			sc.bring(t, newVersion)
			t.State, t.Version = pick(rng, rollout.TargetFailed, rollout.TargetUnknown), ""
			t.Error, t.ErrorAt = "HTTP 500", d.FinishedAt
		case chance(rng, 0.4):
			sc.bring(t, newVersion)
			t.State = rollout.TargetUpdated
		}
	}
}
