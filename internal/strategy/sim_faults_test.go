package strategy_test

import (
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
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
	for i := range s.liveShadow {
		s.liveShadow[i].restartUnknown(s.now)
	}
	s.adoptBook()
	if d := &s.live.Deployment; d.Spec.Traffic != nil && d.Progress.Router == nil {
		d.Progress.Router = &routing.State{}
	}
	for i := range s.live.Targets {
		if s.live.Targets[i].Call != nil {
			s.dirty[i], s.touched[i] = true, true
			s.liveShadow[i].lost, s.liveShadow[i].adopted = true, s.liveShadow[i].adopted+1
			s.cover("adopted a call without an answer")
		}
	}
	lifecycle.CompensateDowntime(s.live, s.now)
	s.events = append(s.events, lifecycle.TakeOver(s.live, s.now)...)
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
	s.forgetHeld()
	s.epoch++ // of no owner: results for the dead are dropped
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
	s.at(s.now.Add(between(s.crashRng, 100*time.Millisecond, pick(s.crashRng, 2*time.Second, 30*time.Second))), func() {
		for _, a := range unsent {
			if a.Kind == rollout.ActionSetWeights {
				s.cover("router: a dead owner writes")
				s.write(written{call: a.Route, epoch: epoch - 1, late: true})
			}
			if a.Kind == rollout.ActionCall && !s.now.Add(s.stored.Deployment.Spec.ForDirection(&s.stored.Targets[a.Target], a.Back).Deploy.Timeout.Std()).After(a.Call.Deadline) {
				s.cover("a dead owner sends")
				s.send(sent{index: a.Target, call: a.Call, back: a.Back, epoch: epoch - 1, late: true})
			}
		}
	})
}
