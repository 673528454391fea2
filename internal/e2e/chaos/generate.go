package chaos

import (
	"math/rand/v2"
	"time"
)

// Size is how much happens in a round.
type Size struct {
	// For is how long it lasts. What is drawn is enough for that; how much of it is played is up to the machine.
	For time.Duration
	// Deployments is how many each service has at most, one after the other.
	Replicas, Services, Deployments int
	// Steps is how many faults each replica, and the database, suffers at most, one after the other; RouterSteps is how often
	// each router restarts at most, beside the deployments whose scenario that is.
	Steps, DatabaseSteps, RouterSteps int
	// Lease is the servers' lease, Pause what is added to the time before each fault, so that one can be seen by itself.
	Lease, Pause time.Duration
}

// Schedule is all that is going to happen in a round.
type Schedule struct {
	// Replicas are the faults of each replica, Database those of the database; each list is played in order.
	Replicas [][]Step
	Database []Step
	// Services are the deployments of each service, in order, Routers the pauses before each restart of its router.
	Services [][]Plan
	Routers  [][]time.Duration
}

// Step is a fault to play: after a pause, for a time. Away is how long a process that ended stays away.
type Step struct {
	Kind             Kind
	After, For, Away time.Duration
}

// Strategy says how targets are updated.
type Strategy string

// The strategies.
const (
	Rolling   Strategy = "rolling"
	Canary    Strategy = "canary"
	BlueGreen Strategy = "blue_green"
)

// Scenario is what a deployment is to live through beside the faults of others.
type Scenario string

// The scenarios.
const (
	Plain       Scenario = "plain"
	Faulty      Scenario = "a fault of a target or router"
	PauseResume Scenario = "paused and resumed"
	Abort       Scenario = "aborted"
	RollBack    Scenario = "rolled back"
	Gate        Scenario = "promotes at a gate"
	Race        Scenario = "abort, promote and pause"
	FrozenAbort Scenario = "aborted with its owner frozen"
	FrozenPause Scenario = "paused with its owner frozen"
	Outlive     Scenario = "its owner frozen until the next one has begun"
	Forgotten   Scenario = "its router restarted in a long bake"
)

// Plan is one deployment: what is asked for and which ends are right.
type Plan struct {
	Strategy Strategy
	Scenario Scenario
	// Fault strikes the target with that index, or the router.
	Fault   Kind
	Target  int
	Batch   int
	Flood   bool // the POST comes 32 times at once
	Wait    time.Duration
	Allowed []string
}

// GenerateSchedule makes round number round of a seed.
func GenerateSchedule(seed uint64, round int, size Size) Schedule {
	rng := rand.New(rand.NewPCG(seed, uint64(round))) //nolint:gosec // it must be the same again, not secret
	var s Schedule
	deck := shuffleKinds(rng, ProcessKinds())
	for range size.Replicas {
		var steps []Step
		for range size.Steps {
			if len(deck) == 0 {
				deck = shuffleKinds(rng, ProcessKinds())
			}
			steps = append(steps, drawStep(rng, deck[0], size))
			deck = deck[1:]
		}
		s.Replicas = append(s.Replicas, steps)
	}
	database := shuffleKinds(rng, DatabaseKinds())
	for i := range size.DatabaseSteps {
		s.Database = append(s.Database, drawStep(rng, database[i%len(database)], size))
	}
	s.Services = make([][]Plan, size.Services)
	var scenarios []Kind
	for i := range size.Services * size.Deployments { // in turn, so that early deployments are of every kind
		if len(scenarios) == 0 {
			scenarios = shuffleKinds(rng, append(ScenarioKinds(), rareKinds()...))
		}
		service := i % size.Services
		s.Services[service] = append(s.Services[service], generatePlan(rng, scenarios[0]))
		scenarios = scenarios[1:]
	}
	for range size.Services {
		var pauses []time.Duration
		for range size.RouterSteps {
			pauses = append(pauses, randomBetween(rng, 8*time.Second, 30*time.Second))
		}
		s.Routers = append(s.Routers, pauses)
	}
	return s
}

// LongBake is a bake in which a router that has restarted must be read, and set again.
const LongBake = readingInterval + 3*time.Second

// rareKinds returns the kinds that are drawn more often than others: their moment does not always come, and then not for
// each of several targets.
func rareKinds() []Kind {
	return []Kind{FrozenOwner, Outlived, Outlived, Outlived, SamePost, CommandsAtOnce}
}

// drawStep draws the times of a fault. Half of the kills are quick ones, so that the process comes back within its lease.
func drawStep(rng *rand.Rand, kind Kind, size Size) Step {
	lease := size.Lease
	s := Step{Kind: kind, After: randomBetween(rng, 50*time.Millisecond, 500*time.Millisecond)}
	s.For = randomBetween(rng, 200*time.Millisecond, 1500*time.Millisecond)
	if rng.IntN(2) == 0 {
		s.Away = randomBetween(rng, 0, lease/4)
	} else {
		s.Away = randomBetween(rng, lease, lease*3/2)
	}
	switch kind {
	case Freeze:
		s.For = lease + randomBetween(rng, lease/4, lease)
	case LostCommit, LostNotify:
		s.For = randomBetween(rng, time.Second, 2*time.Second) // one must come meanwhile
	case DatabaseStop, DatabaseFreeze, ReadOnly, Crowded:
		s.After = randomBetween(rng, 1200*time.Millisecond, 3500*time.Millisecond)
		s.For = randomBetween(rng, 200*time.Millisecond, 2*time.Second)
	default:
	}
	s.After += randomBetween(rng, size.Pause/2, size.Pause)
	return s
}

// generatePlan makes a deployment around one kind of fault; some meet none but those of replicas and the database.
func generatePlan(rng *rand.Rand, fault Kind) Plan {
	p := Plan{
		Strategy: []Strategy{Rolling, Canary, BlueGreen}[rng.IntN(3)], Scenario: Faulty, Fault: fault, Target: rng.IntN(6),
		Batch: 1 + rng.IntN(3), Wait: randomBetween(rng, 0, 800*time.Millisecond), Allowed: []string{"completed"},
	}
	switch fault {
	case SamePost:
		p.Flood = true
		p.drawScenario(rng)
	case TargetLies, TargetRedirects, TargetUnhealthy, TargetTurnsUnhealthy:
		p.Allowed = []string{"rolled_back"}
	case CommandsAtOnce:
		p.Scenario, p.Allowed = Race, []string{"aborted", "completed"}
	case FrozenOwner:
		p.Scenario = FrozenPause
		if rng.IntN(2) == 0 {
			p.Scenario, p.Allowed = FrozenAbort, []string{"aborted", "completed"}
		}
		p.Wait, p.Batch = p.Wait/4, 1 // while it still has calls to make
	case Outlived:
		p.Scenario, p.Strategy, p.Batch = Outlive, Rolling, 3 // soon over
	case DeadlinePasses:
		p.Allowed = []string{"rolled_back", "failed"} // the way back has a deadline too
	case RouterRestarts:
		p.Scenario, p.Strategy = Forgotten, []Strategy{Canary, BlueGreen}[rng.IntN(2)]
	case PromotesAtOnce:
		p.Scenario, p.Strategy = Gate, []Strategy{Canary, BlueGreen}[rng.IntN(2)]
	default:
	}
	if fault == TargetTurnsUnhealthy {
		p.Strategy = []Strategy{Rolling, Canary}[rng.IntN(2)] // in blue-green only the idle half is touched
	}
	return p
}

// drawScenario chooses what people do in the meantime.
func (p *Plan) drawScenario(rng *rand.Rand) {
	p.Scenario = []Scenario{Plain, PauseResume, Abort, RollBack}[rng.IntN(4)]
	switch p.Scenario {
	case Abort:
		p.Allowed = []string{"aborted", "completed"}
	case RollBack:
		p.Allowed = []string{"rolled_back", "completed"}
	default:
	}
}

func shuffleKinds(rng *rand.Rand, kinds []Kind) []Kind {
	rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	return kinds
}

func randomBetween(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)+1))
}
