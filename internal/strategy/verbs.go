package strategy

import (
	"cmp"
	"fmt"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// Verb is what an operator can ask of a deployment that has not ended.
type Verb string

// The verbs. Rollback and retry of a deployment that has ended make a new one and are not among them.
const (
	VerbPause    Verb = "pause"
	VerbResume   Verb = "resume"
	VerbPromote  Verb = "promote"
	VerbAbort    Verb = "abort"
	VerbRollback Verb = "rollback"
)

// Request is one verb with what was said along with it.
type Request struct {
	Verb  Verb
	Actor string
	// Why is free text for the event.
	Why string
	// Wave names the gate to promote past; 0 means the one that the deployment waits at. Full skips all gates and bakes.
	Wave int
	Full bool
	// Stood is the gate at which the deployment stood when the promote came in, 0 for none: it opens no other that is
	// reached while it waits for its turn. nil when nobody looked.
	Stood *int
}

// Ask changes a deployment as a verb asks for, in place, and tells the change as events. No events mean that there was
// nothing to change: the verb had been asked for before, or the deployment does so already. A verb that makes no sense
// in the deployment's state is a CodeConflict error that says why.
func Ask(d *rollout.Deployment, r Request, now time.Time) ([]rollout.Event, error) {
	verbs := map[Verb]func(*rollout.Deployment, Request, time.Time) ([]rollout.Event, error){
		VerbPause: pause, VerbResume: resume, VerbPromote: promote, VerbAbort: askAbort, VerbRollback: askRollback,
	}
	ask, known := verbs[r.Verb]
	switch {
	case !known:
		return nil, conflict("%q is not a verb", r.Verb)
	case d.State == rollout.StateAborted && r.Verb == VerbAbort:
		return nil, nil
	case d.State.Terminal():
		return nil, conflict("the deployment has ended: it is %s", d.State)
	case d.Operator.Abort && r.Verb != VerbAbort && r.Verb != VerbPause:
		return nil, conflict("the deployment is being aborted")
	}
	return ask(d, r, now)
}

func conflict(format string, args ...any) error {
	return &problem.Error{Code: problem.CodeConflict, Message: fmt.Sprintf(format, args...)}
}

// pause shows at once: no call starts after the answer.
func pause(d *rollout.Deployment, r Request, now time.Time) ([]rollout.Event, error) {
	if d.Operator.Pause || d.Operator.Abort {
		return nil, nil
	}
	e := asked(rollout.EventPaused, d, r, now)
	d.Operator.Pause = true
	if d.Stop != rollout.StopPaused { // what has failed is the better reason
		d.Reason = pausedReason
	}
	d.State = rollout.StatePaused
	d.DeadlineAt, d.NextActionAt = time.Time{}, time.Time{}
	if d.Progress.PausedAt.IsZero() {
		d.Progress.PausedAt = now // from the answer on, and not only when a replica sees it
	}
	return settleEvent(e, d), nil
}

// resume forgives what has failed so far. A gate still waits for promote.
func resume(d *rollout.Deployment, r Request, now time.Time) ([]rollout.Event, error) {
	if !d.Operator.Pause && (d.Stop != rollout.StopPaused || d.Operator.Resumes > d.Progress.ResumesApplied) {
		return nil, nil
	}
	e := asked(rollout.EventResumed, d, r, now)
	d.Operator.Pause = false
	d.Operator.Resumes++
	goOn(d, "resumed", now)
	return settleEvent(e, d), nil
}

// goOn shows that a deployment is held no more, unless it stands at a gate that is closed: the planner follows at once.
func goOn(d *rollout.Deployment, because string, now time.Time) {
	if d.Progress.Gate > 0 && !opened(d, d.Progress.Gate) {
		return
	}
	if d.Unapproved() {
		d.Reason = unapprovedReason
		return
	}
	d.State = runningState(d)
	if d.State == rollout.StatePending {
		d.Reason = "waiting to start"
		return
	}
	d.Reason, d.NextActionAt, d.DeadlineAt = because, now, goOnUntil(d, now)
}

// opened reports whether people have opened the gate of a wave.
func opened(d *rollout.Deployment, wave int) bool {
	return d.Operator.SkipGates || d.Operator.Promoted >= wave
}

// goOnUntil is the progress deadline of a deployment that is held no more.
func goOnUntil(d *rollout.Deployment, now time.Time) time.Time {
	p := newPlanner(&rollout.Snapshot{Deployment: *d}, now)
	progress := &p.out.Status.Progress
	switch {
	case d.Stop == rollout.StopPaused:
		progress.LastProgressAt = now
	case !progress.PausedAt.IsZero():
		progress.LastProgressAt = earlier(now, p.patienceFrom().Add(now.Sub(progress.PausedAt)))
	}
	progress.PausedAt = time.Time{}
	return p.deadline()
}

// promote opens the gate that the deployment waits at, once; asked again for the same gate it changes nothing.
func promote(d *rollout.Deployment, r Request, now time.Time) ([]rollout.Event, error) {
	if d.StartedAt.IsZero() && d.Spec.Protected {
		return approve(d, r, now)
	}
	if err := promotable(d); err != nil {
		return nil, err
	}
	r, err := meant(d, r)
	if err != nil || promoted(d, r) {
		return nil, err
	}
	if err := standsAt(d, r); err != nil {
		return nil, err
	}
	waiting := d.Progress.Gate
	e := asked(rollout.EventPromoted, d, r, now)
	e.Wave = waiting
	if r.Full {
		e.Message = cmp.Or(r.Why, "gates and bakes are skipped from now on")
	}
	d.Operator.SkipGates = d.Operator.SkipGates || r.Full
	d.Operator.Promoted = max(d.Operator.Promoted, waiting)
	if waiting > 0 && !d.Operator.Pause && d.Stop == rollout.StopNone { // else something more holds it
		goOn(d, "promoted", now)
	}
	return settleEvent(e, d), nil
}

// standsAt refuses a promote for another gate than the one that the deployment waits at.
func standsAt(d *rollout.Deployment, r Request) error {
	waiting := d.Progress.Gate
	switch {
	case r.Full || r.Wave == waiting:
		return nil
	case waiting == 0:
		return conflict("the deployment waits at no gate")
	default:
		return conflict("the deployment waits at the gate of wave %d, not of wave %d", waiting, r.Wave)
	}
}

// approve lets a protected deployment begin, once. The gates of its waves come later and are not opened by it.
func approve(d *rollout.Deployment, r Request, now time.Time) ([]rollout.Event, error) {
	if r.Full || r.Wave > 0 {
		return nil, conflict("the deployment has not begun: promote it without wave and full to let it begin")
	}
	if !d.Unapproved() {
		return nil, nil
	}
	e := asked(rollout.EventPromoted, d, r, now)
	e.Message = cmp.Or(r.Why, "approved: it may begin")
	d.Operator.ApprovedBy = r.Actor
	if d.State == rollout.StatePaused && !d.Operator.Pause {
		goOn(d, "approved", now)
	}
	return settleEvent(e, d), nil
}

// meant names the gate that a promote is for, which may have been left to what the deployment stands at.
func meant(d *rollout.Deployment, r Request) (Request, error) {
	switch {
	case r.Full || r.Wave > 0:
		return r, nil
	case r.Stood != nil:
		r.Wave = *r.Stood
	default:
		r.Wave = d.Progress.Gate
	}
	if r.Wave == 0 {
		return r, conflict("the deployment waits at no gate")
	}
	return r, nil
}

func promotable(d *rollout.Deployment) error {
	switch {
	case d.StartedAt.IsZero():
		return conflict("the deployment has not begun: there is nothing to promote")
	case d.Direction == rollout.Backward:
		return conflict("the deployment is rolling back: there is nothing to promote")
	default:
		return nil
	}
}

// promoted reports whether what is asked for has been asked for before.
func promoted(d *rollout.Deployment, r Request) bool {
	if r.Full {
		return d.Operator.SkipGates
	}
	return r.Wave <= d.Operator.Promoted && d.Spec.Waves[r.Wave-1].Gate != rollout.GateNone
}

// askAbort ends a deployment as soon as its calls in flight have ended; see CallOff for one that has not begun.
func askAbort(d *rollout.Deployment, r Request, now time.Time) ([]rollout.Event, error) {
	if d.Operator.Abort {
		return nil, nil
	}
	e := asked(rollout.EventAbortRequested, d, r, now)
	d.Operator.Abort, d.Operator.Actor, d.Operator.Reason = true, r.Actor, r.Why
	d.Reason = "aborting: waiting for calls in flight"
	if !d.StartedAt.IsZero() {
		d.Progress.LastProgressAt = now // the router gets the whole deadline to take traffic back, however late it was before
	}
	return settleEvent(e, d), nil
}

// CallOff ends a deployment at once that is to be aborted and has not begun, in place, and tells so. It has touched
// nothing and nothing is in flight; and as long as it waits behind another one, no replica would come to end it. For any
// other deployment nothing happens.
func CallOff(d *rollout.Deployment, now time.Time) []rollout.Event {
	if !d.Operator.Abort || !d.StartedAt.IsZero() || d.State.Terminal() {
		return nil
	}
	e := rollout.Event{At: now, Type: rollout.EventAborted, Actor: d.Operator.Actor, From: string(d.State), Message: d.Operator.Reason}
	d.State, d.Reason = rollout.StateAborted, "aborted by an operator before it began"
	return settleEvent(e, d)
}

// askRollback turns the deployment round where it is. One that goes back already goes on with it when it was paused.
func askRollback(d *rollout.Deployment, r Request, now time.Time) ([]rollout.Event, error) {
	switch {
	case d.StartedAt.IsZero():
		return nil, conflict("the deployment has not begun: nothing was touched, so there is nothing to roll back; abort it instead")
	case d.Direction == rollout.Backward && d.Operator.Pause:
		d.Operator.Rollback = true
		return resume(d, r, now)
	case d.Direction == rollout.Backward:
		return nil, nil
	}
	e := asked(rollout.EventRollbackStarted, d, r, now)
	d.Operator.Rollback, d.Operator.Pause = true, false
	turnRound(&d.Status, &d.Spec, "a rollback was asked for", now)
	return settleEvent(e, d), nil
}

// turnRound makes a deployment go back from now on, with a progress deadline of its own.
func turnRound(st *rollout.Status, spec *rollout.Spec, cause string, now time.Time) {
	st.Direction, st.State, st.Stop = rollout.Backward, rollout.StateRollingBack, rollout.StopNone
	st.Progress.LastProgressAt, st.Progress.PausedAt, st.Progress.FailureReason, st.Progress.Gate = now, time.Time{}, cause, 0
	st.DeadlineAt, st.NextActionAt = now.Add(spec.Strategy.ProgressDeadline.Std()), now
	st.Reason = "rolling back: " + cause
}

// runningState is the state of a deployment that nothing holds.
func runningState(d *rollout.Deployment) rollout.State {
	switch {
	case d.StartedAt.IsZero():
		return rollout.StatePending
	case d.Direction == rollout.Backward:
		return rollout.StateRollingBack
	case d.Operator.Abort:
		return d.State // kept until calls in flight have ended
	default:
		return rollout.StateInProgress
	}
}

func asked(kind string, d *rollout.Deployment, r Request, now time.Time) rollout.Event {
	return rollout.Event{At: now, Type: kind, Actor: r.Actor, From: string(d.State), Message: r.Why}
}

func settleEvent(e rollout.Event, d *rollout.Deployment) []rollout.Event {
	e.To = string(d.State)
	return []rollout.Event{e}
}
