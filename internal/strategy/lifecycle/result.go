package lifecycle

import (
	"time"

	"rollcall/internal/rollout"
)

// NewResult returns the result of a deployment that has ended, from its targets as they are now.
func NewResult(s *rollout.Snapshot) *rollout.Result {
	d := &s.Deployment
	counts := rollout.CountStates(s.Targets)
	r := &rollout.Result{
		Success:           isSuccess(d),
		State:             d.State,
		TargetsUpdated:    counts.Updated,
		TargetsFailed:     counts.Failed,
		TargetsRolledBack: counts.RolledBack,
		Errors:            []rollout.TargetError{},
		Metadata:          resultMetadata(d),
	}
	if !d.StartedAt.IsZero() {
		r.DurationMS = float64(d.FinishedAt.Sub(d.StartedAt).Microseconds()) / float64(time.Millisecond/time.Microsecond)
	}
	for i := range s.Targets {
		if t := &s.Targets[i]; t.Error != "" {
			r.Errors = append(r.Errors, rollout.TargetError{Target: t.ID, Message: t.Error, At: t.ErrorAt})
		}
	}
	if route := d.Progress.Router; route != nil && route.Error != "" && !isSuccess(d) {
		r.Errors = append(r.Errors, rollout.TargetError{Message: "the router did not move traffic: " + route.Error, At: d.FinishedAt})
	}
	return r
}

func isSuccess(d *rollout.Deployment) bool {
	return d.State == rollout.StateCompleted || d.State == rollout.StateRolledBack && d.Kind == rollout.KindRollback
}

// resultMetadata returns what a result holds beside its counts: at which stage a canary stopped that did not succeed, and which
// slot serves: the new one once traffic was switched, unless it was taken back.
func resultMetadata(d *rollout.Deployment) map[string]any {
	m := map[string]any{"stopped_at_stage": nil, "active_slot": nil}
	if len(d.Spec.Strategy.Stages) > 0 && !isSuccess(d) && d.Progress.Wave > 0 {
		m["stopped_at_stage"] = d.Progress.Wave
	}
	if slot := ServingSlot(d); slot != "" {
		m["active_slot"] = slot
	}
	return m
}
