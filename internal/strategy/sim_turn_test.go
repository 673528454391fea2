package strategy_test

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
	"rollcall/internal/strategy/planner"
)

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
	d := planner.Plan(s.live, s.now)
	s.checkDecision(&before, &d)
	s.checkDriftNoticed()
	s.take(&d.Status)
	s.noteForgiven(&before, failures)
	s.checkOverdue(&before)
	s.noteHeld()
	s.events = append(s.events, d.Events...)
	for _, m := range d.Transitions {
		s.changed(m.Target, lifecycle.ApplyTransition(s.live, m, s.now), true)
	}
	dr.actions = append(dr.actions, s.begin(&before, d.Actions)...)
	if d.Status.State.Terminal() {
		s.finished = before.Status
		s.live.Deployment.Result = lifecycle.NewResult(s.live)
	}
	for _, a := range d.Actions {
		dr.calls = dr.calls || a.Kind == rollout.ActionCall || a.Kind == rollout.ActionSetWeights
	}
	dr.cut, dr.again, dr.wake, dr.steps = dr.cut || d.CancelCalls, d.Replan, d.WakeAt, dr.steps+1
}

// deferrable reports whether the store is put off: the engine does so when there is no call to write down and nothing
// to report.
func (s *sim) deferrable(dr *draft) bool {
	quiet := !dr.calls && len(s.events) == dr.events && s.live.Deployment.State == dr.state && !dr.again
	if !quiet || s.live.Deployment.State.Terminal() || !s.waits() || s.halfway || !s.now.Before(s.unstoredSince.Add(deferFor)) {
		return false
	}
	dr.wake = Earlier(dr.wake, s.unstoredSince.Add(deferFor))
	return true
}

// deferFor is how long a store may be put off.
const deferFor = 20 * time.Millisecond

func Earlier(a, b time.Time) time.Time {
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
	r := s.live.Deployment.Progress.Router
	return len(s.calls) > 0 || s.routing != 0 || r != nil && r.Reading
}

// take copies the status into the owner's memory.
func (s *sim) take(st *rollout.Status) {
	d := &s.live.Deployment
	if d.State != st.State || d.Reason != st.Reason {
		s.trace("status", "", "%s: %s%s", st.State, st.Reason, s.deadlineText(st))
	}
	d.Status = *st
}

func (s *sim) deadlineText(st *rollout.Status) string {
	if st.DeadlineAt.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (deadline %s)", st.DeadlineAt.Sub(simStart))
}

// begin writes actions down in the owner's memory and completes them.
func (s *sim) begin(before *rollout.Deployment, actions []rollout.Action) []rollout.Action {
	var begun []rollout.Action
	for _, a := range actions {
		if a.Kind == rollout.ActionSetWeights || a.Kind == rollout.ActionReadWeights {
			begun = append(begun, s.beginRoute(before, a))
			continue
		}
		t, complete, events := lifecycle.StartTargetAction(&s.live.Deployment, s.live.Targets[a.Target], a, s.now)
		if a.Kind == rollout.ActionCall {
			s.checkIntent(before, &s.live.Targets[a.Target], complete, events)
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
	s.storedBook = s.liveBook.clone()
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
		where := "after the store, before it is sent"
		if a.Kind == rollout.ActionSetWeights {
			where = "after the store, before it is written to the router"
		}
		if s.crashHere(where) {
			s.leaveZombie(actions[i:])
			return
		}
		switch a.Kind {
		case rollout.ActionProbe:
			s.look(a)
			continue
		case rollout.ActionSetWeights:
			s.routing = a.Route.Fence
			s.write(written{call: a.Route, epoch: s.epoch})
			continue
		case rollout.ActionReadWeights:
			s.askRouter(a)
			continue
		case rollout.ActionCall:
		}
		if _, busy := s.calls[a.Target]; busy {
			s.violate("two calls in flight at %s", s.world[a.Target].id)
		}
		s.calls[a.Target] = a.Call.Fence
		s.send(sent{index: a.Target, call: a.Call, back: a.Back, epoch: s.epoch})
	}
	if cut {
		s.cutCalls()
	}
}

// cutCalls gives up every call in flight.
func (s *sim) cutCalls() {
	s.cover("cut")
	s.cutRoute()
	for i := range s.live.Targets {
		if _, open := s.calls[i]; !open {
			continue
		}
		delete(s.calls, i)
		action := rollout.Action{Kind: rollout.ActionCall, Target: i, Call: *s.live.Targets[i].Call}
		s.at(s.now, func() {
			if s.live != nil {
				s.outcome(rollout.Outcome{Action: action, Result: rollout.CallResult{Kind: rollout.ResultUnknown, Message: "cut"}})
			}
		})
	}
}
