// Package notification has the messages about deployments, who subscribes to them, and their deliveries.
package notification

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// Kind is the format in which a receiver is notified.
type Kind string

// The kinds of notification.
const (
	// KindWebhook is a signed JSON document (Standard Webhooks 1.0).
	KindWebhook Kind = "webhook"
	// KindSlack is a message for Slack, or what understands the same.
	KindSlack Kind = "slack"
	// KindCDEvents is a CDEvent in a CloudEvent.
	KindCDEvents Kind = "cdevents"
	// KindGitHub is a deployment of a repository at GitHub, and its statuses.
	KindGitHub Kind = "github"
)

// Kinds lists all kinds.
func Kinds() []Kind {
	return []Kind{KindWebhook, KindSlack, KindCDEvents, KindGitHub}
}

// States returns the states of a deployment that the kind can express.
func (k Kind) States() []rollout.State {
	if k == KindCDEvents { // CDEvents report what has happened to a service, not attempts
		return []rollout.State{rollout.StateCompleted, rollout.StateRolledBack}
	}
	return []rollout.State{rollout.StateInProgress, StateWaiting, rollout.StateCompleted, rollout.StateFailed, rollout.StateRolledBack, rollout.StateAborted, rollout.StateSuperseded}
}

// StateWaiting may be subscribed to besides states: a deployment waits for a person. It is no state of a deployment; one
// that waits is paused.
const StateWaiting rollout.State = "waiting"

// The versions of CDEvents that are spoken.
const (
	CDEvents04 = "0.4.1"
	CDEvents05 = "0.5.1"
)

// IsSigned reports whether a signing secret goes with the kind.
func (k Kind) IsSigned() bool { return k == KindWebhook || k == KindCDEvents }

// Subscription says which deployments a receiver is notified of. In the API it is a notification.
type Subscription struct {
	// ID is new whenever a subscription is created again under an old name.
	ID   string
	Name string
	Kind Kind
	// Services, Environments and States select deployments. No services, or no environments, are all.
	Services, Environments []string
	States                 []rollout.State
	// CDEventsVersion is CDEvents04 when it is empty; other kinds have none.
	CDEventsVersion string
	Secrets         Secrets
	// Revision grows with every change. The store sets it and the times.
	Revision             int64
	CreatedAt, UpdatedAt time.Time
}

// Secrets are the parts that cannot be read back.
type Secrets struct {
	// URL is where the receiver is. It is a secret because it suffices to send to the receiver.
	URL secret.Secret
	// Signing signs what is sent; empty means the server's own key. Token is shown to GitHub.
	Signing, Token secret.Secret
	// Unreadable says why they cannot be opened; empty when they can.
	Unreadable string
}

// Message reports on a deployment, as it was when it happened. It is stored as JSON: fields may be added, never
// renamed or retyped.
type Message struct {
	// Type is that of the event, or MessageTest.
	Type         string            `json:"type"`
	At           time.Time         `json:"at"`
	DeploymentID string            `json:"deployment_id"`
	Service      string            `json:"service"`
	Environment  string            `json:"environment"`
	Version      string            `json:"version"`
	Kind         rollout.Kind      `json:"kind"`
	RollbackOf   string            `json:"rollback_of"`
	RequestedBy  string            `json:"requested_by"`
	Labels       map[string]string `json:"labels"`
	Strategy     string            `json:"strategy"`
	State        rollout.State     `json:"state"`
	Reason       string            `json:"reason"`
	TargetsTotal int               `json:"targets_total"`
	CreatedAt    time.Time         `json:"created_at"`
	StartedAt    time.Time         `json:"started_at"`
	FinishedAt   time.Time         `json:"finished_at"`
	Result       *rollout.Result   `json:"result"`
	// Waiting is set when the message reports a wait for a person, and nothing else.
	Waiting *Waiting `json:"waiting,omitempty"`
	// PreviousVersions are those that its targets ran before, each once; the store looks them up.
	PreviousVersions []string `json:"previous_versions"`
}

// Waiting is a wait for a person. The message's reason says it in words.
type Waiting struct {
	For WaitingFor `json:"for"`
	// Wave is the one whose gate is waited at, else 0.
	Wave int `json:"wave"`
	// Until is when the wait ends by itself; nil when it does not.
	Until *time.Time `json:"until"`
}

// WaitingFor is what has to be done by a person.
type WaitingFor string

// What people are waited for.
const (
	// WaitingGate is a promote, at a gate.
	WaitingGate WaitingFor = "gate"
	// WaitingApproval is the promote without which a protected deployment does not begin.
	WaitingApproval WaitingFor = "approval"
	// WaitingFailure is a resume, rollback or abort, after a failure with on_failure "pause".
	WaitingFailure WaitingFor = "failure"
)

// MessageWaiting is the type of a message that reports a wait.
const MessageWaiting = "deployment.waiting"

// WaitFor returns the wait for a person that begins with an event of a deployment, as it is after that event, and a key that no
// other wait of the deployment has; nil when none begins.
func WaitFor(d *rollout.Deployment, e *rollout.Event) (w *Waiting, key string) {
	switch {
	case e.Type == rollout.EventGateWaiting && e.Wave > 0:
		return &Waiting{For: WaitingGate, Wave: e.Wave}, fmt.Sprintf("gate:%d", e.Wave)
	case e.Type == rollout.EventGateWaiting:
		return &Waiting{For: WaitingApproval}, string(WaitingApproval)
	case e.Type == rollout.EventPaused && d.Stop == rollout.StopPaused && !d.Operator.Pause:
		return &Waiting{For: WaitingFailure}, fmt.Sprintf("failure:%d", d.Progress.ResumesApplied)
	default:
		return nil, ""
	}
}

// MessageTest is the type of a message that reports nothing.
const MessageTest = "notification.test"

// maxErrors is how many targets' errors a message carries; Result counts all.
const maxErrors = 20

// NewMessage returns the message about a deployment that got into its state at that moment.
func NewMessage(d *rollout.Deployment, at time.Time) Message {
	m := Message{
		Type: d.State.EventType(), At: at, DeploymentID: d.ID, Service: d.Service, Environment: d.Environment, Version: d.Version,
		Kind: d.Kind, RollbackOf: d.RollbackOf, RequestedBy: d.RequestedBy, Labels: d.Labels, Strategy: d.Spec.Strategy.Type,
		State: d.State, Reason: d.Reason, TargetsTotal: d.Counts.Total,
		CreatedAt: d.CreatedAt, StartedAt: d.StartedAt, FinishedAt: d.FinishedAt,
	}
	if d.Result != nil {
		result := *d.Result
		result.Errors = result.Errors[:min(len(result.Errors), maxErrors)]
		m.Result = &result
	}
	return m
}

// PreviousVersion returns what all targets ran before, empty when they differed or it is not known.
func (m *Message) PreviousVersion() string {
	if len(m.PreviousVersions) != 1 {
		return ""
	}
	return m.PreviousVersions[0]
}

// IsTest reports whether the message is a test.
func (m *Message) IsTest() bool { return m.Type == MessageTest }

// DeliveryStatus is where a delivery stands.
type DeliveryStatus string

// A delivery is pending until the receiver has taken it, or the server has given up.
const (
	DeliveryPending   DeliveryStatus = "pending"
	DeliveryDelivered DeliveryStatus = "delivered"
	DeliveryGivenUp   DeliveryStatus = "given_up"
)

// Delivery is one message to one receiver.
type Delivery struct {
	// ID is the same for every attempt.
	ID string
	// Seq grows with time, over all deliveries.
	Seq     int64
	Message Message
	Status  DeliveryStatus
	// Attempts are all there were, the first one first.
	Attempts  []Attempt
	CreatedAt time.Time
	// NextAttemptAt is zero once it is over; FinishedAt is zero before.
	NextAttemptAt, FinishedAt time.Time
}

// Attempt is one time that a delivery was tried. It is written down before it is made.
type Attempt struct {
	Attempt   int
	Replica   string
	StartedAt time.Time
	// FinishedAt is zero, and Result empty, while the result is not known.
	FinishedAt time.Time
	Result     rollout.ResultKind
	// Detail is fit for people, and holds no secret.
	Detail string
}

// ClaimedDelivery is a delivery that one replica may try, until another one has a higher epoch.
type ClaimedDelivery struct {
	ID           string
	Owner        string
	Epoch        int64
	Subscription Subscription
	Message      Message
	// Attempt counts from 1. Age is the time since the delivery was asked for.
	Attempt int
	Age     time.Duration
}

// Outcome is what came of an attempt, and what follows.
type Outcome struct {
	Result rollout.ResultKind
	Detail string
	Status DeliveryStatus
	// RetryIn is when a pending one is tried again, from now.
	RetryIn time.Duration
	// Unreachable means that no connection came about: as soon as the receiver accepts another delivery, this is tried again.
	Unreachable bool
}

// Gauge is what metrics report of the deliveries of one kind that are pending.
type Gauge struct {
	Kind    Kind
	Pending int
	// Oldest is the age of the oldest; 0 when there is none.
	Oldest time.Duration
}
