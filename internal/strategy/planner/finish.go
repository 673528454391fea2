package planner

import (
	"cmp"
	"fmt"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
)

// finalTransition returns the outcome of a target that nothing more is done for.
func finalTransition(i int, t *rollout.Target, why string) rollout.Transition {
	m := rollout.Transition{
		Target: i, Phase: rollout.PhaseSettled, State: rollout.TargetUnknown, Message: cmp.Or(why, "the result of its last call is unknown"),
	}
	switch {
	case !t.Touched() && t.Error == "":
		m.State, m.Message = rollout.TargetUnchanged, ""
	case t.Phase == rollout.PhaseReady && t.State != rollout.TargetUnknown:
		m.State, m.Message = rollout.TargetFailed, t.Error // its last attempt was answered: it failed
	case t.State == rollout.TargetUnknown && t.Error != "":
		m.Message = t.Error
	}
	return m
}

// finish ends the deployment. Its result is added by lifecycle.NewResult, once the transitions of this decision are made.
func (p *planner) finish(state rollout.State) {
	st := &p.out.Status
	if p.d.Kind == rollout.KindRollback && state == rollout.StateCompleted {
		state = p.restoredOutcome()
	}
	st.State, st.FinishedAt = state, p.now
	st.DeadlineAt, st.NextActionAt = time.Time{}, time.Time{}
	st.Progress.PausedAt = time.Time{}
	st.Reason = endReason(p.view, state)
	p.addEvent(state.EventType(), 0, st.Reason)
	if state == rollout.StateAborted && p.d.Operator.Actor != "" {
		p.out.Events[len(p.out.Events)-1].Actor = p.d.Operator.Actor
	}
	p.out.Actions, p.out.Replan = nil, false
	p.sched = schedule{}
}

// restoredOutcome returns how a rollback of a finished deployment ends: well only if every target is back. A failure that is tolerated
// keeps the others going, and stays a failure.
func (p *planner) restoredOutcome() rollout.State {
	if p.failures == 0 {
		return rollout.StateRolledBack
	}
	p.out.Status.Progress.FailureReason = fmt.Sprintf("%s could not be restored to the previous version; the last: %s", strategy.FormatQuantity(p.failures, "target"), lastFailure(p.view))
	return rollout.StateFailed
}
