package strategy_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"rollcall/internal/rollout"
)

const (
	// minSeedsForCoverage is how many seeds it takes until everything is bound to have happened.
	minSeedsForCoverage = 1000
	linesShown          = 30
)

// Environment variables of the simulation: how many seeds to run, or the one to replay with its whole story.
const (
	envSeeds = "ROLLCALL_SIM_SEEDS"
	envSeed  = "ROLLCALL_SIM_SEED"
)

// TestRollout_KeepsGuarantees runs deployments at random through faults, crashes and people, and holds every step
// to the promises.
func TestRollout_KeepsGuarantees(t *testing.T) {
	t.Parallel()
	covered := simulate(t, playRandom, 1)
	if covered != nil {
		checkCoverage(t, covered)
	}
}

// TestCrash_DoesNotChangeOutcome runs each scenario without and with crashes, and wants the same end.
func TestCrash_DoesNotChangeOutcome(t *testing.T) {
	t.Parallel()
	simulate(t, playTwice, 3)
}

// player plays one seed: it answers with what happened, and with the promise that was broken, and writes a story.
type player func(seed uint64, lines *[]string) (map[string]int, error)

// simulate plays one in share of the seeds on all processors and sums up what happened; nil when that says nothing.
func simulate(t *testing.T, play player, share int) map[string]int {
	t.Helper()
	if text := os.Getenv(envSeed); text != "" {
		replay(t, text, play)
		return nil
	}
	seeds := defaultSeeds
	if text := os.Getenv(envSeeds); text != "" {
		var err error
		if seeds, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", envSeeds, err)
		}
	}
	var all sync.Mutex
	covered, failed := map[string]int{}, 0
	each(seeds/share, func(seed uint64) bool {
		happened, err := play(seed, nil)
		all.Lock()
		defer all.Unlock()
		for what, n := range happened {
			covered[what] += n
		}
		if err != nil {
			failed++
			report(t, seed, play)
		}
		return failed < 3
	})
	if seeds < minSeedsForCoverage || failed > 0 {
		return nil
	}
	return covered
}

// each plays the seeds 1 … n on all processors until one says stop.
func each(n int, play func(seed uint64) bool) {
	seeds := make(chan uint64)
	stop := make(chan struct{})
	var once sync.Once
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := range seeds {
				if !play(seed) {
					once.Do(func() { close(stop) })
				}
			}
		})
	}
	for seed := range n {
		select {
		case seeds <- uint64(seed + 1):
		case <-stop:
		}
	}
	close(seeds)
	workers.Wait()
}

// report plays a seed that broke a promise once more, and prints how it came to that.
func report(t *testing.T, seed uint64, play player) {
	var lines []string
	_, err := play(seed, &lines)
	shown := lines[max(len(lines)-linesShown, 0):]
	t.Errorf("seed %d (replay: %s=%d): %v\n%s", seed, envSeed, seed, err, strings.Join(shown, "\n"))
}

func replay(t *testing.T, text string, play player) {
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", envSeed, err)
	}
	var lines []string
	_, err = play(seed, &lines)
	t.Log("\n" + strings.Join(lines, "\n"))
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
}

func playRandom(seed uint64, lines *[]string) (map[string]int, error) {
	sc := randomScenario(rand.New(rand.NewPCG(seed, 1)))
	sc.snapshot.Deployment.Spec.Deploy.OnNoAnswer = pick(rand.New(rand.NewPCG(seed, 7)),
		"", "", rollout.OnNoAnswerAsk, rollout.OnNoAnswerResend, rollout.OnNoAnswerStop)
	s := newSim(seed, sc, rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 3)))
	s.lines = lines
	return s.covered, s.guarded()
}

// playTwice runs one scenario without crashes and one with many.
func playTwice(seed uint64, lines *[]string) (map[string]int, error) {
	var found []ends
	disturbed := false
	covered := map[string]int{}
	for _, crashes := range []int{0, 12} {
		sc := steadyScenario(rand.New(rand.NewPCG(seed, 4)))
		sc.crashes = crashes
		s := newSim(seed, sc, rand.New(rand.NewPCG(seed, 5)), rand.New(rand.NewPCG(seed, 6)))
		s.steady, s.lines = true, lines
		if err := s.guarded(); err != nil {
			return s.covered, err
		}
		maps.Copy(covered, s.covered)
		found, disturbed = append(found, s.ends()), disturbed || s.disturbed
	}
	if !disturbed && !found[0].equal(found[1]) {
		return covered, fmt.Errorf("without crashes %v, with crashes %v", found[0], found[1])
	}
	return covered, nil
}

// guarded runs the simulation and turns a broken promise into an error.
func (s *sim) guarded() (err error) {
	defer func() {
		switch broken := recover().(type) {
		case nil:
		case violation:
			err = fmt.Errorf("%s\n%+v%s", string(broken), s.stored.Deployment.Spec.Strategy, s.describeTargets())
		default:
			panic(broken)
		}
	}()
	s.run()
	return nil
}

// routerCoverage is what has to happen to routers.
func routerCoverage() []string {
	wanted := []string{
		"router: away for a while", "router: read back", "router: read back differs", "router: written, but not read back",
		"router: asked, agrees", "router: asked, does not agree", "router: sent again", "router: cut",
		"router: late write refused by its fence", "router: a dead owner writes", "router: adopted a write without an answer",
		"crash after a router's answer, before it is stored", "crash after the store, before it is written to the router",
		"router: known to run the version, and not verified", "router: taken out", "router: called without traffic", "router: drained", "router: switched", "router: back by one write",
		"router: no old target is in service", "router: the last ones in service stay", "router: most run the version already", "router: called in service, for want of others",
		"router: called back in the slot that serves", "router: never confirmed at the end", "stopped: router", "stopped: traffic was not moved",
		"router: unhealthy while an operator is waited for", "router: a share grows in parts", "router: restarted", "router: drift was noticed",
		"router: an operator takes one out by weight", "router: an operator takes one out by drain",
		"router: written around what an operator holds", "router: refused at once",
		"router: settled, completed", "router: settled, rolled_back", "router: settled, aborted", "router: settled, failed",
		"undo by slot: checked first, switched, rolled_back", "undo by slot: checked first, rolled_back",
		"undo by slot: no switch, rolled_back", "undo by slot: called, switched, rolled_back",
		"router answer: done", "router answer: retry", "router answer: refused", "router answer: fenced",
		"router answer: not_sent", "router answer: lost",
	}
	for _, m := range routerMoods() {
		wanted = append(wanted, "router: "+string(m))
	}
	for _, kind := range []string{"rolling", "canary", "blue_green"} {
		wanted = append(wanted, "router: written, "+kind, "router: traffic on the new side, "+kind)
	}
	for _, name := range []string{"pause", "resume", "promote", "abort", "rollback"} {
		wanted = append(wanted, "router: "+name+" while a write is out")
	}
	return wanted
}

// checkCoverage wants everything that the simulation is about to have happened.
func checkCoverage(t *testing.T, covered map[string]int) {
	t.Helper()
	wanted := []string{
		"end: completed", "end: failed", "end: rolled_back", "end: aborted",
		"target: updated", "target: unchanged", "target: rolled_back", "target: failed", "target: unknown",
		"command: pause", "command: resume", "command: abort", "command: rollback", "command: promote",
		"command: promote full", "command: promote of a wave", "promoted too early or too late", "promoted twice",
		"strategy: rolling", "strategy: canary", "strategy: blue_green", "strategy: blue_green with slots", "target: of no wave",
		"gate: switch", "gate: next", "left a gate: promote", "left a gate: full", "left a gate: rolling_back",
		"left a gate: aborted", "a stage without new targets", "a repeated canary", "a wait beyond the deadline",
		"a metric that cannot be asked", "given up because nothing was known for too long",
		"stopped: threshold", "stopped: max_failures", "stopped: progress", "unhealthy after the switch",
		"crash after the plan, before it is stored", "crash after the store, before it is sent", "crash while it waits",
		"crash after an answer, before it is stored", "adopted a call without an answer", "a dead owner sends",
		"released until it is due", "a store put off", "answered with a higher fence", "turned down while at work",
		"late call refused by its fence", "a probe older than the newest call", "cut",
		"a hanging call holds up no other on the way back", "the work of an earlier deployment ends",
		"rules: a version answers elsewhere", "rules: back by those of an earlier deployment",
		"answer: done", "answer: accepted", "answer: retry", "answer: refused", "answer: fenced", "answer: not_sent", "answer: lost",
	}
	for _, m := range moods() {
		wanted = append(wanted, "mood: "+string(m))
	}
	wanted = append(wanted, routerCoverage()...)
	for _, what := range wanted {
		if covered[what] == 0 {
			t.Errorf("never happened: %s", what)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(covered)) {
		t.Logf("%8d  %s", covered[what], what)
	}
}
