package strategy

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
)

var ends = map[rollout.State]string{
	rollout.StateCompleted:  rollout.EventCompleted,
	rollout.StateFailed:     rollout.EventFailed,
	rollout.StateAborted:    rollout.EventAborted,
	rollout.StateRolledBack: rollout.EventRolledBack,
}

// finish ends the deployment. Its result is added by Conclude, once the moves of this decision are made.
func (p *planner) finish(state rollout.State) {
	st := &p.out.Status
	if p.d.Kind == rollout.KindRollback && state == rollout.StateCompleted {
		state = rollout.StateRolledBack
	}
	st.State, st.FinishedAt = state, p.now
	st.DeadlineAt, st.NextActionAt = time.Time{}, time.Time{}
	st.Progress.HeldAt = time.Time{}
	st.Reason = p.endReason(state)
	p.event(ends[state], 0, st.Reason)
	p.out.Actions, p.out.Wake, p.out.Again = nil, time.Time{}, false
}

// Conclude is the result of a deployment that has ended, from its targets as they are now.
func Conclude(s *rollout.Snapshot) *rollout.Result {
	d := &s.Deployment
	counts := rollout.Count(s.Targets)
	r := &rollout.Result{
		Success: d.State == rollout.StateCompleted ||
			d.State == rollout.StateRolledBack && d.Kind == rollout.KindRollback,
		State:             d.State,
		TargetsUpdated:    counts.Updated,
		TargetsFailed:     counts.Failed,
		TargetsRolledBack: counts.RolledBack,
		Errors:            []rollout.TargetError{},
		Metadata:          map[string]any{},
	}
	if !d.StartedAt.IsZero() {
		r.DurationMS = float64(d.FinishedAt.Sub(d.StartedAt).Microseconds()) / float64(time.Millisecond/time.Microsecond)
	}
	for i := range s.Targets {
		if t := &s.Targets[i]; t.Error != "" {
			r.Errors = append(r.Errors, rollout.TargetError{Target: t.ID, Message: t.Error, At: t.ErrorAt})
		}
	}
	return r
}

// failureCause says why the deployment may not go on as it is; empty while it may.
func (p *planner) failureCause() string {
	if tolerated := p.spec.Strategy.MaxFailures; tolerated != nil && p.failures-p.d.Progress.Forgiven > *tolerated {
		return fmt.Sprintf("%s failed, %d tolerated; the last: %s", targets(p.failures), *tolerated, p.lastFailure())
	}
	if p.overdue() {
		return fmt.Sprintf("no target was verified within %s", p.spec.Strategy.ProgressDeadline)
	}
	return ""
}

func (p *planner) lastFailure() string {
	var last *rollout.Target
	for i := range p.s.Targets {
		t := &p.s.Targets[i]
		if t.Settled() && failedForward(t) && (last == nil || t.ErrorAt.After(last.ErrorAt)) {
			last = t
		}
	}
	return last.ID + ": " + last.Error
}
