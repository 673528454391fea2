package strategy_test

import (
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// checkTrafficEnd wants the router to be left as the deployment's end says, and to have confirmed it.
func (s *sim) checkTrafficEnd() {
	d := &s.stored.Deployment
	if d.Spec.Traffic == nil || d.StartedAt.IsZero() {
		return
	}
	r := d.Progress.Router
	if r == nil || r.Applied == nil {
		s.cover("router: never confirmed at the end")
		if r != nil && r.Refused {
			s.cover("router: refused at once")
		} else if d.State != rollout.StateFailed {
			s.violate("%s, and the router has not confirmed anything", d.State)
		}
		return
	}
	if r.InFlight || r.InDoubt {
		s.violate("it ended with a write in doubt")
	}
	if d.State == rollout.StateCompleted && r.Differs != "" {
		s.violate("it completed, and the router was last seen to differ: %s", r.Differs)
	}
	if s.router.truthful() && !s.router.doesAs(r.Applied) && !s.unseenAtTheEnd() {
		s.violate("it ended, and the router does %+v, not %+v", s.router.does, *r.Applied)
	}
	if d.State == rollout.StateFailed && d.Reason != "" && s.unconfirmedEnd() {
		s.cover("router: the last write was not confirmed at the end")
		return
	}
	s.checkLeftSides(r.Applied)
	s.checkOneWriteBack()
}

// unseenAtTheEnd reports whether the router forgot what it was sent, and could not have been read before the end.
func (s *sim) unseenAtTheEnd() bool {
	r := s.router
	if r.forgotAt.IsZero() {
		return false
	}
	const fresh = 5 * time.Second
	room := s.finished.DeadlineAt.Sub(s.now) - s.stored.Deployment.Spec.Traffic.Timeout.Std()
	return s.now.Sub(r.forgotAt) <= fresh || r.unreadAt.After(r.forgotAt) || !s.finished.DeadlineAt.IsZero() && room < simInterval
}

// routerFailed reports whether the router was not where it should be at the end.
func (s *sim) routerFailed() bool {
	r := s.stored.Deployment.Progress.Router
	return s.stored.Deployment.Spec.Traffic != nil && (r == nil || r.Applied == nil || s.unconfirmedEnd())
}

// unconfirmedEnd reports whether the deployment gave up because its time was over, before the router was where it should be:
// on the way back, or aborted, a call may have taken all the time; else only after the router had not done what it was sent.
func (s *sim) unconfirmedEnd() bool {
	if s.finished.DeadlineAt.IsZero() || s.now.Before(s.finished.DeadlineAt) {
		return false
	}
	d := &s.stored.Deployment
	r := d.Progress.Router
	return d.Direction == rollout.Backward || d.Operator.Abort || r == nil || r.Error != "" || r.RetriesUsed > 0
}

// checkLeftSides wants the new side without traffic unless it won, and every target that can serve to serve.
func (s *sim) checkLeftSides(w *routing.TrafficSplit) {
	d := &s.stored.Deployment
	won := d.State == rollout.StateCompleted || d.State == rollout.StateRolledBack && d.Direction == rollout.Forward ||
		d.State == rollout.StateFailed && d.Direction == rollout.Forward && d.Stop == rollout.StopNone
	old := 0
	for i := range s.stored.Targets {
		if t := &s.stored.Targets[i]; stays(t) && i != s.router.held && i != s.storedBook.held && (!s.bySlot() || t.Slot == s.oldSlot()) && t.State != rollout.TargetUpdated && t.Version != t.DesiredVersion {
			old++
		}
	}
	halted := d.Spec.Strategy.Type == "rolling" && d.State == rollout.StateFailed && d.Direction == rollout.Forward
	if !won && !halted && w.NewWeight != 0 && old > 0 {
		s.violate("%s, and the new side is left with %d %%", d.State, w.NewWeight)
	}
	for i, b := range w.Backends {
		t := &s.stored.Targets[i]
		serves := stays(t) && i != s.router.held && i != s.storedBook.held &&
			!slices.ContainsFunc(d.Progress.Router.Held, func(h routing.HeldBackend) bool { return h.Target == t.ID })
		if s.bySlot() {
			serves = serves && t.Slot == w.ActiveSlot
		} else if len(d.Spec.Strategy.Stages) > 0 && d.Direction == rollout.Forward && t.State == rollout.TargetUnchanged && t.Version == t.DesiredVersion {
			serves = false // it ran the new version, and was never verified
		} else if !s.inPlace() && t.State == rollout.TargetUpdated && w.NewWeight == 0 {
			serves = false // on the side that lost
		}
		if s.router.plain && b.Weight > 0 && b.Weight != s.router.base[i] && !s.inTheMiddle(w) {
			s.violate("%s was left with weight %d, and had %d: %+v", t.ID, b.Weight, s.router.base[i], *w)
		}
		if serves && b.Weight == 0 {
			s.violate("%s is %s, and was left without traffic: %+v", t.ID, t.State, *w)
		}
	}
	s.cover("router: settled, " + string(d.State))
}

// inTheMiddle reports whether both sides were left with a share.
func (s *sim) inTheMiddle(w *routing.TrafficSplit) bool {
	return s.stored.Deployment.Spec.Strategy.Type == "canary" && w.NewWeight > 0 && w.NewWeight < 100
}

// stays reports whether a target has not been given up.
func stays(t *rollout.Target) bool {
	return t.State != rollout.TargetFailed && t.State != rollout.TargetUnknown
}

func (s *sim) oldSlot() string {
	d := &s.stored.Deployment
	if d.Progress.ActiveSlot != "" {
		return d.Progress.ActiveSlot
	}
	return d.Spec.ActiveSlot
}

// backByRouter reports whether the old side was kept as it was, so that the router alone was the way back.
func (s *sim) backByRouter() bool {
	d := &s.stored.Deployment
	return d.Spec.Traffic != nil && s.bySlot() && !d.Progress.WaveSettledAt.IsZero() && d.Kind == rollout.KindDeploy
}

// checkOneWriteBack wants one write, and no call, to be the way back of a side that was kept.
func (s *sim) checkOneWriteBack() {
	d := &s.stored.Deployment
	if d.Direction != rollout.Backward || !s.backByRouter() {
		return
	}
	if slices.ContainsFunc(s.log, func(e rollout.Event) bool { return e.Type == rollout.EventTrafficDrifted }) {
		return // it was written again
	}
	writes, calls := map[string]bool{}, 0
	for i := range s.log {
		switch e := &s.log[i]; e.Type {
		case rollout.EventRollbackStarted:
			clear(writes)
			calls = 0
		case rollout.EventTrafficIntent:
			writes[e.Call.WebhookID] = true
		case rollout.EventTargetIntent:
			calls++
		}
	}
	if len(writes) > 1 || calls > 0 {
		s.violate("the way back to a side that was kept took %d writes and %d calls", len(writes), calls)
	}
	s.cover("router: back by one write")
}

// coverUndo notes what became of the rollback of a deployment by slots, and wants no other target to have been called than
// those that it takes back.
func (s *sim) coverUndo() {
	d := &s.stored.Deployment
	if d.Kind != rollout.KindRollback || !s.bySlot() || d.Spec.Traffic == nil || d.StartedAt.IsZero() {
		return
	}
	plan := "undo by slot: called"
	switch first := d.Spec.Waves[0]; {
	case first.CheckOnly:
		plan = "undo by slot: checked first"
	case first.Weight == 0:
		plan = "undo by slot: no switch"
	}
	if d.Progress.Weight == 100 {
		plan += ", switched"
	}
	s.cover(plan + ", " + string(d.State))
	for i := range s.stored.Targets {
		t := &s.stored.Targets[i]
		checked := t.Wave > 0 && d.Spec.Waves[t.Wave-1].CheckOnly
		if checked && (s.storedShadow[i].touched() || s.world[i].arrivals > 0) {
			s.violate("%s was only to be checked, and was called", t.ID)
		}
	}
}
