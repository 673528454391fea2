package gitops

import (
	"fmt"
	"time"

	"rollcall/internal/gitsource"
	"rollcall/internal/rollout"
)

// How long healing waits after it failed: it doubles each time.
const (
	firstHealBackoff = 30 * time.Second
	lastHealBackoff  = time.Hour
)

// SettleAttempt records the outcome of an attempt whose deployment is d.
func SettleAttempt(f *gitsource.File, d *rollout.Deployment, now time.Time) {
	a := f.Attempt
	a.State, a.Reason = attemptOutcome(d)
	if a.Kind == gitsource.AttemptHeal && a.State == gitsource.AttemptFailed {
		f.HealFailures++
		f.HealAt = now.Add(retryDelay(firstHealBackoff, lastHealBackoff, f.HealFailures))
	}
}

func attemptOutcome(d *rollout.Deployment) (gitsource.AttemptState, string) {
	switch {
	case !d.State.Terminal():
		return gitsource.AttemptRunning, d.Reason
	case d.State == rollout.StateCompleted:
		return gitsource.AttemptDone, ""
	case d.Operator.Rollback:
		return gitsource.AttemptHeld, "deployment " + d.ID + " was rolled back: it is not put back until Git says something newer, or somebody releases it"
	default:
		return gitsource.AttemptFailed, fmt.Sprintf("deployment %s ended %s: %s", d.ID, d.State, d.Reason)
	}
}

// HoldRolledBack keeps back what was done and then rolled back by another deployment.
func HoldRolledBack(f *gitsource.File, rolledBackBy string) {
	f.Attempt.State = gitsource.AttemptHeld
	f.Attempt.Reason = "deployment " + f.Attempt.DeploymentID + " was rolled back by " + rolledBackBy +
		": it is not put back until Git says something newer, or somebody releases it"
}

// IsStuckFailing reports whether a deployment waits in a failing state, so that a newer one would wait behind it indefinitely. One
// that a person paused, or that waits at a gate, does not fail.
func IsStuckFailing(d *rollout.Deployment) bool {
	return d.State == rollout.StatePaused && !d.Operator.Pause && d.Stop == rollout.StopPaused && d.Progress.FailureReason != ""
}

// SelectForHealing picks the one file whose targets are to be brought back now, or none. busy are the keys in which a deployment has not ended.
func SelectForHealing(files []gitsource.File, busy map[string]bool, now time.Time) *gitsource.File {
	var chosen *gitsource.File
	for i := range files {
		f := &files[i]
		if f.Running() && f.Attempt.Kind == gitsource.AttemptHeal {
			return nil
		}
		if chosen == nil && CanHeal(f, now) && !busy[f.Want.Key()] {
			chosen = f
		}
	}
	return chosen
}

// CanHeal reports whether a file's targets have drifted and may be brought back: not what failed for its commit, and not
// what a person rolled back.
func CanHeal(f *gitsource.File, now time.Time) bool {
	drifted, _ := f.Drifted()
	if f.Want == nil || f.Attempt == nil || drifted == 0 || now.Before(f.HealAt) {
		return false
	}
	failedHealing := f.Attempt.Kind == gitsource.AttemptHeal && f.Attempt.State == gitsource.AttemptFailed
	return f.Attempt.State == gitsource.AttemptDone || failedHealing
}

// retryDelay returns first after one failure, and doubles it with each further one up to last.
func retryDelay(first, last time.Duration, failures int) time.Duration {
	wait := first
	for range failures - 1 {
		if wait *= 2; wait >= last {
			return last
		}
	}
	return wait
}
