package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// CallAction is what a target is told to do.
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
	// Until is when the call is given up as unanswered.
	Until time.Time `json:"until"`
	// NewWeight is the new side's share of traffic, for CallTraffic only.
	NewWeight *int `json:"new_weight,omitempty"`
}

// WebhookID names one action at one target in one deployment, for receivers to tell a repeated call by.
func WebhookID(deployment, target string, action CallAction) string {
	sum := sha256.Sum256([]byte(deployment + "\x00" + target + "\x00" + string(action)))
	return "msg_" + hex.EncodeToString(sum[:16])
}

// AnswerKind says what came of a call.
type AnswerKind string

// The kinds of answer.
const (
	// AnswerDone: the target did it (2xx).
	AnswerDone AnswerKind = "done"
	// AnswerAccepted: the target will do it (202); its checks tell when.
	AnswerAccepted AnswerKind = "accepted"
	// AnswerRetry: the target asks to be called again later (408, 425, 429, 5xx).
	AnswerRetry AnswerKind = "retry"
	// AnswerRefused: the target will never do it (other 3xx and 4xx).
	AnswerRefused AnswerKind = "refused"
	// AnswerFenced: the target has seen a newer fence (409).
	AnswerFenced AnswerKind = "fenced"
	// AnswerNotSent: the call certainly never reached the target (no connection).
	AnswerNotSent AnswerKind = "not_sent"
	// AnswerLost: nobody can say whether the target got the call (timeout, connection cut).
	AnswerLost AnswerKind = "lost"
)

// Answer is what came of one call.
type Answer struct {
	Kind AnswerKind
	// Message says in one line what was answered, fit for people.
	Message string
	// RetryAfter is what the target asked for, at most 60 s; zero when it did not.
	RetryAfter time.Duration
	Latency    time.Duration
}
