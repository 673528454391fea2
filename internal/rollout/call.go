package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// CallAction is what a target is asked to do.
type CallAction string

// The actions of the deploy webhook.
const (
	CallDeploy   CallAction = "deploy"
	CallRollback CallAction = "rollback"
	// CallTraffic is not for targets: it names a write to a router in events.
	CallTraffic CallAction = "traffic"
)

// Call is one call of a deploy webhook, written down before it is made.
type Call struct {
	// WebhookID is the same for every attempt of one action at one target in one deployment.
	WebhookID       string     `json:"webhook_id"`
	Action          CallAction `json:"action"`
	Version         string     `json:"version"`
	PreviousVersion string     `json:"previous_version"`
	Attempt         int        `json:"attempt"`
	Fence           int64      `json:"fence"`
	// Deadline is the latest time at which the call, and the work that it started, can still run: a call is made within
	// StartWithin of being written down, or not at all, and then has the deploy timeout.
	Deadline time.Time `json:"until"`
	// NewWeight is the new side's share of traffic, for CallTraffic only.
	NewWeight *int `json:"new_weight,omitempty"`
	// Request is the call as it was rendered; nil for Rollcall's own webhook.
	Request *SentRequest `json:"request,omitempty"`
}

// SentRequest records what was rendered, without what may be secret in it.
type SentRequest struct {
	Method string `json:"method"`
	// URL has no query.
	URL        string `json:"url"`
	BodySHA256 string `json:"body_sha256"`
}

// WebhookID returns the name of one action at one target in one deployment, by which receivers recognise a repeated call.
func WebhookID(deployment, target string, action CallAction) string {
	sum := sha256.Sum256([]byte(deployment + "\x00" + target + "\x00" + string(action)))
	return "msg_" + hex.EncodeToString(sum[:16])
}

// StartWithin is how soon a call must start after its intent was written down. One that could not is not made: a replica
// that takes the deployment over relies on Call.Deadline.
const StartWithin = 2 * time.Second

// CallHistory is what earlier calls of a deployment have left behind at a target. The zero value: nothing is in doubt.
type CallHistory struct {
	// InDoubt is true after a call whose outcome is not known, until the target shows it.
	InDoubt bool `json:"in_doubt"`
	// MayRunUntil is until when the work of that call may run; no other call is made before. Zero when it is over.
	MayRunUntil time.Time `json:"may_run_until"`
	// From is the version that the target last ran before its newest call, as far as known.
	From string `json:"from"`
	// FenceRaised is true once a 409 has been answered with a higher fence; a second 409 is final.
	FenceRaised bool `json:"fence_raised"`
	// Earlier is the version that a call of an earlier deployment was for, when MayRunUntil is that call's; else empty.
	Earlier string `json:"earlier,omitempty"`
	// WaitedUntil is until when that call is waited for, or was; zero when none had to be.
	WaitedUntil time.Time `json:"waited_until,omitzero"`
}

// Work is what a call may still be doing at an address when its target has its outcome. The zero value: nothing.
type Work struct {
	// Until is until when it may run; no other call is made before.
	Until time.Time `json:"until"`
	// Version is the version that the call was for, From the one that ran before, as far as known.
	Version string `json:"version"`
	From    string `json:"from"`
}

// LeftBehind returns what is known of work at the target's address for deployments to come; known is false when it is no more
// than before. While a call is stored, no work of before is running.
func (t *Target) LeftBehind() (work Work, known bool) {
	switch {
	case t.Call != nil:
		return Work{}, true
	case t.Done() && t.Touched() && t.History.InDoubt && !t.History.MayRunUntil.IsZero():
		return Work{Until: t.History.MayRunUntil, Version: t.ExpectedVersion(), From: t.History.From}, true
	default:
		return Work{}, false
	}
}

// InheritWork makes a target that was not called yet wait for work that another deployment has left behind at its address, and
// that may still be running. What the target will run then is not known before.
func (t *Target) InheritWork(work Work) {
	if work.Until.IsZero() || t.Touched() || t.Phase != PhaseNew {
		return
	}
	t.Version = ""
	t.History.MayRunUntil, t.History.WaitedUntil = work.Until, work.Until
	t.History.Earlier, t.History.From = work.Version, work.From
}

// ResultKind is the kind of outcome of a call.
type ResultKind string

// The kinds of result.
const (
	// ResultDone: the target did it (2xx).
	ResultDone ResultKind = "done"
	// ResultAccepted: the target will do it (202); its checks show when.
	ResultAccepted ResultKind = "accepted"
	// ResultRetry: the target asks to be called again later (408, 425, 429).
	ResultRetry ResultKind = "retry"
	// ResultRefused: the target will never do it (other 3xx and 4xx).
	ResultRefused ResultKind = "refused"
	// ResultFenced: the target has seen a newer fence (409).
	ResultFenced ResultKind = "fenced"
	// ResultNotSent: the call certainly never reached the target (no connection).
	ResultNotSent ResultKind = "not_sent"
	// ResultUnknown: what the call did is not known (timeout, connection cut, 5xx: a proxy may have answered, and the work
	// may be running behind it).
	ResultUnknown ResultKind = "lost"
	// ResultNotStarted: the intent was written down too late for the call to be made.
	ResultNotStarted ResultKind = "not_started"
)

// CallResult is the outcome of one call.
type CallResult struct {
	Kind ResultKind
	// Message is the response in one line, fit for people.
	Message string
	// Status is the HTTP status; 0 when there was none.
	Status int
	// Fence is the fence that a 409 names as the highest one seen; 0 when it names none.
	Fence int64
	// RetryAfter is what the target asked for, at most 60 s; zero when it did not.
	RetryAfter time.Duration
	// Began is when the call was made; zero when that is not known.
	Began   time.Time
	Latency time.Duration
}
