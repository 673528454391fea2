package lifecycle

import (
	"fmt"
	"slices"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// maxWatchRate bounds, per deployment, the probes per second of targets that are verified already: beyond it each
// target is probed less often than its interval says.
const maxWatchRate = 200

// NewCheckStates returns the state of checks of which nothing is known.
func NewCheckStates(spec *rollout.Spec) []healthcheck.State {
	states := make([]healthcheck.State, spec.CheckStates())
	for i := range states {
		states[i].Status, states[i].LastStatus = healthcheck.Unknown, healthcheck.Unknown
		if i >= len(spec.Checks) || spec.Checks[i].Type == healthcheck.TypeNone {
			states[i].Status, states[i].LastStatus = healthcheck.Healthy, healthcheck.Healthy
		}
	}
	return states
}

// restartChecks forgets what was seen before a call and lets the first probes wait for their initial delay.
func restartChecks(spec *rollout.Spec, now time.Time) []healthcheck.State {
	states := NewCheckStates(spec)
	for i := range spec.Checks {
		states[i].NextAt = now.Add(spec.Checks[i].InitialDelay.Std())
	}
	return states
}

// addProbeResult adds one result to a check's state. An answer with another version than the one wanted does not pass,
// whatever else it says; wanted is empty for a target that checked without a call and whose version is unknown.
func addProbeResult(spec *rollout.Spec, index int, state healthcheck.State, o healthcheck.ProbeResult, wanted string, now time.Time) healthcheck.State {
	check, status, message := &spec.Checks[index], o.Status, o.Message
	if status == healthcheck.Unknown {
		return addUnknownResult(spec, state, message, now)
	}
	state.UnknownSince = time.Time{}
	if status.Passing() && check.VersionPointer != "" && o.Version != wanted && wanted != "" {
		status, message = healthcheck.Unhealthy, fmt.Sprintf("reports version %s, not %s", orUnknown(o.Version), wanted)
	}
	if status.Passing() == state.LastStatus.Passing() && state.Streak > 0 {
		state.Streak++
	} else {
		state.Streak = 1
	}
	state.LastStatus, state.Message = status, message
	threshold := check.UnhealthyThreshold
	if status.Passing() {
		threshold = check.HealthyThreshold
	}
	if state.Streak >= threshold {
		state.Status = status
	}
	return state
}

// addUnknownResult adds a result that says nothing of the target: it ends a row of results that pass, neither ends nor
// lengthens one of those that do not, and leaves what the check has come to, for as long as a target may take to get healthy.
func addUnknownResult(spec *rollout.Spec, state healthcheck.State, message string, now time.Time) healthcheck.State {
	if state.LastStatus.Passing() {
		state.Streak = 0
	}
	if state.UnknownSince.IsZero() {
		state.UnknownSince = now
	}
	state.LastStatus, state.Message = healthcheck.Unknown, message
	if !now.Before(UnknownUntil(spec, &state)) {
		state.Status = healthcheck.Unknown
	}
	return state
}

// UnknownUntil returns when a check that is unknown counts as one that does not pass.
func UnknownUntil(spec *rollout.Spec, state *healthcheck.State) time.Time {
	return state.UnknownSince.Add(spec.HealthyDeadline.Std())
}

// isVerified reports whether every check has come to a conclusion and the target passes.
func isVerified(spec *rollout.Spec, t *rollout.Target) bool {
	return allConcluded(t) && Passes(spec, t)
}

// allConcluded reports whether every check has come to a conclusion.
func allConcluded(t *rollout.Target) bool {
	return !slices.ContainsFunc(t.Checks, func(c healthcheck.State) bool { return c.Status == healthcheck.Unknown })
}

// Passes reports whether nothing stands against the target: its critical checks pass, and where it can be asked what it
// runs, that is not another version, nor unknown after a call that it only accepted; even if that check is not critical.
func Passes(spec *rollout.Spec, t *rollout.Target) bool {
	agrees := spec.VersionCheck() < 0 || t.Version == t.ExpectedVersion() || t.ExpectedVersion() == ""
	return agrees && (healthcheck.Unchecked(spec.Checks) || healthcheck.AggregateHealth(spec.Checks, t.Checks).Passing())
}

// FailingCheck returns the message of the first check whose newest result stands against the target.
func FailingCheck(spec *rollout.Spec, t *rollout.Target) string {
	for _, criticalOnly := range []bool{true, false} {
		for i := range spec.Checks {
			state := &t.Checks[i]
			if !state.Status.Passing() && !state.LastStatus.Passing() && state.Message != "" && (spec.Checks[i].Critical || !criticalOnly) {
				return fmt.Sprintf("check %s: %s", spec.Checks[i].Name, state.Message)
			}
		}
	}
	return "its checks did not pass enough times in a row"
}

// degradedNote returns what is held against a target that passes all the same; empty when it is well.
func degradedNote(spec *rollout.Spec, t *rollout.Target) string {
	for i := range spec.Checks {
		state := &t.Checks[i]
		if state.Status != healthcheck.Healthy && state.LastStatus != healthcheck.Healthy && state.Message != "" {
			return fmt.Sprintf(": check %s: %s", spec.Checks[i].Name, state.Message)
		}
	}
	return ""
}

// watchEvery returns how often a verified target is probed, one of n.
func watchEvery(check *healthcheck.Check, n int) time.Duration {
	return max(check.Interval.Std(), time.Duration(n)*time.Second/maxWatchRate)
}

func orUnknown(version string) string {
	if version == "" {
		return "unknown"
	}
	return version
}
