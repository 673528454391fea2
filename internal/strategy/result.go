package strategy

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
)

// finish ends the deployment. Its result is added by Conclude, once the moves of this decision are made.
func (p *planner) finish(state rollout.State) {
	st := &p.out.Status
	if p.d.Kind == rollout.KindRollback && state == rollout.StateCompleted {
		state = p.restored()
	}
	st.State, st.FinishedAt = state, p.now
	st.DeadlineAt, st.NextActionAt = time.Time{}, time.Time{}
	st.Progress.PausedAt = time.Time{}
	st.Reason = p.endReason(state)
	p.event(state.EventType(), 0, st.Reason)
	if state == rollout.StateAborted && p.d.Operator.Actor != "" {
		p.out.Events[len(p.out.Events)-1].Actor = p.d.Operator.Actor
	}
	p.out.Actions, p.out.WakeAt, p.out.Replan = nil, time.Time{}, false
}

// restored is how a rollback of a finished deployment ends: well only if every target is back. A failure that is tolerated
// keeps the others going, and stays a failure.
func (p *planner) restored() rollout.State {
	if p.failures == 0 {
		return rollout.StateRolledBack
	}
	p.out.Status.Progress.FailureReason = fmt.Sprintf("%s did not get their previous version back; the last: %s", quantity(p.failures, "target"), p.lastFailure())
	return rollout.StateFailed
}

// Conclude is the result of a deployment that has ended, from its targets as they are now.
func Conclude(s *rollout.Snapshot) *rollout.Result {
	d := &s.Deployment
	counts := rollout.Count(s.Targets)
	r := &rollout.Result{
		Success:           succeeded(d),
		State:             d.State,
		TargetsUpdated:    counts.Updated,
		TargetsFailed:     counts.Failed,
		TargetsRolledBack: counts.RolledBack,
		Errors:            []rollout.TargetError{},
		Metadata:          metadata(d),
	}
	if !d.StartedAt.IsZero() {
		r.DurationMS = float64(d.FinishedAt.Sub(d.StartedAt).Microseconds()) / float64(time.Millisecond/time.Microsecond)
	}
	for i := range s.Targets {
		if t := &s.Targets[i]; t.Error != "" {
			r.Errors = append(r.Errors, rollout.TargetError{Target: t.ID, Message: t.Error, At: t.ErrorAt})
		}
	}
	if route := d.Progress.Router; route != nil && route.Error != "" && !succeeded(d) {
		r.Errors = append(r.Errors, rollout.TargetError{Message: "the router did not move traffic: " + route.Error, At: d.FinishedAt})
	}
	return r
}

func succeeded(d *rollout.Deployment) bool {
	return d.State == rollout.StateCompleted || d.State == rollout.StateRolledBack && d.Kind == rollout.KindRollback
}

// metadata is what a result tells beside its counts: at which stage a canary stopped that did not succeed, and which
// slot serves: the new one once traffic was switched, unless it was taken back.
func metadata(d *rollout.Deployment) map[string]any {
	m := map[string]any{"stopped_at_stage": nil, "active_slot": nil}
	if len(d.Spec.Strategy.Stages) > 0 && !succeeded(d) && d.Progress.Wave > 0 {
		m["stopped_at_stage"] = d.Progress.Wave
	}
	if slot := serving(d); slot != "" {
		m["active_slot"] = slot
	}
	return m
}

// serving is the slot that serves since the deployment has ended; empty without slots.
func serving(d *rollout.Deployment) string {
	active, idle := slots(d)
	if active != "" && idle != "" && switched(d) {
		return idle
	}
	return active
}

// switched reports whether traffic went over to the new side and was not taken back: a router has confirmed that.
func switched(d *rollout.Deployment) bool {
	if d.Spec.Traffic != nil {
		return d.Progress.Weight == percentBase
	}
	kept := d.Direction == rollout.Forward && d.State != rollout.StateAborted
	return d.State == rollout.StateCompleted || kept && d.Progress.Weight == percentBase
}

// failureCause says why the deployment may not go on as it is; empty while it may.
func (p *planner) failureCause() string {
	if p.kind.exceeded != nil { // else a newer server has made it
		if cause := p.kind.exceeded(&p.spec.Strategy, p.failureCounts()); cause != "" {
			return cause
		}
	}
	if cause := p.routerCause(); cause != "" {
		return cause
	}
	if p.overdue() {
		return p.overdueCause()
	}
	return ""
}

// overdueCause says what there was no progress for: a router that does not do what it was told holds everything up.
func (p *planner) overdueCause() string {
	patience := p.spec.Strategy.ProgressDeadline
	if r := p.d.Progress.Router; r != nil && r.Sent != nil && !r.Applied.Equal(&r.Sent.Setting) {
		return fmt.Sprintf("traffic was not moved within %s%s", patience, p.routerError())
	}
	return fmt.Sprintf("no target was verified within %s", patience)
}

// failureCounts returns what the failure limit of the strategy is applied to.
func (p *planner) failureCounts() failures {
	f := failures{failed: p.failures, forgiven: p.d.Progress.Forgiven, last: p.lastFailure()}
	for _, w := range p.spec.Waves[:p.d.Progress.Wave] {
		f.reached += w.Size
	}
	return f
}

// lastFailure returns the latest failure on the way forward, or "" when there is none.
func (p *planner) lastFailure() string {
	var last *rollout.Target
	for i := range p.s.Targets {
		t := &p.s.Targets[i]
		if t.Done() && p.failedForward(t) && (last == nil || t.ErrorAt.After(last.ErrorAt)) {
			last = t
		}
	}
	if last == nil {
		return ""
	}
	return last.ID + ": " + last.Error
}
