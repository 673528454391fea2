package lifecycle

import (
	"cmp"
	"fmt"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// InDoubt reports whether a target may not run what it should: it is being updated, has failed, or nothing is known of it.
func InDoubt(t *rollout.Target) bool {
	return t.OutOfService() || t.State == rollout.TargetFailed || t.State == rollout.TargetUnknown
}

// FailedOrUnknown reports whether a target did not pass, or its state is unknown.
func FailedOrUnknown(t *rollout.Target) bool {
	return t.State == rollout.TargetFailed || t.State == rollout.TargetUnknown
}

// StartTargetAction returns the target as it is once the action is stored and may be on its way. For a call, the returned
// action is complete, and the event is the record of the intent; a probe has no event, and carries the fence of the call
// whose work it looks at.
func StartTargetAction(d *rollout.Deployment, target rollout.Target, a rollout.Action, now time.Time) (rollout.Target, rollout.Action, []rollout.Event) {
	t := target.Clone()
	if a.Kind == rollout.ActionProbe {
		t.Checks[a.Check].Probing = true
		a.Call.Fence, a.Begun = t.Fence, now
		return t, a, nil
	}
	for c := range t.Checks {
		t.Checks[c].Probing = false // what is still out looks at a target that is no more
	}
	from := t.State
	if a.Back && !t.RollingBack {
		t.RollingBack, t.Attempts, t.RetriesUsed = true, 0, 0
	}
	if t.CallsSent == 0 && !t.RollingBack {
		t.PreviousVersion = t.Version
	}
	rules := d.Spec.ForTarget(&t)
	if t.Rules != nil {
		t.Checks = NewCheckStates(rules)
	}
	t.History.From, t.History.Earlier = versionBefore(&t), ""
	t.Attempts++
	t.CallsSent++
	t.Fence = nextFence(t.Fence, now)
	if t.StartedAt.IsZero() {
		t.StartedAt = now
	}
	t.FinishedAt = time.Time{}
	a.Call.Action = wireAction(d.Kind, t.RollingBack)
	a.Call.WebhookID = rollout.WebhookID(d.ID, t.ID, a.Call.Action)
	a.Call.Version, a.Call.PreviousVersion = t.ExpectedVersion(), t.PreviousVersion
	a.Call.Attempt, a.Call.Fence = t.Attempts, t.Fence
	a.Call.Deadline = now.Add(rollout.StartWithin + rules.Deploy.Timeout.Std())
	d.DescribeCall(&t, &a.Call)
	call := a.Call
	t.Call = &call
	enterPhase(&t, rollout.PhaseCalling, callingState(&t), now)
	e := targetEvent(rollout.EventTargetIntent, &t, from, now, currentRulesNote(&t))
	e.Call = &call
	return t, a, []rollout.Event{e}
}

// versionBefore returns what a target last ran before its next call, as far as known. When a call of before is in doubt and the target did
// not say, it may run what the next one is for: that it does then proves nothing of that one.
func versionBefore(t *rollout.Target) string {
	if t.Version == "" && t.History.InDoubt {
		return t.ExpectedVersion()
	}
	return cmp.Or(t.Version, t.History.From)
}

// currentRulesNote returns a note when a rollback uses this deployment's rules because no others are known; empty when it need not be
// said, or was.
func currentRulesNote(t *rollout.Target) string {
	if t.Call.Action != rollout.CallRollback || t.Attempts > 1 || t.RulesKnown() {
		return ""
	}
	return "how " + t.ExpectedVersion() + " was verified here is unknown: using the rules of this deployment"
}

// nextFence returns a fence above the highest that is known, and above the milliseconds since 1970: so it is also higher than
// what was sent and then forgotten, by a database that was lost, say, or under another name. It stays below 2^53, up to
// which every reader of JSON is exact.
func nextFence(highest int64, now time.Time) int64 { return max(highest+1, now.UnixMilli()) }

// ApplyResult records what came of an action at its target, in place, and returns what changed as events. An outcome that the target no
// longer waits for changes nothing.
func ApplyResult(s *rollout.Snapshot, o rollout.Outcome, now time.Time) []rollout.Event {
	if o.Action.Kind == rollout.ActionSetWeights || o.Action.Kind == rollout.ActionReadWeights {
		return applyRoute(s, o, now)
	}
	t := &s.Targets[o.Action.Target]
	if o.Action.Kind == rollout.ActionProbe {
		return applyProbe(s, t, o, now)
	}
	if t.Call == nil || t.Call.WebhookID != o.Action.Call.WebhookID || t.Call.Attempt != o.Action.Call.Attempt {
		return nil
	}
	call := *t.Call
	t.Call = nil
	from := t.State
	kind, message := applyCallResult(s, t, call, o.Result, now)
	e := targetEvent(kind, t, from, now, message)
	e.Call = &call
	events := []rollout.Event{e}
	if t.Done() {
		events = append(events, outcomeEvent(s.Deployment.Spec.ForTarget(t), t, from, now))
	}
	return events
}

// ApplyTransition carries out, in place, a step of a target that a decision asks for, and returns what changed as events.
func ApplyTransition(s *rollout.Snapshot, m rollout.Transition, now time.Time) []rollout.Event {
	t := &s.Targets[m.Target]
	from := t.State
	switch {
	case m.Phase == rollout.PhaseVerifying:
		t.StartedAt = now
		t.PreviousVersion = t.Version
		startVerifying(s.Deployment.Spec.ForTarget(t), t, now)
	case m.State == rollout.TargetUpdated || m.State == rollout.TargetRolledBack:
		settleTarget(t, m.State, now)
	case m.State == rollout.TargetUnchanged:
		settleTarget(t, m.State, now)
		return nil
	default:
		settleWithError(t, m.State, m.Message, now)
	}
	if t.Done() {
		return []rollout.Event{outcomeEvent(s.Deployment.Spec.ForTarget(t), t, from, now)}
	}
	return []rollout.Event{targetEvent(rollout.EventTargetResult, t, from, now, m.Message)}
}

// applyCallResult moves the target on by the answer to its call, and returns the type and message of its event.
func applyCallResult(s *rollout.Snapshot, t *rollout.Target, call rollout.Call, a rollout.CallResult, now time.Time) (kind, message string) {
	spec := s.Deployment.Spec.ForTarget(t)
	switch {
	case rejectedAsBusy(t, a):
		return rollout.EventTargetUnknown, recheckLater(spec, t, a, now)
	case a.Kind == rollout.ResultFenced && mayRaiseFence(t, call, a):
		return rollout.EventTargetResult, raiseFence(t, a, now)
	}
	kind = rollout.EventTargetResult
	switch a.Kind {
	case rollout.ResultDone:
		t.Version = call.Version
		t.History.InDoubt, t.History.MayRunUntil = false, time.Time{}
		startVerifying(spec, t, now)
	case rollout.ResultAccepted:
		t.Version = ""
		t.History.InDoubt, t.History.MayRunUntil = true, mayRunUntil(spec, call, a)
		startVerifying(spec, t, now)
	case rollout.ResultRetry:
		t.Version = ""
		retryOrFail(spec, t, a, now)
	case rollout.ResultNotSent:
		t.CallsSent--
		retryOrFail(spec, t, a, now)
		kind = rollout.EventTargetNotSent
	case rollout.ResultNotStarted:
		t.CallsSent--
		enterPhase(t, rollout.PhaseReady, callingState(t), now)
		t.NotBefore = now
		kind = rollout.EventTargetNotSent
	case rollout.ResultUnknown:
		applyLost(spec, t, call, a, now)
		kind = rollout.EventTargetUnknown
	case rollout.ResultRefused, rollout.ResultFenced:
		t.History.InDoubt, t.History.MayRunUntil = false, time.Time{}
		settleWithError(t, rollout.TargetFailed, a.Message, now)
	}
	return kind, a.Message
}

// startVerifying hands the target over to its checks; where there is nothing to check it has arrived.
func startVerifying(spec *rollout.Spec, t *rollout.Target, now time.Time) {
	t.Checks = restartChecks(spec, now)
	if isVerified(spec, t) {
		t.Health = healthcheck.AggregateHealth(spec.Checks, t.Checks)
		settleTarget(t, SuccessState(t), now)
		return
	}
	state := rollout.TargetVerifying
	if t.RollingBack {
		state = rollout.TargetRollingBack
	}
	enterPhase(t, rollout.PhaseVerifying, state, now)
}

// retryOrFail waits for the next attempt, or gives up when there is none left.
func retryOrFail(spec *rollout.Spec, t *rollout.Target, a rollout.CallResult, now time.Time) {
	t.RetriesUsed++
	if t.RetriesUsed > spec.Deploy.Retries {
		settleWithError(t, rollout.TargetFailed, a.Message, now)
		return
	}
	recordError(t, a.Message, now)
	enterPhase(t, rollout.PhaseReady, callingState(t), now)
	t.NotBefore = now.Add(max(retryDelay(spec, t.RetriesUsed), a.RetryAfter))
}

func settleTarget(t *rollout.Target, state rollout.TargetState, now time.Time) {
	enterPhase(t, rollout.PhaseSettled, state, now)
	t.FinishedAt = now
	if state == rollout.TargetUpdated {
		t.Error, t.ErrorAt = "", time.Time{}
		t.Version = cmp.Or(t.DesiredVersion, t.Version)
	}
	if state == rollout.TargetRolledBack {
		t.Version = t.PreviousVersion
	}
}

func settleWithError(t *rollout.Target, state rollout.TargetState, message string, now time.Time) {
	recordError(t, message, now)
	enterPhase(t, rollout.PhaseSettled, state, now)
	t.FinishedAt = now
}

func recordError(t *rollout.Target, message string, now time.Time) {
	if message != "" {
		t.Error, t.ErrorAt = message, now
	}
}

func enterPhase(t *rollout.Target, phase rollout.Phase, state rollout.TargetState, now time.Time) {
	t.Phase, t.State, t.PhaseAt, t.UpdatedAt = phase, state, now, now
}

// wireAction returns the action that a target receives: rolling back a rollback is a deployment.
func wireAction(kind rollout.Kind, back bool) rollout.CallAction {
	if back == (kind == rollout.KindRollback) {
		return rollout.CallDeploy
	}
	return rollout.CallRollback
}

// callingState returns the state of a target while it is being called.
func callingState(t *rollout.Target) rollout.TargetState {
	if t.RollingBack {
		return rollout.TargetRollingBack
	}
	return rollout.TargetDeploying
}

// SuccessState returns the state of a target that runs what it should.
func SuccessState(t *rollout.Target) rollout.TargetState {
	if t.RollingBack {
		return rollout.TargetRolledBack
	}
	return rollout.TargetUpdated
}

// retryDelay doubles with each try that was used up.
func retryDelay(spec *rollout.Spec, tries int) time.Duration {
	return spec.Deploy.Backoff.Std() << min(max(tries-1, 0), maxBackoffDoublings)
}

const maxBackoffDoublings = 5

func outcomeEvent(spec *rollout.Spec, t *rollout.Target, from rollout.TargetState, now time.Time) rollout.Event {
	switch t.State {
	case rollout.TargetUpdated:
		message := fmt.Sprintf("runs %s, %s", orUnknown(t.Version), t.Health)
		if healthcheck.Unchecked(spec.Checks) {
			message = fmt.Sprintf("runs %s according to its deploy response; no check covers its health", orUnknown(t.Version))
		}
		return targetEvent(rollout.EventTargetVerified, t, from, now, message+degradedNote(spec, t))
	case rollout.TargetRolledBack:
		return targetEvent(rollout.EventTargetVerified, t, from, now, "runs "+t.PreviousVersion+" again")
	default:
		return targetEvent(rollout.EventTargetFailed, t, from, now, t.Error)
	}
}

func targetEvent(kind string, t *rollout.Target, from rollout.TargetState, now time.Time, message string) rollout.Event {
	return rollout.Event{
		At: now, Type: kind, Actor: rollout.ActorEngine, Target: t.ID, Wave: t.Wave,
		From: string(from), To: string(t.State), Message: message,
	}
}
