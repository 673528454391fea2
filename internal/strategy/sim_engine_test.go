package strategy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// sim drives the planner as the engine does, on virtual time, and dies as replicas do.
type sim struct {
	scenario
	seed          uint64
	rng, crashRng *rand.Rand
	steady        bool
	now           time.Time
	queue         timeline

	// live is what the owner has in memory, nil while there is none; stored is what survives it.
	live, stored             *rollout.Snapshot
	liveShadow, storedShadow []shadow
	// dirty targets differ from what is stored in what people see, touched ones in anything.
	dirty, touched map[int]bool
	events         []rollout.Event // recorded by the owner and not yet stored
	log            []rollout.Event // stored
	epoch          int64
	adoptedAt      time.Time
	resumedAt      time.Time // a deadline that had passed before the pause passes again at once
	seenFences     map[string][]int64
	sentFence      map[int]int64 // the highest fence that anyone has sent to a target
	calls          map[int]int64 // fences of the owner's calls in flight
	wake           time.Time

	// liveBook and storedBook are the notes about the router, routing the fence of the owner's write that is out, and
	// finished what was shown before the end.
	liveBook, storedBook book
	routing              int64
	finished             rollout.Status

	steps, stepsNow int
	personDue       bool
	commandsLeft    int
	disturbed       bool         // a dead owner's call was carried out: a target restarts unexpectedly
	opened          map[int]bool // waves whose gates people have opened
	openedAll       bool
	held            []interval // when it stood still for a person
	liveForgiven    int
	storedForgiven  int
	released        bool
	unstoredSince   time.Time
	alone           bool // only the scheduled operators act on it
	halfway         bool // what is stored asked for another decision at once
	covered         map[string]int
	lines           *[]string
}

// violation is a broken promise.
type violation string

func (s *sim) violate(format string, args ...any) {
	panic(violation(s.now.Sub(simStart).String() + ": " + fmt.Sprintf(format, args...)))
}

func (s *sim) cover(what string) { s.covered[what]++ }

func (s *sim) trace(what, who, format string, args ...any) {
	if s.lines != nil {
		*s.lines = append(*s.lines,
			fmt.Sprintf("%12s  %-14s %-5s %s", s.now.Sub(simStart), what, who, fmt.Sprintf(format, args...)))
	}
}

func (s *sim) traceEvent(e *rollout.Event) {
	if s.lines == nil {
		return
	}
	text := fmt.Sprintf("%s %s → %s", e.Type, e.From, e.To)
	if e.Call != nil && e.Type == rollout.EventTargetIntent {
		text += fmt.Sprintf(" %s %s, attempt %d, fence %d", e.Call.Action, e.Call.Version, e.Call.Attempt, s.nth(e.Target, e.Call.Fence))
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	s.trace("event", e.Target, "%s", text)
}

// nth is the place of a fence among those of one target or router: a story shows that, because fences grow with time.
func (s *sim) nth(who string, fence int64) int {
	if i := slices.Index(s.seenFences[who], fence); i >= 0 {
		return i + 1
	}
	s.seenFences[who] = append(s.seenFences[who], fence)
	return len(s.seenFences[who])
}

func newSim(seed uint64, sc scenario, rng, crashRng *rand.Rand) *sim {
	stored := sc.snapshot.Clone()
	n := len(stored.Targets)
	s := &sim{
		scenario: sc, seed: seed, rng: rng, crashRng: crashRng, now: simStart, stored: stored,
		storedShadow: make([]shadow, n), liveShadow: make([]shadow, n),
		calls: map[int]int64{}, sentFence: map[int]int64{}, covered: map[string]int{}, seenFences: map[string][]int64{}, commandsLeft: 6,
		opened: map[int]bool{},
	}
	s.storedBook = (&book{held: -1}).clone()
	for i := range stored.Targets {
		s.storedShadow[i].fence = stored.Targets[i].Fence
		if fence := stored.Targets[i].Fence; fence > 0 {
			s.nth(stored.Targets[i].ID, fence)
		}
	}
	return s
}

// Bounds of a whole run. They are far beyond what any scenario can need.
const (
	maxSteps    = 1_000_000 // forty waves with a long delay each, and probes all the time, take 300,000
	longestTime = 12 * time.Hour
)

// run plays the scenario to its end.
func (s *sim) run() {
	s.coverStrategy()
	s.schedulePeople()
	s.scheduleCrashes()
	s.configure()
	s.scheduleRestarts()
	s.scheduleLeftBehind()
	s.takeOver()
	for !s.stored.Deployment.State.Terminal() {
		if s.steps++; s.steps > maxSteps || s.now.Sub(simStart) > longestTime {
			s.violate("the run does not end: %d steps, %q", s.steps, s.stored.Deployment.Reason)
		}
		if s.live != nil && !s.now.Before(s.wake) {
			s.turn()
			continue
		}
		s.advance()
	}
	s.checkEnd()
}

// advance moves time on to whatever comes first: the owner's wake or the next thing to happen.
func (s *sim) advance() {
	next := s.queue.Len() > 0
	if s.live != nil && (!next || !s.queue.items[0].at.Before(s.wake)) {
		s.moveTo(s.wake)
		return
	}
	if !next {
		s.violate("nothing will ever happen")
	}
	it := s.queue.next()
	s.moveTo(it.at)
	it.do()
}

func (s *sim) moveTo(at time.Time) {
	if at.After(s.now) {
		s.now, s.stepsNow = at, 0
	}
	s.checkClock()
}

// notice lets the owner look again, at once or after the little while that it takes to gather outcomes.
func (s *sim) notice() {
	at := s.now
	if !s.steady && chance(s.rng, 0.3) {
		at = at.Add(between(s.rng, 0, 50*time.Millisecond))
	}
	if at.Before(s.wake) {
		s.wake = at
	}
}

func (s *sim) outcome(o rollout.Outcome) {
	t := &s.live.Targets[o.Action.Target]
	s.foresee(o)
	before := *t
	events := lifecycle.ApplyResult(s.live, o, s.now)
	s.changed(o.Action.Target, events, before.Phase != t.Phase || before.State != t.State || before.Health != t.Health || before.Version != t.Version)
	s.trace("outcome", t.ID, "%s: %s → %s %s", word(o), before.State, t.Phase, t.State)
	if s.crashHere("after an answer, before it is stored") {
		return
	}
	s.notice()
}

func word(o rollout.Outcome) string {
	if o.Action.Kind == rollout.ActionProbe {
		return fmt.Sprintf("probe %d %s %s", o.Action.Check, o.Probe.Status, o.Probe.Version)
	}
	return string(o.Result.Kind)
}

// changed notes that a target is to be stored, soon if people would see the difference, and which events there are about it.
func (s *sim) changed(index int, events []rollout.Event, visible bool) {
	s.touched[index] = true
	if len(s.dirty) == 0 {
		s.unstoredSince = s.now
	}
	if visible {
		s.dirty[index] = true
	}
	s.events = append(s.events, events...)
	for i := range events {
		s.observeEvent(index, &events[i])
	}
}
