package strategy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
)

// randomStrategy is a strategy of one kind, with any of its parameters.
func randomStrategy(rng *rand.Rand, kind string, n int) json.RawMessage {
	parameters := map[string]any{
		"on_failure":        pick(rng, "rollback", "rollback", "pause", "halt"),
		"progress_deadline": pick(rng, "10s", "10s", "20s", "45s", "2m"),
		"bake":              pick(rng, "0s", "0s", "2s", "8s"),
	}
	switch kind {
	case "rolling":
		parameters["batch_delay"] = pick(rng, "0s", "1s", "4s", "15s")
		parameters["batch_size"] = pick[any](rng, 1, 1+rng.IntN(n+2), fmt.Sprintf("%d%%", 1+rng.IntN(100)),
			[]any{1, "10%", "50%"}, []any{1, 1 + rng.IntN(n)}, []any{"5%", "100%"})
	case "blue_green":
		parameters["max_parallel"] = pick(rng, 0, 0, 1, 1+rng.IntN(n+1))
		parameters["promotion"] = pick(rng, "auto", "manual")
		parameters["keep_old_for"] = pick(rng, "0s", "3s", "12s", "30s")
	case "canary":
		parameters["stages"] = randomStages(rng)
		parameters["max_parallel"] = pick(rng, 0, 0, 1, 1+rng.IntN(n+1), 100)
		parameters["stage_duration"] = pick(rng, "0s", "1s", "3s", "3s", "15s")
		parameters["success_threshold"] = float64(pick(rng, 1, 34, 50, 55, 67, 80, 95, 95, 100)) / 100
	}
	if kind != "canary" {
		parameters["max_failures"] = pick[any](rng, 0, 0, 1, rng.IntN(n+1), "20%", "100%")
	}
	needed := []string{"progress_deadline", "stage_duration"} // their defaults are long
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if chance(rng, 0.1) && !slices.Contains(needed, name) {
			delete(parameters, name)
		}
	}
	parameters["type"] = kind
	object, err := json.Marshal(parameters)
	if err != nil {
		panic(err)
	}
	return object
}

// randomStages rise strictly and end at 100; some wait for promote, some have a duration of their own.
func randomStages(rng *rand.Rand) []any {
	percents := []int{100}
	for range rng.IntN(5) {
		percents = append(percents, 1+rng.IntN(99))
	}
	slices.Sort(percents)
	var stages []any
	for _, percent := range slices.Compact(percents) {
		stage := map[string]any{"percent": percent}
		if chance(rng, 0.3) {
			stage["promotion"] = pick(rng, "manual", "manual", "auto")
		}
		if chance(rng, 0.2) {
			stage["duration"] = pick(rng, "0s", "2s", "20s")
		}
		if len(stage) == 1 && chance(rng, 0.7) {
			stages = append(stages, percent)
			continue
		}
		stages = append(stages, stage)
	}
	return stages
}

// randomSlots puts the targets into two slots, or into none.
func randomSlots(rng *rand.Rand, d *rollout.Deployment, targets []rollout.Target) {
	if len(targets) < 2 || chance(rng, 0.4) {
		return
	}
	for i := range targets {
		targets[i].Slot = pick(rng, "blue", "green")
	}
	first := rng.IntN(len(targets))
	targets[first].Slot, targets[(first+1)%len(targets)].Slot = "blue", "green"
	d.Spec.ActiveSlot = pick(rng, "", "blue", "green", "red")
}

// steadyScenario is one whose targets do well or fail for good, so that its end does not hang on luck.
func steadyScenario(rng *rand.Rand) scenario {
	sc := scenario{}
	d := randomDeployment(rng)
	d.Kind, d.RollbackOf = rollout.KindDeploy, ""
	d.Spec.Deploy.Timeout, d.Spec.Deploy.Backoff = duration.Duration(3*time.Second), duration.Duration(time.Second)
	d.Spec.HealthyDeadline = duration.Duration(pick(rng, 8*time.Second, 20*time.Second))
	version := check(rng, "version")
	version.VersionPointer, version.InitialDelay = "/version", 0
	version.Timeout, version.Interval = duration.Duration(2*time.Second), duration.Duration(time.Second)
	d.Spec.Checks = []healthcheck.Check{version}
	n := 1 + rng.IntN(12)
	bake := pick(rng, 0, 3*time.Second)
	var targets []rollout.Target
	for i := range n {
		w := steadyTarget(rng, fmt.Sprintf("t%02d", i))
		if w.unhealthyAfter > 0 {
			bake = 12 * time.Second // long enough for it to be seen as unhealthy
		}
		sc.world = append(sc.world, w)
		targets = append(targets, rollout.Target{ID: w.id, Version: oldVersion})
	}
	sc.router, d.Spec.Traffic = steadyRouter(rng)
	object := steadyStrategy(rng, &d, targets, bake)
	if sc.router != nil && (targets[0].Slot != "" || sc.router.stiff > 0) {
		for _, w := range sc.world {
			w.unhealthyAfter = 0 // whether it becomes unhealthy before or after traffic moves, or does not, would hang on luck
		}
	}
	prepared, err := strategy.Prepare(d, targets, json.RawMessage(object), nil)
	if err != nil {
		panic(err)
	}
	sc.adopt(prepared)
	return sc
}

// steadyStrategy calls all targets of a wave at once: which of them are touched does not hang on how fast others fail.
func steadyStrategy(rng *rand.Rand, d *rollout.Deployment, targets []rollout.Target, bake time.Duration) string {
	n := len(targets)
	common := fmt.Sprintf(`"on_failure":"rollback","bake":%q,"progress_deadline":"10m"`, bake)
	switch rng.IntN(4) {
	case 0:
		return fmt.Sprintf(`{"type":"canary","stages":[10,{"percent":%d,"promotion":%q},100],"stage_duration":"1s","success_threshold":%g,"max_parallel":100,%s}`,
			11+rng.IntN(89), pick(rng, "auto", "manual"), pick(rng, 0.5, 0.8, 1), common)
	case 1:
		randomSlots(rng, d, targets)
		return fmt.Sprintf(`{"type":"blue_green","promotion":%q,"keep_old_for":"2s","max_failures":%d,%s}`,
			pick(rng, "auto", "manual"), pick(rng, 0, 0, 1), common)
	default:
		return fmt.Sprintf(`{"batch_size":%d,"max_failures":%d,%s}`, 1+rng.IntN(n), pick(rng, 0, 0, 1, n), common)
	}
}
