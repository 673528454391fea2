package strategy_test

import (
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
)

// takeOver is a new owner's first step: it reads what is stored and takes nothing else for true.
func (s *sim) takeOver() {
	if s.live != nil || s.stored.Deployment.State.Terminal() {
		return
	}
	s.epoch++
	s.released, s.liveForgiven = false, s.storedForgiven
	s.live, s.adoptedAt, s.wake = s.stored.Clone(), s.now, s.now
	copy(s.liveShadow, s.storedShadow)
	s.dirty, s.touched, s.events = map[int]bool{}, map[int]bool{}, nil
	clear(s.calls)
	for i := range s.live.Targets {
		if s.live.Targets[i].Call != nil {
			s.dirty[i], s.touched[i] = true, true
			s.liveShadow[i].lost, s.liveShadow[i].adopted = true, s.liveShadow[i].adopted+1
			s.cover("adopted a call without an answer")
		}
	}
	strategy.Excuse(s.live, s.now)
	s.events = append(s.events, strategy.Adopt(s.live, s.now)...)
	s.trace("takeover", "", "epoch %d", s.epoch)
}

// die loses everything that the owner had only in memory.
func (s *sim) die(where string) {
	s.crashes--
	s.dieFor(where, between(s.crashRng, 200*time.Millisecond, 7*time.Second))
}

// dieFor leaves the deployment without an owner for a while.
func (s *sim) dieFor(where string, away time.Duration) {
	s.cover("crash " + where)
	s.trace("crash", "", "%s", where)
	s.live = nil
	s.epoch++ // nobody's: answers to the dead are dropped
	s.at(s.now.Add(away), s.takeOver)
}

func (s *sim) crashHere(where string) bool {
	if s.crashes == 0 || !chance(s.crashRng, 0.01) {
		return false
	}
	s.die(where)
	return true
}

// scheduleCrashes also lets owners die while nothing happens.
func (s *sim) scheduleCrashes() {
	for range s.crashes {
		s.at(s.now.Add(between(s.crashRng, 0, 40*time.Second)), func() {
			if s.live != nil && s.crashes > 0 {
				s.die("while it waits")
			}
		})
	}
}

// leaveZombie lets the dead owner wake later and send what it had written down.
func (s *sim) leaveZombie(unsent []rollout.Action) {
	if !chance(s.crashRng, 0.7) {
		return
	}
	epoch := s.epoch
	s.at(s.now.Add(between(s.crashRng, 100*time.Millisecond, 30*time.Second)), func() {
		for _, a := range unsent {
			if a.Kind == rollout.ActionCall {
				s.cover("a dead owner sends")
				s.send(sent{index: a.Target, call: a.Call, back: a.Back, epoch: epoch - 1, late: true})
			}
		}
	})
}

// schedulePeople lets people ask for things at moments that suit nobody.
func (s *sim) schedulePeople() {
	for range s.verbs {
		s.at(s.now.Add(between(s.rng, 0, 45*time.Second)), func() {
			s.ask(pick(s.rng, strategy.VerbPause, strategy.VerbPause, strategy.VerbPause, strategy.VerbResume,
				strategy.VerbRollback, strategy.VerbAbort, strategy.VerbPromote))
		})
	}
}

// callPerson makes sure that somebody looks after a deployment that stands still.
func (s *sim) callPerson() {
	if s.alone || s.live == nil || s.stored.Deployment.State != rollout.StatePaused || s.personDue {
		return
	}
	s.personDue = true
	s.at(s.now.Add(between(s.rng, time.Second, 30*time.Second)), func() {
		s.personDue = false
		if s.stored.Deployment.State != rollout.StatePaused {
			return
		}
		s.patience--
		switch {
		case s.patience < 0:
			s.ask(strategy.VerbAbort)
		case s.stored.Deployment.StartedAt.IsZero():
			s.ask(strategy.VerbResume)
		default:
			resume := strategy.VerbResume
			s.ask(pick(s.rng, resume, resume, resume, resume, strategy.VerbRollback, strategy.VerbAbort))
		}
	})
}

// ask changes the stored deployment as the API does. The owner reads it back with its next write, so no plan is ever
// stored that did not know of it; whoever owns nothing yet is woken.
func (s *sim) ask(verb strategy.Verb) {
	before := s.stored.Deployment
	if before.State.Terminal() {
		return
	}
	d := before
	events, err := strategy.Ask(&d, strategy.Request{Verb: verb, Actor: "ann", Full: verb == strategy.VerbPromote}, s.now)
	s.trace("person", "", "%s (%s): %d events, %v", verb, before.State, len(events), err)
	s.checkAsk(verb, &before, &d, events, err)
	if err != nil || len(events) == 0 {
		return
	}
	s.cover("verb: " + string(verb))
	s.stored.Deployment = d
	s.log = append(s.log, events...)
	for i := range events {
		s.traceEvent(&events[i])
	}
	if s.live != nil {
		s.live.Deployment, s.liveForgiven = d, s.storedForgiven
		s.notice()
		return
	}
	if s.released {
		s.at(s.now.Add(s.poll()), s.takeOver)
	}
}

// poll is how long it takes until a replica sees that there is something to do.
func (s *sim) poll() time.Duration {
	if s.steady {
		return 0
	}
	return between(s.rng, 0, 500*time.Millisecond)
}

// checkAsk holds a verb's answer to the table of the design: legal, told, and the same when asked again.
func (s *sim) checkAsk(verb strategy.Verb, before, after *rollout.Deployment, events []rollout.Event, err error) {
	switch {
	case err != nil && (rollout.ErrorCode(err) != rollout.CodeConflict || statusOf(before) != statusOf(after) || before.Operator != after.Operator):
		s.violate("%s failed with %v and left its mark", verb, err)
	case !before.State.CanBecome(after.State):
		s.violate("%s takes it from %s to %s", verb, before.State, after.State)
	case before.State != after.State && len(events) == 0:
		s.violate("nobody is told that %s takes it from %s to %s", verb, before.State, after.State)
	}
	if err != nil {
		return
	}
	again := *after
	repeated, err := strategy.Ask(&again, strategy.Request{Verb: verb, Actor: "bob", Full: verb == strategy.VerbPromote}, s.now)
	if err != nil || len(repeated) > 0 || statusOf(&again) != statusOf(after) || again.Operator != after.Operator {
		s.violate("%s asked for again: %v, %d events", verb, err, len(repeated))
	}
}
