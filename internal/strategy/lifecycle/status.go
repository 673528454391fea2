package lifecycle

import (
	"time"

	"rollcall/internal/rollout"
)

// ReasonPaused is the reason of a deployment that an operator has paused.
const ReasonPaused = "paused by an operator; resume to continue"

// ReasonUnapproved is what a protected deployment waits for before it begins.
const ReasonUnapproved = "awaiting approval by someone other than the requester"

// GateOpened reports whether an operator has opened the gate of a wave.
func GateOpened(d *rollout.Deployment, wave int) bool {
	return d.Operator.SkipGates || d.Operator.Promoted >= wave
}

// BeginRollback makes a deployment go back from now on, with a progress deadline of its own.
func BeginRollback(st *rollout.Status, spec *rollout.Spec, cause string, now time.Time) {
	st.Direction, st.State, st.Stop = rollout.Backward, rollout.StateRollingBack, rollout.StopNone
	st.Progress.LastProgressAt, st.Progress.PausedAt, st.Progress.FailureReason, st.Progress.Gate = now, time.Time{}, cause, 0
	st.DeadlineAt, st.NextActionAt = now.Add(spec.Strategy.ProgressDeadline.Std()), now
	st.Reason = "rolling back: " + cause
}

// RunningState returns the state of a deployment that nothing holds.
func RunningState(d *rollout.Deployment) rollout.State {
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
