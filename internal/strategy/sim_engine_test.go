package strategy_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
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
	events         []rollout.Event // told by the owner and not yet stored
	log            []rollout.Event // stored
	epoch          int64
	adoptedAt      time.Time
	calls          map[int]int64 // fences of the owner's calls in flight
	wake           time.Time

	steps, stepsNow int
	personDue       bool
	patience        int
	liveForgiven    int
	storedForgiven  int
	released        bool
	unstoredSince   time.Time
	alone           bool // nobody looks after it but those who are told to
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
		text += fmt.Sprintf(" %s %s, attempt %d, fence %d", e.Call.Action, e.Call.Version, e.Call.Attempt, e.Call.Fence)
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	s.trace("event", e.Target, "%s", text)
}

// item is something that will happen.
type item struct {
	at  time.Time
	seq int
	do  func()
}

type timeline struct {
	items []item
	seq   int
}

func (t *timeline) Len() int { return len(t.items) }
func (t *timeline) Less(i, j int) bool {
	a, b := t.items[i], t.items[j]
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.seq < b.seq
}
func (t *timeline) Swap(i, j int) { t.items[i], t.items[j] = t.items[j], t.items[i] }
func (t *timeline) Push(x any)    { t.items = append(t.items, x.(item)) }
func (t *timeline) Pop() any {
	last := t.items[len(t.items)-1]
	t.items = t.items[:len(t.items)-1]
	return last
}

func (s *sim) at(at time.Time, do func()) {
	s.queue.seq++
	heap.Push(&s.queue, item{at, s.queue.seq, do})
}

func newSim(seed uint64, sc scenario, rng, crashRng *rand.Rand) *sim {
	stored := sc.snapshot.Clone()
	n := len(stored.Targets)
	s := &sim{
		scenario: sc, seed: seed, rng: rng, crashRng: crashRng, now: simStart, stored: stored,
		storedShadow: make([]shadow, n), liveShadow: make([]shadow, n),
		calls: map[int]int64{}, sentFence: map[int]int64{}, covered: map[string]int{}, patience: 6,
	}
	for i := range stored.Targets {
		s.storedShadow[i].fence = stored.Targets[i].Fence
	}
	return s
}

// Bounds of a whole run. They are far beyond what any scenario can need.
const (
	mostSteps   = 300_000
	longestTime = 12 * time.Hour
)

// run plays the scenario to its end.
func (s *sim) run() {
	s.schedulePeople()
	s.scheduleCrashes()
	s.takeOver()
	for !s.stored.Deployment.State.Terminal() {
		if s.steps++; s.steps > mostSteps || s.now.Sub(simStart) > longestTime {
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
	it := heap.Pop(&s.queue).(item)
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
	events := strategy.Apply(s.live, o, s.now)
	s.changed(o.Action.Target, events, before.Phase != t.Phase || before.State != t.State || before.Health != t.Health)
	s.trace("outcome", t.ID, "%s: %s → %s %s", word(o), before.State, t.Phase, t.State)
	if s.crashHere("after an answer, before it is stored") {
		return
	}
	s.notice()
}

func word(o rollout.Outcome) string {
	if o.Action.Kind == rollout.ActionProbe {
		return fmt.Sprintf("probe %d %s %s", o.Action.Check, o.Observation.Status, o.Observation.Version)
	}
	return string(o.Answer.Kind)
}

// changed notes that a target is to be stored, soon if people would see the difference, and what is to be told of it.
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
		s.told(index, &events[i])
	}
}

// draft is one or more decisions that are stored together.
type draft struct {
	actions []rollout.Action
	calls   bool
	cut     bool
	again   bool
	steps   int
	wake    time.Time
	events  int // how many there were before
	state   rollout.State
}

// turn is one round of the engine: plan, write down, act.
func (s *sim) turn() {
	dr := draft{events: len(s.events), state: s.live.Deployment.State}
	for first := true; first || dr.again && (s.steady || chance(s.rng, 0.5)); first = false {
		s.decide(&dr)
	}
	if s.crashHere("after the plan, before it is stored") {
		return
	}
	if s.deferrable(&dr) {
		s.cover("a store put off")
	} else {
		s.checkStore(&dr)
		s.store(s.dirty)
		s.halfway = dr.again
		if s.release(&dr) {
			return
		}
	}
	s.act(dr.actions, dr.cut)
	s.wake = dr.wake
	switch {
	case dr.again || s.live == nil:
		s.wake = s.now
	case !s.steady && chance(s.rng, 0.1):
		s.wake = s.wake.Add(between(s.rng, 0, 300*time.Millisecond))
	}
	s.callPerson()
}

// decide makes one decision and writes it down in the owner's memory.
func (s *sim) decide(dr *draft) {
	s.checkSpin()
	before := s.live.Deployment
	failures := s.countFailures()
	d := strategy.Plan(s.live, s.now)
	s.checkDecision(&before, &d)
	s.take(&d.Status)
	s.noteForgiven(&before, failures)
	s.checkOverdue(&before)
	s.events = append(s.events, d.Events...)
	for _, m := range d.Moves {
		s.changed(m.Target, strategy.Move(s.live, m, s.now), true)
	}
	dr.actions = append(dr.actions, s.begin(&before, failures, d.Actions)...)
	if d.Status.State.Terminal() {
		s.live.Deployment.Result = strategy.Conclude(s.live)
	}
	for _, a := range d.Actions {
		dr.calls = dr.calls || a.Kind == rollout.ActionCall
	}
	dr.cut, dr.again, dr.wake, dr.steps = dr.cut || d.Cut, d.Again, d.Wake, dr.steps+1
}

// deferrable reports whether the store is put off: the engine does so when there is no call to write down and nothing
// to tell.
func (s *sim) deferrable(dr *draft) bool {
	quiet := !dr.calls && len(s.events) == dr.events && s.live.Deployment.State == dr.state && !dr.again
	if !quiet || s.live.Deployment.State.Terminal() || !s.waits() || s.halfway || !s.now.Before(s.unstoredSince.Add(deferFor)) {
		return false
	}
	dr.wake = earlier(dr.wake, s.unstoredSince.Add(deferFor))
	return true
}

// deferFor is how long a store may be put off.
const deferFor = 20 * time.Millisecond

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// release gives the deployment up until it is due, when nothing is out and nothing is near.
func (s *sim) release(dr *draft) bool {
	if len(dr.actions) > 0 || dr.again || s.live.Deployment.State.Terminal() || dr.wake.Sub(s.now) < 5*time.Second || s.waits() {
		return false
	}
	s.cover("released until it is due")
	s.trace("release", "", "until %s", dr.wake.Sub(simStart))
	s.store(s.touched)
	s.callPerson()
	s.live, s.released = nil, true
	s.epoch++
	s.at(dr.wake, s.takeOver)
	return true
}

// waits reports whether anything is out.
func (s *sim) waits() bool {
	for i := range s.live.Targets {
		for c := range s.live.Targets[i].Checks {
			if s.live.Targets[i].Checks[c].Probing {
				return true
			}
		}
	}
	return len(s.calls) > 0
}

// take copies the status into the owner's memory.
func (s *sim) take(st *rollout.Status) {
	d := &s.live.Deployment
	if d.State != st.State || d.Reason != st.Reason {
		s.trace("status", "", "%s: %s%s", st.State, st.Reason, s.deadlineText(st))
	}
	d.State, d.Direction, d.Stop, d.Reason, d.Progress = st.State, st.Direction, st.Stop, st.Reason, st.Progress
	d.StartedAt, d.FinishedAt, d.DeadlineAt, d.NextActionAt = st.StartedAt, st.FinishedAt, st.DeadlineAt, st.NextActionAt
	d.Result = st.Result
}

func (s *sim) deadlineText(st *rollout.Status) string {
	if st.DeadlineAt.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (deadline %s)", st.DeadlineAt.Sub(simStart))
}

// begin writes actions down in the owner's memory and completes them.
func (s *sim) begin(before *rollout.Deployment, failures int, actions []rollout.Action) []rollout.Action {
	var begun []rollout.Action
	for _, a := range actions {
		t, complete, events := strategy.Begin(&s.live.Deployment, s.live.Targets[a.Target], a, s.now)
		if a.Kind == rollout.ActionCall {
			s.checkIntent(before, failures, &s.live.Targets[a.Target], complete, events)
		}
		s.live.Targets[a.Target] = t
		s.changed(a.Target, events, a.Kind == rollout.ActionCall)
		begun = append(begun, complete)
	}
	return begun
}

// store makes the deployment, these targets and all events survive, at once or not at all.
func (s *sim) store(changed map[int]bool) {
	s.stored.Deployment, s.storedForgiven = s.live.Deployment, s.liveForgiven
	for i := range changed {
		s.stored.Targets[i] = s.live.Targets[i].Clone()
		for c := range s.stored.Targets[i].Checks {
			s.stored.Targets[i].Checks[c].Probing = false
		}
		s.storedShadow[i] = s.liveShadow[i]
		delete(s.touched, i)
	}
	for i := range s.events {
		s.traceEvent(&s.events[i])
	}
	s.log = append(s.log, s.events...)
	clear(s.dirty)
	s.events = nil
}

// act carries out what has been written down.
func (s *sim) act(actions []rollout.Action, cut bool) {
	for i, a := range actions {
		if s.crashHere("after the store, before it is sent") {
			s.leaveZombie(actions[i:])
			return
		}
		if a.Kind == rollout.ActionProbe {
			s.look(a)
			continue
		}
		if _, busy := s.calls[a.Target]; busy {
			s.violate("two calls in flight at %s", s.world[a.Target].id)
		}
		s.calls[a.Target] = a.Call.Fence
		s.send(sent{index: a.Target, call: a.Call, epoch: s.epoch})
	}
	if cut {
		s.cutCalls()
	}
}

// cutCalls gives up every call in flight.
func (s *sim) cutCalls() {
	s.cover("cut")
	for i := range s.live.Targets {
		if _, open := s.calls[i]; !open {
			continue
		}
		delete(s.calls, i)
		action := rollout.Action{Kind: rollout.ActionCall, Target: i, Call: *s.live.Targets[i].Call}
		s.at(s.now, func() {
			if s.live != nil {
				s.outcome(rollout.Outcome{Action: action, Answer: rollout.Answer{Kind: rollout.AnswerLost, Message: "cut"}})
			}
		})
	}
}
