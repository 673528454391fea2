package strategy_test

import (
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/command"
)

// schedulePeople gives commands at random moments.
func (s *sim) schedulePeople() {
	for range s.commands {
		s.at(s.now.Add(between(s.rng, 0, 45*time.Second)), func() {
			kind := pick(s.rng, command.Pause, command.Pause, command.Pause, command.Resume,
				command.Rollback, command.Abort, command.Promote, command.Promote, command.Promote)
			r := command.Command{Kind: kind, Actor: "ann"}
			if kind == command.Promote {
				r.SkipGates = chance(s.rng, 0.4)
				r.Wave = pick(s.rng, 0, 0, 1, 2)
			}
			s.ask(r)
		})
	}
}

// callPerson makes sure that an operator acts on a deployment that has stopped.
func (s *sim) callPerson() {
	if s.alone || s.stored.Deployment.State != rollout.StatePaused || s.personDue {
		return
	}
	s.personDue = true
	away := between(s.rng, time.Second, 30*time.Second)
	if s.steady {
		away = 2 * time.Second
	}
	s.at(s.now.Add(away), func() {
		s.personDue = false
		d := &s.stored.Deployment
		if d.State != rollout.StatePaused {
			return
		}
		if d.Progress.Gate > 0 && !d.Operator.Pause && d.Stop == rollout.StopNone {
			s.visitGate(d.Progress.Gate)
		} else {
			s.visitPaused()
		}
		s.callPerson() // whatever was asked may have changed nothing
	})
}

func (s *sim) visitPaused() {
	resume := command.Resume
	kind := pick(s.rng, resume, resume, resume, resume, resume, command.Promote, command.Rollback, command.Abort)
	s.commandsLeft--
	switch {
	case s.commandsLeft < 0:
		kind = command.Abort
	case s.stored.Deployment.StartedAt.IsZero():
		kind = resume
	}
	s.ask(command.Command{Kind: kind, Actor: "ann"})
}

// visitGate is what people do at a gate: most open it.
func (s *sim) visitGate(gate int) {
	promote := command.Command{Kind: command.Promote, Actor: "ann"}
	if s.steady {
		s.ask(promote)
		return
	}
	switch s.rng.IntN(12) {
	case 0:
		s.ask(command.Command{Kind: command.Pause, Actor: "ann"})
		promote.Wave = gate
		s.ask(promote)
	case 1:
		s.ask(command.Command{Kind: command.Resume, Actor: "ann"})
	case 2:
		s.ask(command.Command{Kind: command.Rollback, Actor: "ann"})
	case 3:
		s.ask(command.Command{Kind: command.Abort, Actor: "ann"})
	case 4:
		s.ask(promote)
		promote.SkipGates = true
		s.ask(promote)
	case 5:
		promote.SkipGates = true
		s.ask(promote)
	case 6:
		promote.Wave = gate + 1
		s.ask(promote)
	case 7:
		promote.Wave = gate
		s.ask(promote)
	default:
		for range 3 {
			s.ask(promote)
		}
	}
}

// ask changes the stored deployment as the API does. The owner reads it back with its next write, so no plan is ever
// stored that did not know of it; an idle replica is woken.
func (s *sim) ask(r command.Command) {
	before := s.stored.Deployment
	if before.State.Terminal() {
		return
	}
	d := before
	events, err := command.Apply(&d, r, s.now)
	s.trace("person", "", "%s (%s): %d events, %v", wordOf(r), before.State, len(events), err)
	s.checkAsk(r, &before, &d, events, err)
	if r.Kind == command.Promote {
		s.checkPromote(r, &before, &d, events, err)
	}
	if err != nil || len(events) == 0 {
		return
	}
	s.cover("command: " + wordOf(r))
	if r.Kind == command.Resume {
		s.resumedAt = s.now
	}
	if s.routing != 0 {
		s.cover("router: " + string(r.Kind) + " while a write is out")
		if r.Kind == command.Pause && chance(s.rng, 0.5) { // an operator changes their mind
			s.at(s.now.Add(time.Millisecond), func() { s.ask(command.Command{Kind: command.Resume, Actor: "bob"}) })
		}
	}
	s.stored.Deployment = d
	s.log = append(s.log, events...)
	for i := range events {
		s.traceEvent(&events[i])
	}
	s.noteHeldBy(&d)
	if s.live != nil {
		// What the router answered may not be stored yet, and no one else writes it.
		d.Progress.Router, d.Progress.Weight = s.live.Deployment.Progress.Router, s.live.Deployment.Progress.Weight
		s.live.Deployment, s.liveForgiven = d, s.storedForgiven
		s.notice()
		return
	}
	if s.released {
		s.at(s.now.Add(s.poll()), s.takeOver)
	}
}

func wordOf(r command.Command) string {
	switch {
	case r.SkipGates:
		return string(r.Kind) + " full"
	case r.Wave > 0:
		return string(r.Kind) + " of a wave"
	default:
		return string(r.Kind)
	}
}

// poll is how long it takes until a replica sees that there is something to do.
func (s *sim) poll() time.Duration {
	if s.steady {
		return 0
	}
	return between(s.rng, 0, 500*time.Millisecond)
}

// checkAsk compares the result of a command with the table of the design: legal, with an event, and the same when repeated.
func (s *sim) checkAsk(r command.Command, before, after *rollout.Deployment, events []rollout.Event, err error) {
	switch {
	case err != nil && (problem.CodeOf(err) != problem.CodeConflict || before.Status != after.Status || before.Operator != after.Operator):
		s.violate("%s failed with %v and left its mark", r.Kind, err)
	case !before.State.CanBecome(after.State):
		s.violate("%s takes it from %s to %s", r.Kind, before.State, after.State)
	case before.State != after.State && len(events) == 0:
		s.violate("no event says that %s takes it from %s to %s", r.Kind, before.State, after.State)
	}
	if err != nil {
		return
	}
	again := *after
	r.Actor = "bob"
	repeated, err := command.Apply(&again, r, s.now)
	if err != nil || len(repeated) > 0 || again.Status != after.Status || again.Operator != after.Operator {
		s.violate("%s asked for again: %v, %d events", r.Kind, err, len(repeated))
	}
}

// checkPromote keeps a book of the gates that people have opened, and holds each answer to it: one promote opens the one
// gate that it names or meets, full opens them all, and neither says 200 without doing so.
func (s *sim) checkPromote(r command.Command, before, after *rollout.Deployment, events []rollout.Event, err error) {
	gate := before.Progress.Gate
	running := !before.StartedAt.IsZero() && before.Direction == rollout.Forward && !before.Operator.Abort
	named := r.Wave == 0 && gate > 0 || r.Wave > 0 && (r.Wave == gate || s.opened[r.Wave])
	switch {
	case !running && err == nil:
		s.violate("promote of what has not begun, or goes back, or is called off")
	case running && (err == nil) != (r.SkipGates || named):
		s.violate("promote full %t, wave %d, at the gate of wave %d, opened %v: %v", r.SkipGates, r.Wave, gate, s.opened, err)
	case err == nil && r.SkipGates && !after.Operator.SkipGates:
		s.violate("full was answered with 200 and is forgotten")
	case !r.SkipGates && after.Operator.SkipGates != before.Operator.SkipGates:
		s.violate("one promote skips all gates")
	case after.Operator.Promoted != before.Operator.Promoted && after.Operator.Promoted != gate:
		s.violate("promote at the gate of wave %d opens %d", gate, after.Operator.Promoted)
	case before.Progress != after.Progress:
		s.violate("promote changes more than what people want")
	case len(events) > 0 && gate > 0 && (after.State == rollout.StatePaused) != (before.Operator.Pause || before.Stop != rollout.StopNone):
		s.violate("promoted at a gate, and it shows %s", after.State)
	case (len(events) == 0 || gate == 0) && before.State != after.State:
		s.violate("promote changes %s to %s at no gate", before.State, after.State)
	}
	switch {
	case err != nil:
		s.cover("promoted too early or too late")
		return
	case len(events) == 0:
		s.cover("promoted twice")
	}
	s.openedAll = s.openedAll || r.SkipGates
	if gate > 0 && (r.SkipGates || r.Wave == 0 || r.Wave == gate) {
		s.opened[gate] = true
	}
}

func (s *sim) isOpen(wave int) bool { return s.openedAll || s.opened[wave] }
