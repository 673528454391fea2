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

// attemptOutcome returns the state of an attempt, and its reason, from its deployment.
func attemptOutcome(d *rollout.Deployment) (gitsource.AttemptState, string) {
	switch {
	case !d.State.Terminal():
		return gitsource.AttemptRunning, d.Reason
	case d.State == rollout.StateCompleted:
		return gitsource.AttemptDone, ""
	case d.Operator.Rollback:
		return gitsource.AttemptHeld, "deployment " + d.ID + " was rolled back: it is not deployed again until Git has something newer or it is released"
	default:
		return gitsource.AttemptFailed, fmt.Sprintf("deployment %s ended %s: %s", d.ID, d.State, d.Reason)
	}
}

// HoldRolledBack holds an attempt whose deployment was rolled back by another one.
func HoldRolledBack(f *gitsource.File, rolledBackBy string) {
	f.Attempt.State = gitsource.AttemptHeld
	f.Attempt.Reason = "deployment " + f.Attempt.DeploymentID + " was rolled back by " + rolledBackBy +
		": it is not deployed again until Git has something newer or it is released"
}

// IsStuckFailing reports whether a deployment waits in a failing state, so that a newer one would wait behind it indefinitely.
// One that a person paused, or that waits at a gate, does not fail.
func IsStuckFailing(d *rollout.Deployment) bool {
	return d.State == rollout.StatePaused && !d.Operator.Pause && d.Stop == rollout.StopPaused && d.Progress.FailureReason != ""
}

// PlanAttempt gives a file a new attempt at its desired state.
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
		Reason: "is about to be requested", Superseded: older,
	}
}

// PlanRequested plans what people request: what failed is retried, what is held is released. It returns the new last number.
func PlanRequested(files []gitsource.File, requests []gitsource.SyncRequest, serial int64) int64 {
	for i := range files {
		f := &files[i]
		if f.Want != nil && f.Attempt != nil && slices.ContainsFunc(requests, func(r gitsource.SyncRequest) bool { return isRequested(r, f) }) {
			serial++
			f.HealFailures = 0
			PlanAttempt(f, gitsource.AttemptRetry, serial)
		}
	}
	return serial
}

// isRequested reports whether a request is for a new attempt at the file.
func isRequested(r gitsource.SyncRequest, f *gitsource.File) bool {
	if r.Service != "" && r.Service != f.Want.Service || r.Environment != "" && r.Environment != f.Want.Environment {
		return false
	}
	return r.Retry && f.Attempt.State == gitsource.AttemptFailed || r.Release && f.Attempt.State == gitsource.AttemptHeld
}

// RecordDeploy records the result of a request for a deployment. An attempt that cannot begin now stays planned. An error means
// that the result is unknown, and that the same request is to be repeated.
func RecordDeploy(a *gitsource.Attempt, created *storage.Created, err error, now time.Time) error {
	e, coded := errors.AsType[*problem.Error](err)
	switch {
	case err == nil:
		a.State, a.DeploymentID, a.Reason = gitsource.AttemptRunning, created.Deployment.ID, created.Deployment.Reason
	case coded && e.Code == problem.CodeKeyReused && e.ID != "":
		a.State, a.DeploymentID, a.Reason = gitsource.AttemptRunning, e.ID, "was requested before"
	case coded && a.Kind != gitsource.AttemptHeal && slices.Contains(RetryableCodes(), e.Code):
		blockAttempt(a, e, now)
	case coded && (e.Code == problem.CodeInvalid || e.Code == problem.CodeConflict):
		a.State, a.Reason = gitsource.AttemptFailed, "was refused: "+TruncateText(e.Error(), MaxErrorText)
	default:
		return err
	}
	return nil
}

// blockAttempt keeps an attempt planned that cannot begin now. One that waits for another deployment is retried sooner.
func blockAttempt(a *gitsource.Attempt, why *problem.Error, now time.Time) {
	a.Reason, a.TryAt = "waits, and is requested again: "+TruncateText(why.Error(), MaxErrorText), now.Add(RetryInterval)
	if why.ID != "" {
		a.TryAt = now.Add(RecheckInterval)
	}
}

// RetryInterval is how long an attempt waits that was refused for another reason than an unfinished deployment.
const RetryInterval = 10 * time.Second

// RetryableCodes returns the refusals that are not about the request itself: the same one may succeed later.
func RetryableCodes() []problem.Code {
	return []problem.Code{problem.CodeConflict, problem.CodeRateLimited, problem.CodeInProgress}
}
