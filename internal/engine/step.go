package engine

import (
	"errors"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
	"rollcall/internal/strategy/planner"
)

// Reasons for a session to end that are no faults.
var (
	errReleased = errors.New("released")
	errEnded    = errors.New("the deployment has ended")
	errDropped  = errors.New("dropped")
)

// maxDecisions bounds how many decisions follow each other without anything happening between them.
const maxDecisions = 100

// draft is one decision on its way into the database: what to do once it has landed, and how to take it back in memory
// when it is refused.
type draft struct {
	actions []rollout.Action
	cut     bool
	wake    time.Time
	room    int  // deploy calls that room was taken for
	starved bool // there was no room for all of them

	deployment rollout.Deployment
	undo       map[int]rollout.Target
	events     int // how many events there were before
}

// step applies what came in, decides, saves, and starts what was decided. It answers when to look again.
func (s *session) step(outcomes []rollout.Outcome, asked int64) (time.Time, error) {
	now := s.engine.now()
	if !s.adopted {
		s.adopt(now)
	}
	for _, o := range outcomes {
		s.apply(o, now)
	}
	if s.engine.draining.Load() {
		return s.handOver(now)
	}
	if asked != s.snap.Deployment.OperatorRevision {
		if err := s.reload(); err != nil {
			return time.Time{}, err
		}
		s.hasRead(asked)
	}
	for {
		wake, err := s.decide()
		if problem.CodeOf(err) != problem.CodeStale {
			return wake, err
		}
		if err := s.reload(); err != nil {
			return time.Time{}, err
		}
		s.hasRead(asked)
	}
}

func (s *session) adopt(now time.Time) {
	s.adopted = true
	if s.orphaned {
		lifecycle.CompensateDowntime(s.snap, now)
	}
	s.note(lifecycle.TakeOver(s.snap, now))
	for i := range s.snap.Targets {
		t := &s.snap.Targets[i]
		s.mark(i, t.Phase == rollout.PhaseInDoubt || t.Phase == rollout.PhaseNew && s.snap.Deployment.Spec.IdleSlot != "")
	}
}

// decide takes one decision as far as it goes.
func (s *session) decide() (wake time.Time, err error) {
	dr := s.plan(s.engine.now())
	if !s.changed() {
		s.oldest = time.Time{} // what waited was overtaken: the row says the same by now
	}
	if s.deferrable(dr) {
		s.deferSave()
		s.start(dr)
		return dr.wake, nil
	}
	release := s.releasable(dr)
	if s.changed() || release {
		if err := s.save(dr, release); err != nil {
			return time.Time{}, err
		}
	}
	if s.snap.Deployment.State.Terminal() {
		s.ended()
		return time.Time{}, errEnded
	}
	if release {
		return time.Time{}, errReleased
	}
	s.start(dr)
	return dr.wake, nil
}

// plan decides, again while a decision asks for it, and writes the decisions down in memory.
func (s *session) plan(now time.Time) *draft {
	dr := &draft{deployment: s.snap.Deployment, undo: map[int]rollout.Target{}, events: len(s.events)}
	for range maxDecisions {
		dec := planner.Plan(s.snap, now)
		s.record(dr, dec, now)
		if !dec.Replan {
			break
		}
	}
	return dr
}

// record writes one decision down in memory.
func (s *session) record(dr *draft, dec rollout.Decision, now time.Time) {
	d := &s.snap.Deployment
	d.Status = dec.Status
	for _, m := range dec.Transitions {
		s.keep(dr, m.Target)
		s.note(lifecycle.ApplyTransition(s.snap, m, now))
		s.mark(m.Target, true)
	}
	s.note(dec.Events) // an end is told last
	for _, a := range dec.Actions {
		if a.Kind == rollout.ActionSetWeights || a.Kind == rollout.ActionReadWeights {
			complete, events := lifecycle.StartRouterAction(d, a, now)
			s.note(events)
			dr.actions = append(dr.actions, complete)
			continue
		}
		if a.Kind == rollout.ActionCall {
			if !s.takeRoom() {
				dr.starved = true // the target waits for its turn, as if it had not been decided
				continue
			}
			dr.room++
		}
		s.keep(dr, a.Target)
		t, complete, events := lifecycle.StartTargetAction(d, s.snap.Targets[a.Target], a, now)
		s.snap.Targets[a.Target] = t
		s.note(events)
		s.mark(a.Target, a.Kind == rollout.ActionCall)
		dr.actions = append(dr.actions, complete)
	}
	if d.State.Terminal() {
		d.Result = lifecycle.NewResult(s.snap)
	}
	dr.cut = dr.cut || dec.CancelCalls
	dr.wake = dec.WakeAt
	if dr.starved && !dec.WakeAt.IsZero() {
		dr.wake = earliest(dec.WakeAt, now.Add(roomAgain))
	}
}

func (s *session) keep(dr *draft, i int) {
	if _, kept := dr.undo[i]; !kept {
		dr.undo[i] = s.snap.Targets[i].Clone()
	}
}

// takeBack undoes a draft that was not stored and has started nothing.
func (s *session) takeBack(dr *draft) {
	s.giveRoom(dr.room)
	dr.room = 0
	s.snap.Deployment = dr.deployment
	for i, t := range dr.undo {
		s.snap.Targets[i] = t
	}
	s.events = s.events[:dr.events]
}

// deferrable reports whether a draft may be saved a little later: it starts no call and tells nothing new about the
// deployment itself, and what it has to tell about targets may soon be saved with more.
func (s *session) deferrable(dr *draft) bool {
	d := &s.snap.Deployment
	if d.State.Terminal() || len(s.events) > dr.events || d.State != dr.deployment.State {
		return false
	}
	for _, a := range dr.actions {
		if a.Kind == rollout.ActionCall || a.Kind == rollout.ActionSetWeights {
			return false
		}
	}
	return s.inFlight() && (s.oldest.IsZero() || s.engine.now().Before(s.oldest.Add(deferFor)))
}

// inFlight reports whether an answer is being waited for.
func (s *session) inFlight() bool {
	if r := s.snap.Deployment.Progress.Router; s.calls > 0 || r != nil && r.Reading {
		return true
	}
	for i := range s.snap.Targets {
		for c := range s.snap.Targets[i].Checks {
			if s.snap.Targets[i].Checks[c].Probing {
				return true
			}
		}
	}
	return false
}

func (s *session) deferSave() {
	if s.oldest.IsZero() && s.changed() {
		s.oldest = s.engine.now()
	}
}

// changed reports whether memory differs from what is stored in anything that people see.
func (s *session) changed() bool {
	return len(s.events) > 0 || len(s.dirty) > 0 || !sameStatus(s.snap.Deployment.Status, s.stored)
}

// sameStatus compares what is stored of two statuses.
func sameStatus(a, b rollout.Status) bool {
	same := a.Progress.Router.Same(b.Progress.Router)
	a.Progress.Router, b.Progress.Router = nil, nil
	return same && a == b
}

// releasable reports whether the deployment can be given up until it is due: nothing is out and nothing is near.
func (s *session) releasable(dr *draft) bool {
	return len(dr.actions) == 0 && !s.snap.Deployment.State.Terminal() && !s.inFlight() &&
		dr.wake.Sub(s.engine.now()) > holdFor
}

// handOver saves what is known and releases the deployment as soon as no call is in flight.
func (s *session) handOver(now time.Time) (time.Time, error) {
	s.stopping = true
	if s.calls > 0 {
		return now.Add(time.Minute), nil
	}
	for i := range s.touched {
		s.dirty[i] = struct{}{}
	}
	dr := &draft{deployment: s.snap.Deployment, events: len(s.events), wake: now}
	err := s.save(dr, true)
	for problem.CodeOf(err) == problem.CodeStale {
		if err = s.reload(); err != nil {
			return time.Time{}, err
		}
		dr.deployment = s.snap.Deployment
		err = s.save(dr, true)
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.Time{}, errReleased
}

func (s *session) ended() {
	d := &s.snap.Deployment
	s.engine.Recorder.DeploymentEnded(d.Spec.Strategy.Type, d.State, time.Duration(d.Result.DurationMS*float64(time.Millisecond)))
	s.log.InfoContext(s.ctx, "the deployment has ended", "state", string(d.State), "reason", d.Reason)
}

// logStored logs what has been stored since the last time, once the calls that depended on it are on their way.
func (s *session) logStored() {
	for i := range s.unlogged {
		e := &s.unlogged[i]
		s.log.InfoContext(s.ctx, "event", "type", e.Type, "target", e.Target, "wave", e.Wave, "from", e.From, "to", e.To, "message", e.Message)
	}
	s.unlogged = nil
}
