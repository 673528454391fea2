package command

import (
	"fmt"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
	"rollcall/internal/strategy/planner"
)

// Kind is a command that an operator can give to a deployment that has not ended.
type Kind string

// The kinds of command. Rollback and retry of a deployment that has ended make a new one and are not among them.
const (
	Pause    Kind = "pause"
	Resume   Kind = "resume"
	Promote  Kind = "promote"
	Abort    Kind = "abort"
	Rollback Kind = "rollback"
)

// Command is a person's command with its arguments.
type Command struct {
	Kind  Kind
	Actor string
	// Reason is free text for the event.
	Reason string
	// Wave names the gate to promote past; 0 means the one that the deployment waits at. Full skips all gates and bakes.
	Wave      int
	SkipGates bool
	// SeenGate is the gate at which the deployment stood when the promote came in, 0 for none: it opens no other that is
	// reached while it waits for its turn. nil when it was not read.
	SeenGate *int
}

// Apply carries out a command on a deployment, in place, and returns the change as events. No events mean that there was
// nothing to change: the command was applied before, or the deployment is in that state already. A command that is not allowed
// in the deployment's state is a CodeConflict error that says why.
func Apply(d *rollout.Deployment, r Command, now time.Time) ([]rollout.Event, error) {
	commands := map[Kind]func(*rollout.Deployment, Command, time.Time) ([]rollout.Event, error){
		Pause: pause, Resume: resume, Promote: promote, Abort: abort, Rollback: rollBack,
	}
	apply, known := commands[r.Kind]
	switch {
	case !known:
		return nil, conflictError("unknown command %q", r.Kind)
	case d.State == rollout.StateAborted && r.Kind == Abort:
		return nil, nil
	case d.State.Terminal():
		return nil, conflictError("the deployment has ended: it is %s", d.State)
	case d.Operator.Abort && r.Kind != Abort && r.Kind != Pause:
		return nil, conflictError("the deployment is being aborted")
	}
	return apply(d, r, now)
}

func conflictError(format string, args ...any) error {
	return &problem.Error{Code: problem.CodeConflict, Message: fmt.Sprintf(format, args...)}
}

// pause shows at once: no call starts after the answer.
func pause(d *rollout.Deployment, r Command, now time.Time) ([]rollout.Event, error) {
	if d.Operator.Pause || d.Operator.Abort {
		return nil, nil
	}
	e := newEvent(rollout.EventPaused, d, r, now)
	d.Operator.Pause = true
	if d.Stop != rollout.StopPaused { // what has failed is the better reason
		d.Reason = lifecycle.ReasonPaused
	}
	d.State = rollout.StatePaused
	d.DeadlineAt, d.NextActionAt = time.Time{}, time.Time{}
	if d.Progress.PausedAt.IsZero() {
		d.Progress.PausedAt = now // from the answer on, and not only when a replica sees it
	}
	return withResultingState(e, d), nil
}

// resume forgives what has failed so far. A gate still waits for promote.
func resume(d *rollout.Deployment, r Command, now time.Time) ([]rollout.Event, error) {
	if !d.Operator.Pause && (d.Stop != rollout.StopPaused || d.Operator.Resumes > d.Progress.ResumesApplied) {
		return nil, nil
	}
	e := newEvent(rollout.EventResumed, d, r, now)
	d.Operator.Pause = false
	d.Operator.Resumes++
	markRunning(d, "resumed", now)
	return withResultingState(e, d), nil
}

// markRunning shows that a deployment is held no more, unless it stands at a gate that is closed: the planner follows at once.
func markRunning(d *rollout.Deployment, because string, now time.Time) {
	if d.Progress.Gate > 0 && !lifecycle.GateOpened(d, d.Progress.Gate) {
		return
	}
	if d.NeedsApproval() {
		d.Reason = lifecycle.ReasonUnapproved
		return
	}
	d.State = lifecycle.RunningState(d)
	if d.State == rollout.StatePending {
		d.Reason = "waiting to start"
		return
	}
	d.Reason, d.NextActionAt, d.DeadlineAt = because, now, planner.ResumedDeadline(d, now)
}

// abort ends a deployment as soon as its calls in flight have ended; see AbortBeforeStart for one that has not begun.
func abort(d *rollout.Deployment, r Command, now time.Time) ([]rollout.Event, error) {
	if d.Operator.Abort {
		return nil, nil
	}
	e := newEvent(rollout.EventAbortRequested, d, r, now)
	d.Operator.Abort, d.Operator.Actor, d.Operator.Reason = true, r.Actor, r.Reason
	d.Reason = "aborting: waiting for calls in flight"
	if !d.StartedAt.IsZero() {
		d.Progress.LastProgressAt = now // the router gets the whole deadline to take traffic back, however late it was before
	}
	return withResultingState(e, d), nil
}

// AbortBeforeStart ends a deployment at once that is to be aborted and has not started, in place, and returns the events. It has touched
// nothing and nothing is in flight; and as long as it waits behind another one, no replica would come to end it. For any
// other deployment nothing happens.
func AbortBeforeStart(d *rollout.Deployment, now time.Time) []rollout.Event {
	if !d.Operator.Abort || !d.StartedAt.IsZero() || d.State.Terminal() {
		return nil
	}
	e := rollout.Event{At: now, Type: rollout.EventAborted, Actor: d.Operator.Actor, From: string(d.State), Message: d.Operator.Reason}
	d.State, d.Reason = rollout.StateAborted, "aborted by an operator before it started"
	return withResultingState(e, d)
}

// rollBack reverses the deployment in place. One that is rolling back already continues when it was paused.
func rollBack(d *rollout.Deployment, r Command, now time.Time) ([]rollout.Event, error) {
	switch {
	case d.StartedAt.IsZero():
		return nil, conflictError("the deployment has not started, so there is nothing to roll back; abort it instead")
	case d.Direction == rollout.Backward && d.Operator.Pause:
		d.Operator.Rollback = true
		return resume(d, r, now)
	case d.Direction == rollout.Backward:
		return nil, nil
	}
	e := newEvent(rollout.EventRollbackStarted, d, r, now)
	d.Operator.Rollback, d.Operator.Pause = true, false
	lifecycle.BeginRollback(&d.Status, &d.Spec, "rollback requested", now)
	return withResultingState(e, d), nil
}

func newEvent(kind string, d *rollout.Deployment, r Command, now time.Time) rollout.Event {
	return rollout.Event{At: now, Type: kind, Actor: r.Actor, From: string(d.State), Message: r.Reason}
}

func withResultingState(e rollout.Event, d *rollout.Deployment) []rollout.Event {
	e.To = string(d.State)
	return []rollout.Event{e}
}
