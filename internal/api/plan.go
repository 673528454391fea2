package api

import (
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// planJSON says what a deployment would do if every target goes along.
func planJSON(n *rollout.NewDeployment) gen.DeploymentPlan {
	spec := &n.Deployment.Spec
	plan := gen.DeploymentPlan{
		Strategy: spec.Strategy, Protected: spec.Protected, Waves: make([]gen.PlannedWave, len(spec.Waves)),
		LeastCapacity: leastCapacity(n), ShortestDuration: shortestDuration(spec).String(),
	}
	for i, w := range spec.Waves {
		plan.Waves[i] = gen.PlannedWave{
			Wave: i + 1, Targets: []string{}, TrafficWeight: w.Weight, Gate: known(w.Gate), Bake: w.Bake.String(),
		}
	}
	for i := range n.Targets {
		if wave := n.Targets[i].Wave; wave > 0 && wave <= len(plan.Waves) {
			plan.Waves[wave-1].Targets = append(plan.Waves[wave-1].Targets, n.Targets[i].ID)
		}
	}
	return plan
}

// leastCapacity is the share of targets, in percent, that is in service while the most are being updated. Targets that
// no wave takes, such as those of the active slot, are never out of service; where there are such, the waves take only
// targets without traffic.
func leastCapacity(n *rollout.NewDeployment) int {
	total, taken, out := len(n.Targets), 0, 0
	for _, w := range n.Deployment.Spec.Waves {
		taken += w.Size
		out = max(out, w.Parallel)
	}
	if taken < total || total == 0 {
		return 100
	}
	return (total - min(out, total)) * 100 / total
}

// shortestDuration is the sum of what certainly takes time: bakes, delays, and for each round of calls within a wave the
// checks until they can have passed.
func shortestDuration(spec *rollout.Spec) time.Duration {
	var sum time.Duration
	checks := quickestPass(spec.Checks)
	for _, w := range spec.Waves {
		parallel := max(w.Parallel, 1)
		rounds := (w.Size + parallel - 1) / parallel
		sum += time.Duration(rounds)*checks + w.Bake.Std() + w.Delay.Std()
	}
	return sum
}

// quickestPass is the least time from a target's answer to its passing all checks.
func quickestPass(checks []healthcheck.Check) time.Duration {
	var longest time.Duration
	for i := range checks {
		if c := &checks[i]; c.Type != healthcheck.TypeNone {
			longest = max(longest, c.InitialDelay.Std()+time.Duration(c.HealthyThreshold-1)*c.Interval.Std())
		}
	}
	return longest
}
