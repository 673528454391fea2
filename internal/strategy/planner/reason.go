package planner

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/lifecycle"
)

func pauseEvent(v *view) string {
	if v.d.NeedsApproval() {
		return rollout.EventGateWaiting
	}
	return rollout.EventPaused
}

// currentReason returns what the deployment does, or what it waits for and until when.
func currentReason(v *view, waiting string) string {
	st := v.st
	switch {
	case v.d.Operator.Abort && v.calling == 0:
		return "aborting" + waiting
	case v.d.Operator.Abort:
		return fmt.Sprintf("aborting: waiting for %s in flight", strategy.FormatQuantity(v.calling, "call")) + waiting
	case v.isPaused():
		return pauseReason(v)
	case st.Direction == rollout.Backward:
		return rollbackReason(v, waiting)
	case st.Stop == rollout.StopHalted:
		return "halted: " + st.Progress.FailureReason
	case st.Progress.Wave == 0:
		return "waiting to start"
	default:
		return waveReason(v, waiting)
	}
}

func pauseReason(v *view) string {
	if v.d.Stop == rollout.StopPaused {
		return fmt.Sprintf("paused: %s; resume to continue, or roll back", v.st.Progress.FailureReason) + routerErrorNote(v)
	}
	if gate := v.d.Progress.Gate; gate > 0 && !v.d.Operator.Pause {
		return waveName(v, gate) + " verified; waiting for promotion" + gatedStep(v, gate) +
			toleratedNote(v) + routerErrorNote(v)
	}
	if v.d.NeedsApproval() && !v.d.Operator.Pause {
		return lifecycle.ReasonUnapproved
	}
	return lifecycle.ReasonPaused
}

// routerErrorNote returns the router's failure during a pause, unless that is the reason of the pause; "" when there is none.
func routerErrorNote(v *view) string {
	refusal := routerFailure(v)
	if refusal == "" || refusal == v.st.Progress.FailureReason {
		return ""
	}
	return "; " + refusal
}

// toleratedNote returns how many targets have failed without ending the way forward; empty when none has.
func toleratedNote(v *view) string {
	if v.failures == 0 {
		return ""
	}
	return fmt.Sprintf("; %s failed (tolerated)", strategy.FormatQuantity(v.failures, "target"))
}

// gatedStep returns what the gate of a wave holds back.
func gatedStep(v *view, wave int) string {
	switch {
	case v.spec.Waves[wave-1].Gate == rollout.GateSwitch:
		return " to switch traffic"
	case wave == len(v.spec.Waves):
		return " to complete"
	default:
		return ""
	}
}

// waveName returns the name of a wave: its number, and in a canary its percentage.
func waveName(v *view, wave int) string {
	if stages := v.spec.Strategy.Stages; len(stages) > 0 {
		return fmt.Sprintf("stage %d of %d (%d%%)", wave, len(stages), stages[wave-1].Percent)
	}
	return fmt.Sprintf("wave %d of %d", wave, len(v.spec.Waves))
}

func rollbackReason(v *view, waiting string) string {
	back, touched := 0, 0
	for i := range v.s.Targets {
		t := &v.s.Targets[i]
		if t.Touched() {
			touched++
		}
		if t.State == rollout.TargetRolledBack {
			back++
		}
	}
	return fmt.Sprintf("rolling back, %d of %s done: %s", back, strategy.FormatQuantity(touched, "target"), v.st.Progress.FailureReason) + waiting
}

func waveReason(v *view, waiting string) string {
	progress := &v.st.Progress
	wave := waveName(v, progress.Wave)
	if end := v.waveEnd(); !end.IsZero() {
		return fmt.Sprintf("%s verified; baking until %s", wave, formatTime(end)) + waiting
	}
	done, size := 0, v.spec.Waves[progress.Wave-1].Size
	for i := range v.s.Targets {
		if t := &v.s.Targets[i]; t.Wave == progress.Wave && t.State == rollout.TargetUpdated {
			done++
		}
	}
	return fmt.Sprintf("%s: %d of %s verified", wave, done, strategy.FormatQuantity(size, "target")) + waiting
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func endReason(v *view, state rollout.State) string {
	switch state {
	case rollout.StateCompleted:
		return "completed" + uncalledNote(v) + leftOutNote(v) + toleratedNote(v) + unreadNote(v)
	case rollout.StateAborted:
		return "aborted by an operator"
	case rollout.StateRolledBack:
		if v.d.Direction == rollout.Forward {
			return "every target runs its previous version again" + leftOutNote(v)
		}
		return "rolled back: " + v.st.Progress.FailureReason
	default:
		if v.d.Direction == rollout.Backward && !v.d.Operator.Abort {
			if v.isUntouched() {
				return v.st.Progress.FailureReason + "; no target was called, but the router did not confirm that the old side serves all traffic"
			}
			return "rollback failed; reason for the rollback: " + v.st.Progress.FailureReason
		}
		return v.st.Progress.FailureReason
	}
}

// leftOutNote returns the targets that have left the definition; empty when none has.
func leftOutNote(v *view) string {
	if len(v.spec.LeftOut) == 0 {
		return ""
	}
	return "; " + rollout.LeftOutText(v.spec.LeftOut)
}

// uncalledNote returns a note when there was nothing to do, or "" when a target was called.
func uncalledNote(v *view) string {
	if v.d.Kind != rollout.KindDeploy || v.d.Version == "" || !v.isUntouched() {
		return ""
	}
	return ": already runs " + v.d.Version + "; no target was called (force calls them)"
}

// unreadNote returns a note when the router could not be read at the end, or "".
func unreadNote(v *view) string {
	r := v.d.Progress.Router
	if v.spec.Traffic == nil || r == nil || r.LooksFailed == 0 {
		return ""
	}
	return "; the router could not be read since " + formatTime(r.SeenAt)
}

// skippedWaveReason returns why a wave that was only checked has not got the traffic; empty when it has, or was to be called.
func skippedWaveReason(v *view, wave int) string {
	if !v.spec.Waves[wave-1].CheckOnly || v.waveVerified(wave) {
		return ""
	}
	return "standby slot failed verification; traffic not switched"
}
