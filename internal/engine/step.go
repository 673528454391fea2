package engine

import (
	"errors"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
	"rollcall/internal/strategy/planner"
)

// Normal reasons for a session to end.
var (
	errReleased = errors.New("released")
	errEnded    = errors.New("the deployment has ended")
	errDropped  = errors.New("dropped")
)

// maxDecisions limits how many decisions follow each other in one step.
const maxDecisions = 100

// pendingStep is a decision that is not stored yet: the actions to start once it is, and how to revert it if it is rejected.
type pendingStep struct {
	actions     []rollout.Action
	cancelCalls bool
	wake        time.Time
	reserved    int  // reserved call slots
	noSlot      bool // there were not enough call slots

	deployment rollout.Deployment
	undo       map[int]rollout.Target
	events     int // how many events there were before
}

// step applies outcomes, decides, saves, and starts the actions. It returns when to step again.
func (s *session) step(outcomes []rollout.Outcome, asked int64) (time.Time, error) {
	now := s.engine.now()
	if !s.recovered {
		s.applyTakeover(now)
	}
	for _, o := range outcomes {
		s.applyOutcome(o, now)
	}
	if s.engine.draining.Load() {
		return s.handOver(now)
	}
	if asked != s.snap.Deployment.OperatorRevision {
		if err := s.reloadDeployment(); err != nil {
			return time.Time{}, err
		}
		s.ackRevision(asked)
	}
	for {
		wake, err := s.planAndSave()
		if problem.CodeOf(err) != problem.CodeStale {
			return wake, err
		}
		if err := s.reloadDeployment(); err != nil {
			return time.Time{}, err
		}
		s.ackRevision(asked)
	}
}

func (s *session) applyTakeover(now time.Time) {
	s.recovered = true
	if s.ownerless {
		lifecycle.CompensateDowntime(s.snap, now)
	}
	s.recordEvents(lifecycle.TakeOver(s.snap, now))
	for i := range s.snap.Targets {
		t := &s.snap.Targets[i]
		s.markDirty(i, t.Phase == rollout.PhaseInDoubt || t.Phase == rollout.PhaseNew && s.snap.Deployment.Spec.IdleSlot != "")
	}
}

// planAndSave plans, saves, and starts the actions.
func (s *session) planAndSave() (wake time.Time, err error) {
	dr := s.planStep(s.engine.now())
	if !s.hasChanges() {
		s.oldest = time.Time{} // the waiting results were superseded; the row is up to date
	}
	if s.canDefer(dr) {
		s.deferSave()
		s.startActions(dr)
		return dr.wake, nil
	}
	release := s.canRelease(dr)
	if s.hasChanges() || release {
		if err := s.saveChanges(dr, release); err != nil {
			return time.Time{}, err
		}
	}
	if s.snap.Deployment.State.Terminal() {
		s.reportEnd()
		return time.Time{}, errEnded
	}
	if release {
		return time.Time{}, errReleased
	}
	s.startActions(dr)
	return dr.wake, nil
}

// planStep decides, repeatedly if a decision requests it, and records the decisions in memory.
func (s *session) planStep(now time.Time) *pendingStep {
	dr := &pendingStep{deployment: s.snap.Deployment, undo: map[int]rollout.Target{}, events: len(s.events)}
	for range maxDecisions {
		dec := planner.Plan(s.snap, now)
		s.recordDecision(dr, dec, now)
		if !dec.Replan {
			break
		}
	}
	return dr
}

// recordDecision records a decision in memory.
func (s *session) recordDecision(dr *pendingStep, dec rollout.Decision, now time.Time) {
	d := &s.snap.Deployment
	d.Status = dec.Status
	for _, m := range dec.Transitions {
		s.saveUndo(dr, m.Target)
		s.recordEvents(lifecycle.ApplyTransition(s.snap, m, now))
		s.markDirty(m.Target, true)
	}
	s.recordEvents(dec.Events) // a deployment's end comes last
	for _, a := range dec.Actions {
		if a.Kind == rollout.ActionSetWeights || a.Kind == rollout.ActionReadWeights {
			complete, events := lifecycle.StartRouterAction(d, a, now)
			s.recordEvents(events)
			dr.actions = append(dr.actions, complete)
			continue
		}
		if a.Kind == rollout.ActionCall {
			if !s.reserveCall() {
				dr.noSlot = true // the target waits for a free slot
				continue
			}
			dr.reserved++
		}
		s.saveUndo(dr, a.Target)
		t, complete, events := lifecycle.StartTargetAction(d, s.snap.Targets[a.Target], a, now)
		s.snap.Targets[a.Target] = t
		s.recordEvents(events)
		s.markDirty(a.Target, a.Kind == rollout.ActionCall)
		dr.actions = append(dr.actions, complete)
	}
	if d.State.Terminal() {
		d.Result = lifecycle.NewResult(s.snap)
	}
	dr.cancelCalls = dr.cancelCalls || dec.CancelCalls
	dr.wake = dec.WakeAt
	if dr.noSlot && !dec.WakeAt.IsZero() {
		dr.wake = earlierTime(dec.WakeAt, now.Add(slotRecheck))
	}
}

func (s *session) saveUndo(dr *pendingStep, i int) {
	if _, kept := dr.undo[i]; !kept {
		dr.undo[i] = s.snap.Targets[i].Clone()
	}
}

// revertStep undoes a step that was not stored and has started nothing.
func (s *session) revertStep(dr *pendingStep) {
	s.releaseCalls(dr.reserved)
	dr.reserved = 0
	s.snap.Deployment = dr.deployment
	for i, t := range dr.undo {
		s.snap.Targets[i] = t
	}
	s.events = s.events[:dr.events]
}

// canDefer reports whether a step may be saved a little later: it starts no call and does not change the deployment's
// state, and its results may soon be saved with others.
func (s *session) canDefer(dr *pendingStep) bool {
	d := &s.snap.Deployment
	if d.State.Terminal() || len(s.events) > dr.events || d.State != dr.deployment.State {
		return false
	}
	for _, a := range dr.actions {
		if a.Kind == rollout.ActionCall || a.Kind == rollout.ActionSetWeights {
			return false
		}
	}
	return s.inFlight() && (s.oldest.IsZero() || s.engine.now().Before(s.oldest.Add(coalesceWindow)))
}

// inFlight reports whether the session waits for an outcome.
func (s *session) inFlight() bool { return s.countInFlight() > 0 }

// countInFlight counts the outcomes that have not been applied yet.
func (s *session) countInFlight() int {
	n := s.calls
	if r := s.snap.Deployment.Progress.Router; r != nil && r.Reading {
		n++
	}
	for i := range s.snap.Targets {
		for c := range s.snap.Targets[i].Checks {
			if s.snap.Targets[i].Checks[c].Probing {
				n++
			}
		}
	}
	return n
}

func (s *session) deferSave() {
	if s.oldest.IsZero() && s.hasChanges() {
		s.oldest = s.engine.now()
	}
}

// hasChanges reports whether there are unsaved visible changes.
func (s *session) hasChanges() bool {
	return len(s.events) > 0 || len(s.dirty) > 0 || !sameStatus(s.snap.Deployment.Status, s.stored)
}

// sameStatus compares the stored parts of two statuses.
func sameStatus(a, b rollout.Status) bool {
	same := a.Progress.Router.Same(b.Progress.Router)
	a.Progress.Router, b.Progress.Router = nil, nil
	return same && a == b
}

// canRelease reports whether the deployment can be released until it is due: nothing is in flight and nothing due soon.
func (s *session) canRelease(dr *pendingStep) bool {
	return len(dr.actions) == 0 && !s.snap.Deployment.State.Terminal() && !s.inFlight() &&
		dr.wake.Sub(s.engine.now()) > keepThreshold
}

// handOver saves all changes and releases the deployment as soon as no call is in flight.
func (s *session) handOver(now time.Time) (time.Time, error) {
	s.stopping = true
	if s.calls > 0 {
		return now.Add(time.Minute), nil
	}
	for i := range s.touched {
		s.dirty[i] = struct{}{}
	}
	dr := &pendingStep{deployment: s.snap.Deployment, events: len(s.events), wake: now}
	err := s.saveChanges(dr, true)
	for problem.CodeOf(err) == problem.CodeStale {
		if err = s.reloadDeployment(); err != nil {
			return time.Time{}, err
		}
		dr.deployment = s.snap.Deployment
		err = s.saveChanges(dr, true)
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.Time{}, errReleased
}

func (s *session) reportEnd() {
	d := &s.snap.Deployment
	s.engine.Recorder.DeploymentEnded(d.Spec.Strategy.Type, d.State, time.Duration(d.Result.DurationMS*float64(time.Millisecond)))
	s.log.InfoContext(s.ctx, "deployment ended", "state", string(d.State), "reason", d.Reason)
}

// logStored logs the events stored since the last time, after the calls that depended on them have started.
func (s *session) logStored() {
	for i := range s.unlogged {
		e := &s.unlogged[i]
		s.log.InfoContext(s.ctx, "event", "type", e.Type, "target", e.Target, "wave", e.Wave, "from", e.From, "to", e.To, "message", e.Message)
	}
	s.unlogged = nil
}
