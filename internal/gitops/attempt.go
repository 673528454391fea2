package gitops

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
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

// PlanAttempt writes a new attempt at what the file wants down.
func PlanAttempt(f *gitsource.File, kind gitsource.AttemptKind, serial int64) {
	var older []string
	if before := f.Attempt; before != nil {
		older = slices.Clone(before.Superseded)
		if before.State == gitsource.AttemptRunning && before.DeploymentID != "" {
			older = append(older, before.DeploymentID)
		}
	}
	f.Attempt = &gitsource.Attempt{
		Kind: kind, Serial: serial, Commit: f.Want.Commit.SHA, State: gitsource.AttemptPlanned,
		Reason: "is about to be asked for", Superseded: older,
	}
}

// PlanRequested plans what people ask for: what failed is tried again, what is held is released.
func PlanRequested(files []gitsource.File, asks []gitsource.SyncRequest, serial int64) int64 {
	for i := range files {
		f := &files[i]
		if f.Want != nil && f.Attempt != nil && slices.ContainsFunc(asks, func(a gitsource.SyncRequest) bool { return isRequested(a, f) }) {
			serial++
			f.HealFailures = 0
			PlanAttempt(f, gitsource.AttemptRetry, serial)
		}
	}
	return serial
}

func isRequested(a gitsource.SyncRequest, f *gitsource.File) bool {
	if a.Service != "" && a.Service != f.Want.Service || a.Environment != "" && a.Environment != f.Want.Environment {
		return false
	}
	return a.Retry && f.Attempt.State == gitsource.AttemptFailed || a.Release && f.Attempt.State == gitsource.AttemptHeld
}

// RecordDeploy records what came of asking for a deployment. An attempt that cannot begin now stays planned. An error means that
// the outcome is not known, and that the same is to be asked again.
func RecordDeploy(a *gitsource.Attempt, created *storage.Created, err error, now time.Time) error {
	e, coded := errors.AsType[*problem.Error](err)
	switch {
	case err == nil:
		a.State, a.DeploymentID, a.Reason = gitsource.AttemptRunning, created.Deployment.ID, created.Deployment.Reason
	case coded && e.Code == problem.CodeKeyReused && e.ID != "":
		a.State, a.DeploymentID, a.Reason = gitsource.AttemptRunning, e.ID, "was asked for before"
	case coded && a.Kind != gitsource.AttemptHeal && slices.Contains(RetryableCodes(), e.Code):
		blockAttempt(a, e, now)
	case coded && (e.Code == problem.CodeInvalid || e.Code == problem.CodeConflict):
		a.State, a.Reason = gitsource.AttemptFailed, "was refused: "+TruncateText(e.Error(), MaxErrorText)
	default:
		return err
	}
	return nil
}

// blockAttempt keeps an attempt planned that cannot begin now. The end of a deployment that is in its way is looked for sooner.
func blockAttempt(a *gitsource.Attempt, why *problem.Error, now time.Time) {
	a.Reason, a.TryAt = "waits, and is asked for again: "+TruncateText(why.Error(), MaxErrorText), now.Add(RetryInterval)
	if why.ID != "" {
		a.TryAt = now.Add(RecheckInterval)
	}
}

// RetryInterval is how long an attempt waits that was refused for another reason than a deployment that has not ended.
const RetryInterval = 10 * time.Second

// RetryableCodes returns the refusals that say nothing against the request itself. Nothing was begun, and the same may succeed later.
func RetryableCodes() []problem.Code {
	return []problem.Code{problem.CodeConflict, problem.CodeRateLimited, problem.CodeInProgress}
}
