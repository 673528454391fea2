package planner

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
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
	p.out.Status.Progress.FailureReason = fmt.Sprintf("%s did not get their previous version back; the last: %s", strategy.Quantity(p.failures, "target"), p.lastFailure())
	return rollout.StateFailed
}

// failureCause says why the deployment may not go on as it is; empty while it may.
func (p *planner) failureCause() string {
	if p.kind.FailureLimit != nil { // else a newer server has made it
		if cause := p.kind.FailureLimit(&p.spec.Strategy, p.failureCounts()); cause != "" {
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
func (p *planner) failureCounts() strategy.Failures {
	f := strategy.Failures{Failed: p.failures, Forgiven: p.d.Progress.Forgiven, Last: p.lastFailure()}
	for _, w := range p.spec.Waves[:p.d.Progress.Wave] {
		f.Reached += w.Size
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
