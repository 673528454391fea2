package lifecycle

import (
	"cmp"
	"fmt"
	"time"

	"rollcall/internal/rollout"
)

// A call in doubt is one whose outcome is not known: no answer came, or one that says nothing of the target, such as a
// 504 of a proxy. Its work may run until the deploy timeout after it was sent. Until then the target is asked what it
// runs, and nothing else is sent to it, forward or back.

// mayRunUntil returns until when the work of a call may run, unless the target has reported that it is over.
func mayRunUntil(spec *rollout.Spec, call rollout.Call, a rollout.CallResult) time.Time {
	if a.Began.IsZero() {
		return call.Deadline
	}
	return Earlier(call.Deadline, a.Began.Add(spec.Deploy.Timeout.Std()))
}

// applyLost records that the result of a call is unknown.
func applyLost(spec *rollout.Spec, t *rollout.Target, call rollout.Call, a rollout.CallResult, now time.Time) {
	t.RetriesUsed++
	markInDoubt(t, now, recheckAt(spec, t, a, now), mayRunUntil(spec, call, a))
	recordError(t, a.Message, now)
}

// recheckAt returns when a target in doubt is probed: when it may be called again, and at once when it will not be.
func recheckAt(spec *rollout.Spec, t *rollout.Target, a rollout.CallResult, now time.Time) time.Time {
	if t.RetriesUsed > spec.Deploy.Retries {
		return now
	}
	return now.Add(max(retryDelay(spec, t.RetriesUsed), a.RetryAfter))
}

// markInDoubt has the target probed for what its last call did, which may run until a time; it is called again from askAt on.
func markInDoubt(t *rollout.Target, now, askAt, until time.Time) {
	t.Version = ""
	t.History.InDoubt, t.History.MayRunUntil = true, until
	enterPhase(t, rollout.PhaseInDoubt, rollout.TargetUnknown, now)
	t.NotBefore = askAt
}

// The statuses besides 409 by which a target says that it is at work (RFC 4918, section 11.3; RFC 6585, section 4).
const (
	statusLocked          = 423
	statusTooManyRequests = 429
)

// rejectedAsBusy reports whether the target turns a call down because it is at work, after an earlier call of this deployment
// whose outcome is not known: that one holds the lock.
func rejectedAsBusy(t *rollout.Target, a rollout.CallResult) bool {
	if !t.History.InDoubt {
		return false
	}
	return a.Kind == rollout.ResultFenced && a.Fence == 0 || a.Status == statusLocked || a.Status == statusTooManyRequests
}

// recheckLater has a busy target probed again later.
func recheckLater(spec *rollout.Spec, t *rollout.Target, a rollout.CallResult, now time.Time) string {
	t.RetriesUsed++
	t.Version = ""
	enterPhase(t, rollout.PhaseInDoubt, rollout.TargetUnknown, now)
	t.NotBefore = recheckAt(spec, t, a, now)
	recordError(t, a.Message, now)
	return a.Message + "; an earlier call may still be running; the target is checked again later"
}

// mayRaiseFence reports whether a 409 may be answered with a higher fence: once, when it names a higher one, or when it is
// the answer to the first call of the deployment, which then begins with a fence that is too low.
func mayRaiseFence(t *rollout.Target, call rollout.Call, a rollout.CallResult) bool {
	return !t.History.FenceRaised && (a.Fence >= call.Fence || t.CallsSent <= 1)
}

// raiseFence has the target probed, and called once more with a fence above the one that it named and above any that was
// given before by time.
func raiseFence(t *rollout.Target, a rollout.CallResult, now time.Time) string {
	t.History.FenceRaised = true
	t.Fence = max(t.Fence, a.Fence, now.UnixMilli())
	enterPhase(t, rollout.PhaseInDoubt, callingState(t), now)
	t.NotBefore = now
	recordError(t, a.Message, now)
	if a.Fence > 0 {
		return fmt.Sprintf("%s; it has seen fence %d; retrying once with a fence above %d", a.Message, a.Fence, t.Fence)
	}
	return fmt.Sprintf("%s; retrying once with a fence above %d", a.Message, t.Fence)
}

// endDoubt ends the doubt about a call when the target runs what it was called for, and did not before.
func endDoubt(t *rollout.Target, now time.Time) {
	h := &t.History
	doubted := h.InDoubt || h.Earlier != ""
	if !doubted || t.Version != cmp.Or(h.Earlier, t.ExpectedVersion()) || t.Version == h.From {
		return
	}
	if h.Earlier != "" {
		h.WaitedUntil = Earlier(now, h.WaitedUntil)
	}
	h.InDoubt, h.MayRunUntil, h.Earlier = false, time.Time{}, ""
}

// ResendAt returns when a target in doubt may be called again.
func ResendAt(t *rollout.Target) time.Time { return Later(t.NotBefore, t.History.MayRunUntil) }

// applyDoubtProbe decides, after a call whose outcome is not known, by what the target itself says. That it runs another version
// proves nothing as long as the work may be running.
func applyDoubtProbe(spec *rollout.Spec, t *rollout.Target, o rollout.Outcome, now time.Time) []rollout.Event {
	from, version := t.State, o.Probe.Version
	soon := o.Action.Begun.Before(ResendAt(t))
	if state := &t.Checks[o.Action.Check]; soon {
		state.NextAt = Earlier(state.NextAt, Later(now, ResendAt(t)))
	}
	switch {
	case version != "" && version == t.ExpectedVersion() && !now.Before(t.History.MayRunUntil) && provesCall(spec, t):
		startVerifying(spec, t, now)
		if t.Done() {
			return []rollout.Event{outcomeEvent(spec, t, from, now)}
		}
		message := "no response received, but the target reports " + version
		return []rollout.Event{targetEvent(rollout.EventTargetResult, t, from, now, message)}
	case soon:
		return nil
	case t.RetriesUsed <= spec.Deploy.Retries:
		enterPhase(t, rollout.PhaseReady, t.State, now)
		t.NotBefore = now
	case spec.VersionCheck() < 0:
		settleWithError(t, rollout.TargetUnknown, t.Error, now)
		return []rollout.Event{outcomeEvent(spec, t, from, now)}
	}
	return nil
}

// provesCall reports whether it settles a doubt that a target runs what it was called for. Where targets are called although
// they run it already, it does not: the call may never have arrived.
func provesCall(spec *rollout.Spec, t *rollout.Target) bool {
	return t.RollingBack || !spec.Force || t.History.From != t.DesiredVersion
}
