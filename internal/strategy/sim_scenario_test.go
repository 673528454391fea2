package strategy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy"
)

// scenario is one deployment, the targets that it meets, and how rough its life is.
type scenario struct {
	snapshot rollout.Snapshot
	world    []*simTarget
	router   *simRouter // nil when no router moves traffic
	commands int        // what people ask for, at random moments
	crashes  int        // how often the owner may die
	followUp bool       // it takes some targets of a finished deployment; the others are in no wave
	source   source
}

// metricType is a check whose source is no target, and may be away while they are well.
const metricType = "metric"

// source is what metric checks ask; it is away for a while, or never.
type source struct{ from, until time.Time }

func (s source) away(now time.Time) bool { return !now.Before(s.from) && now.Before(s.until) }

func randomSource(rng *rand.Rand) source {
	from := simStart.Add(between(rng, 0, 40*time.Second))
	return source{from, from.Add(pick(rng, 0, 0, 2*time.Second, 6*time.Second, 30*time.Second))}
}

var simStart = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

const (
	oldVersion = "v1"
	newVersion = "v2"
)

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

func chance(rng *rand.Rand, p float64) bool { return rng.Float64() < p }

func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)+1))
}

// randomScenario is a deployment in which everything may happen.
func randomScenario(rng *rand.Rand) scenario {
	if chance(rng, 0.15) {
		return undoScenario(rng)
	}
	if chance(rng, 0.15) {
		return followUpScenario(rng)
	}
	sc := scenario{commands: pick(rng, 0, 0, 1, 2, 4), crashes: pick(rng, 0, 0, 1, 3, 8)}
	d := randomDeployment(rng)
	if chance(rng, 0.2) && !slices.ContainsFunc(d.Spec.Checks, func(c healthcheck.Check) bool { return c.Type == healthcheck.TypeNone }) {
		metric := check(rng, "metric")
		metric.Type = metricType
		d.Spec.Checks, sc.source = append(d.Spec.Checks, metric), randomSource(rng)
	}
	trouble := pick(rng, 0, 0.05, 0.3, 0.8)
	n := pick(rng, 1, 2, 3, 4, 5, 6, 8, 10, 13, 20, 40)
	kind := pick(rng, "rolling", "rolling", "canary", "canary", "blue_green")
	var targets []rollout.Target
	for i := range n {
		w := randomTarget(rng, fmt.Sprintf("t%02d", i), trouble)
		sc.world = append(sc.world, w)
		targets = append(targets, describe(rng, &d, w))
	}
	if kind != "rolling" && chance(rng, 0.25) {
		pick(rng, sc.world...).unhealthyAfter = between(rng, time.Second, 20*time.Second)
	}
	if kind == "blue_green" {
		randomSlots(rng, &d, targets)
	}
	randomRules(rand.New(rand.NewPCG(uint64(d.Spec.Deploy.Timeout)+uint64(d.Spec.HealthyDeadline), uint64(n))), &d, targets)
	sc.router, d.Spec.Traffic = randomRouter(rng)
	object := randomStrategy(rng, kind, n)
	prepared, err := strategy.Prepare(d, targets, object, randomMemory(rng, sc.world))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", object, err))
	}
	sc.adopt(prepared)
	sc.leaveWork(rng.Uint64())
	return sc
}

// leaveWork has some targets be at work still for an earlier deployment, which has ended without knowing.
func (sc *scenario) leaveWork(seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	if !chance(rng, 0.2) || len(sc.snapshot.Deployment.Spec.Strategy.Stages) > 0 {
		return // stages count those that run the new version from the start
	}
	for i, w := range sc.world {
		if !chance(rng, 0.3) {
			continue
		}
		until := simStart.Add(between(rng, time.Second, 40*time.Second))
		w.workDue, w.workEnds = until, simStart.Add(between(rng, 0, until.Sub(simStart)))
		w.leftBehind = pick(rng, "v0", oldVersion, newVersion)
		sc.snapshot.Targets[i].InheritWork(rollout.Work{Until: until, Version: w.leftBehind, From: w.running})
	}
}

// adopt takes over what Prepare made, and puts the world into its order.
func (sc *scenario) adopt(prepared storage.NewDeployment) {
	sc.snapshot = rollout.Snapshot{Deployment: prepared.Deployment, Targets: prepared.Targets}
	byID := map[string]*simTarget{}
	for _, w := range sc.world {
		byID[w.id] = w
	}
	sc.world = nil
	for i := range prepared.Targets {
		t := &prepared.Targets[i]
		w := byID[t.ID]
		w.want, w.highest = t.DesiredVersion, t.Fence
		if w.ahead {
			w.highest = simStart.UnixMilli() + 50 + int64(i%3)*5000 // by a clock that was ahead
		}
		sc.world = append(sc.world, w)
	}
}

func randomDeployment(rng *rand.Rand) rollout.Deployment {
	d := rollout.Deployment{ID: "d1", Service: "checkout", Environment: "production", Version: newVersion, Kind: rollout.KindDeploy}
	if chance(rng, 0.1) {
		d.Kind, d.RollbackOf = rollout.KindRollback, "d0"
	}
	d.CreatedAt = simStart
	d.Spec = rollout.Spec{
		Deploy: rollout.Deploy{
			Path:    "/deploy",
			Timeout: duration.Duration(pick(rng, time.Second, 3*time.Second, 10*time.Second, 25*time.Second)),
			Retries: rng.IntN(4),
			Backoff: duration.Duration(pick(rng, 100*time.Millisecond, time.Second, 8*time.Second)),
		},
		HealthyDeadline: duration.Duration(pick(rng, 3*time.Second, 8*time.Second, 20*time.Second)),
		Force:           chance(rng, 0.2),
	}
	d.Spec.Checks = randomChecks(rng)
	return d
}

// randomRules gives some targets other checks for the way back, of the version that they run or of another.
func randomRules(rng *rand.Rand, d *rollout.Deployment, targets []rollout.Target) {
	if !chance(rng, 0.4) {
		return
	}
	versions := []string{oldVersion, "v0"}
	for _, version := range versions {
		other := randomDeployment(rng)
		if chance(rng, 0.5) {
			answersOn(other.Spec.Checks, version)
		}
		d.Spec.Rules = append(d.Spec.Rules, rollout.Rules{
			Checks: other.Spec.Checks, HealthyDeadline: other.Spec.HealthyDeadline, Deploy: other.Spec.Deploy,
		})
	}
	for i := range targets {
		if chance(rng, 0.7) {
			known := rng.IntN(len(versions))
			targets[i].Rules = &rollout.TargetRules{Back: rollout.RulesRef{Version: versions[known], Set: known + 1}}
		}
	}
}

// answersOn makes checks such that only the version passes them: any other answers elsewhere.
func answersOn(checks []healthcheck.Check, version string) {
	for i := range checks {
		checks[i].Path = version
	}
}

func randomChecks(rng *rand.Rand) []healthcheck.Check {
	http, version := check(rng, "http"), check(rng, "version")
	version.VersionPointer = "/version"
	minor := check(rng, "minor")
	minor.Critical = false
	none := healthcheck.Check{Name: "none", Type: healthcheck.TypeNone, Critical: true, HealthyThreshold: 1, UnhealthyThreshold: 1}
	minorVersion := version
	minorVersion.Critical = false
	return pick(rng, nil, []healthcheck.Check{none}, []healthcheck.Check{http}, []healthcheck.Check{version}, []healthcheck.Check{version},
		[]healthcheck.Check{version, http}, []healthcheck.Check{version, minor}, []healthcheck.Check{http, minor, version},
		[]healthcheck.Check{none, version}, []healthcheck.Check{http, minorVersion})
}

func check(rng *rand.Rand, name string) healthcheck.Check {
	return healthcheck.Check{
		Name: name, Type: "http", Critical: true,
		Interval:         duration.Duration(pick(rng, 300*time.Millisecond, time.Second, 3*time.Second)),
		Timeout:          duration.Duration(pick(rng, 500*time.Millisecond, 2*time.Second, 6*time.Second)),
		HealthyThreshold: 1 + rng.IntN(3), UnhealthyThreshold: 1 + rng.IntN(3),
		InitialDelay: duration.Duration(pick(rng, 0, 0, time.Second)),
	}
}

// describe is the target as the request describes it: its version may be left out, what it is to run never is.
func describe(rng *rand.Rand, d *rollout.Deployment, w *simTarget) rollout.Target {
	t := rollout.Target{ID: w.id, Name: w.id, Address: "http://" + w.id, Version: w.initial}
	if chance(rng, 0.15) {
		t.Version = ""
	}
	if d.Kind == rollout.KindRollback {
		t.DesiredVersion = pick(rng, "v0", newVersion)
	}
	return t
}

func randomMemory(rng *rand.Rand, world []*simTarget) map[string]storage.TargetRecord {
	remembered := map[string]storage.TargetRecord{}
	for _, w := range world {
		if chance(rng, 0.3) {
			remembered[w.id] = storage.TargetRecord{
				Address: "http://" + w.id, Version: w.initial, Fence: rng.Int64N(50), Health: pick(rng, healthcheck.Healthy, healthcheck.Unhealthy, healthcheck.Unknown),
			}
		}
	}
	return remembered
}

// randomTarget is a target that treats calls by its moods; trouble is how likely it is to be a difficult one.
func randomTarget(rng *rand.Rand, id string, trouble float64) *simTarget {
	w := &simTarget{
		id: id, initial: pick(rng, oldVersion, oldVersion, oldVersion, oldVersion, "v0", newVersion),
		remembers: chance(rng, 0.7), boot: pick(rng, 0, 200*time.Millisecond, 2*time.Second), moods: []mood{answers},
	}
	w.running = w.initial
	w.locks = chance(rng, 0.5)
	w.ahead = w.remembers && chance(rng, 0.05)
	if !chance(rng, trouble) {
		return w
	}
	switch rng.IntN(7) {
	case 0:
		w.badOn = newVersion
	case 1:
		w.unhealthyAfter = between(rng, time.Second, 15*time.Second)
	case 2:
		w.flaps = pick(rng, 0.1, 0.4)
	case 3:
		w.moods = []mood{pick(rng, moods()...)}
		w.stubborn = chance(rng, 0.4)
	case 4:
		w.mute = pick(rng, 0.1, 0.6)
	case 5:
		w.moods = []mood{pick(rng, moods()...), pick(rng, moods()...)}
	default:
		w.moods = moods()
		w.stubborn = chance(rng, 0.3)
	}
	return w
}

func steadyTarget(rng *rand.Rand, id string) *simTarget {
	w := &simTarget{id: id, initial: oldVersion, running: oldVersion, remembers: true, moods: []mood{answers}}
	w.boot = pick(rng, 0, time.Second)
	switch rng.IntN(12) {
	case 0, 1:
		w.moods = []mood{pick(rng, refuses, lies, busy)}
	case 2:
		w.badOn = newVersion
	case 3:
		w.unhealthyAfter = 2 * time.Second
	}
	return w
}
