package rollout

import (
	"fmt"
	"time"

	"rollcall/internal/secret"
)

// NotificationKind is the language in which a receiver is told.
type NotificationKind string

// The kinds of notification.
const (
	// NotificationWebhook is a signed JSON document (Standard Webhooks 1.0).
	NotificationWebhook NotificationKind = "webhook"
	// NotificationSlack is a message for Slack, or what understands the same.
	NotificationSlack NotificationKind = "slack"
	// NotificationCDEvents is a CDEvent in a CloudEvent.
	NotificationCDEvents NotificationKind = "cdevents"
	// NotificationGitHub is a deployment of a repository at GitHub, and its statuses.
	NotificationGitHub NotificationKind = "github"
)

// NotificationKinds lists all kinds.
func NotificationKinds() []NotificationKind {
	return []NotificationKind{NotificationWebhook, NotificationSlack, NotificationCDEvents, NotificationGitHub}
}

// States are the states of a deployment that the kind has words for.
func (k NotificationKind) States() []State {
	if k == NotificationCDEvents { // CDEvents tell what has happened to a service, not what was tried
		return []State{StateCompleted, StateRolledBack}
	}
	return []State{StateInProgress, NotifyWaiting, StateCompleted, StateFailed, StateRolledBack, StateAborted, StateSuperseded}
}

// NotifyWaiting is what a notification may be told of besides states: a deployment waits for a person. It is no state of a
// deployment; one that waits is paused.
const NotifyWaiting State = "waiting"

// The versions of CDEvents that are spoken.
const (
	CDEvents04 = "0.4.1"
	CDEvents05 = "0.5.1"
)

// Signed reports whether a signing secret goes with the kind.
func (k NotificationKind) Signed() bool { return k == NotificationWebhook || k == NotificationCDEvents }

// Notification says who is told of what.
type Notification struct {
	// ID is new whenever a notification is made anew under an old name.
	ID   string
	Name string
	Kind NotificationKind
	// Services, Environments and States are what it is told of. No services, or no environments, are all.
	Services, Environments []string
	States                 []State
	// CDEventsVersion is CDEvents04 when it is empty; other kinds have none.
	CDEventsVersion string
	Secrets         NotificationSecrets
	// Revision grows with every change. The store sets it and the times.
	Revision             int64
	CreatedAt, UpdatedAt time.Time
}

// NotificationSecrets are what nobody may read back.
type NotificationSecrets struct {
	// URL is where the receiver is. It is a secret because whoever knows it can speak to the receiver.
	URL secret.Secret
	// Signing signs what is sent; empty means the server's own key. Token is shown to GitHub.
	Signing, Token secret.Secret
	// Unreadable says why they cannot be opened; empty when they can.
	Unreadable string
}

// Message is what is told of a deployment, as it was when it happened. It is stored as JSON: fields may be added, never
// renamed or retyped.
type Message struct {
	// Type is that of the event, or MessageTest.
	Type         string            `json:"type"`
	At           time.Time         `json:"at"`
	DeploymentID string            `json:"deployment_id"`
	Service      string            `json:"service"`
	Environment  string            `json:"environment"`
	Version      string            `json:"version"`
	Kind         Kind              `json:"kind"`
	RollbackOf   string            `json:"rollback_of"`
	RequestedBy  string            `json:"requested_by"`
	Labels       map[string]string `json:"labels"`
	Strategy     string            `json:"strategy"`
	State        State             `json:"state"`
	Reason       string            `json:"reason"`
	TargetsTotal int               `json:"targets_total"`
	CreatedAt    time.Time         `json:"created_at"`
	StartedAt    time.Time         `json:"started_at"`
	FinishedAt   time.Time         `json:"finished_at"`
	Result       *Result           `json:"result"`
	// Waiting is set when the message tells of a wait for a person, and of nothing else.
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

// MessageWaiting is the type of a message that tells of a wait.
const MessageWaiting = "deployment.waiting"

// WaitOf is the wait for a person that begins with an event of a deployment, as it is after that event, and a key that no
// other wait of the deployment has; nil when none begins.
func WaitOf(d *Deployment, e *Event) (w *Waiting, key string) {
	switch {
	case e.Type == EventGateWaiting && e.Wave > 0:
		return &Waiting{For: WaitingGate, Wave: e.Wave}, fmt.Sprintf("gate:%d", e.Wave)
	case e.Type == EventGateWaiting:
		return &Waiting{For: WaitingApproval}, string(WaitingApproval)
	case e.Type == EventPaused && d.Stop == StopPaused && !d.Operator.Pause:
		return &Waiting{For: WaitingFailure}, fmt.Sprintf("failure:%d", d.Progress.ResumesSeen)
	default:
		return nil, ""
	}
}

// MessageTest is the type of a message that tells of nothing.
const MessageTest = "notification.test"

// mostErrors is how many targets' errors a message carries; Result counts all.
const mostErrors = 20

// NewMessage is what there is to tell of a deployment that got into its state at that moment.
func NewMessage(d *Deployment, at time.Time) Message {
	m := Message{
		Type: d.State.Event(), At: at, DeploymentID: d.ID, Service: d.Service, Environment: d.Environment, Version: d.Version,
		Kind: d.Kind, RollbackOf: d.RollbackOf, RequestedBy: d.RequestedBy, Labels: d.Labels, Strategy: d.Spec.Strategy.Type,
		State: d.State, Reason: d.Reason, TargetsTotal: d.Counts.Total,
		CreatedAt: d.CreatedAt, StartedAt: d.StartedAt, FinishedAt: d.FinishedAt,
	}
	if d.Result != nil {
		result := *d.Result
		result.Errors = result.Errors[:min(len(result.Errors), mostErrors)]
		m.Result = &result
	}
	return m
}

// PreviousVersion is what all targets ran before, empty when that was not the same or nobody knows.
func (m *Message) PreviousVersion() string {
	if len(m.PreviousVersions) != 1 {
		return ""
	}
	return m.PreviousVersions[0]
}

// Test reports whether the message tells of nothing.
func (m *Message) Test() bool { return m.Type == MessageTest }

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
	// Place grows with time, over all deliveries.
	Place   int64
	Message Message
	Status  DeliveryStatus
	// Attempts are all there were, the first one first.
	Attempts  []DeliveryAttempt
	CreatedAt time.Time
	// NextAttemptAt is zero once it is over; FinishedAt is zero before.
	NextAttemptAt, FinishedAt time.Time
}

// DeliveryAttempt is one time that a delivery was tried. It is written down before it is made.
type DeliveryAttempt struct {
	Attempt   int
	Replica   string
	StartedAt time.Time
	// FinishedAt is zero, and Result empty, while nobody knows what came of it.
	FinishedAt time.Time
	Result     AnswerKind
	// Detail is fit for people, and holds no secret.
	Detail string
}

// ClaimedDelivery is a delivery that one replica may try, until another one has a higher epoch.
type ClaimedDelivery struct {
	ID           string
	Owner        string
	Epoch        int64
	Notification Notification
	Message      Message
	// Attempt counts from 1. Age is the time since the delivery was asked for.
	Attempt int
	Age     time.Duration
}

// DeliveryOutcome is what came of an attempt, and what follows.
type DeliveryOutcome struct {
	Result AnswerKind
	Detail string
	Status DeliveryStatus
	// Again is when a pending one is tried again, from now.
	Again time.Duration
	// Unanswered means that nobody was there: as soon as the receiver takes something else, this is tried again.
	Unanswered bool
}

// DeliveryGauge is what metrics tell of the deliveries of one kind that are pending.
type DeliveryGauge struct {
	Kind    NotificationKind
	Pending int
	// Oldest is the age of the oldest; 0 when there is none.
	Oldest time.Duration
}
