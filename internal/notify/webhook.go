package notify

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/notification"
	"rollcall/internal/nullable"
	"rollcall/internal/rollout"
)

// webhook sends a JSON document in the form that Standard Webhooks 1.0 proposes (type, timestamp, data), and signs it.
type webhook struct{ at publicURL }

// envelope is the wire form. Fields may be added, never renamed or given another type.
type envelope struct {
	Type      string             `json:"type"`
	Timestamp time.Time          `json:"timestamp"`
	Data      *deploymentPayload `json:"data"`
}

// deploymentPayload is the deployment in a message; its fields are those of the API.
type deploymentPayload struct {
	ID               string            `json:"id"`
	URL              *string           `json:"url"`
	Service          string            `json:"service"`
	Environment      string            `json:"environment"`
	Version          *string           `json:"version"`
	PreviousVersion  *string           `json:"previous_version"`
	PreviousVersions []string          `json:"previous_versions"`
	Kind             rollout.Kind      `json:"kind"`
	RollbackOf       *string           `json:"rollback_of"`
	RequestedBy      string            `json:"requested_by"`
	Labels           map[string]string `json:"labels"`
	Strategy         string            `json:"strategy"`
	State            rollout.State     `json:"state"`
	Reason           string            `json:"reason"`
	TargetsTotal     int               `json:"targets_total"`
	CreatedAt        time.Time         `json:"created_at"`
	StartedAt        *time.Time        `json:"started_at"`
	FinishedAt       *time.Time        `json:"finished_at"`
	Result           *rollout.Result   `json:"result"`
	// Waiting is null unless the deployment waits for an operator.
	Waiting *notification.Waiting `json:"waiting"`
}

func (k webhook) deliverMessage(ctx context.Context, send sender, c *notification.ClaimedDelivery) egress.Response {
	m := &c.Message
	document := envelope{Type: m.Type, Timestamp: m.At.UTC()}
	if !m.IsTest() {
		document.Data = k.newPayload(m)
	}
	return send(ctx, newSignedPost(c, "application/json", document))
}

func (k webhook) newPayload(m *notification.Message) *deploymentPayload {
	return &deploymentPayload{
		ID: m.DeploymentID, URL: nullable.Of(k.at.deploymentPage(m)), Service: m.Service, Environment: m.Environment, Version: nullable.Of(m.Version),
		PreviousVersion: nullable.Of(m.PreviousVersion()), PreviousVersions: m.PreviousVersions, Kind: m.Kind, RollbackOf: nullable.Of(m.RollbackOf),
		RequestedBy: m.RequestedBy, Labels: m.Labels, Strategy: m.Strategy, State: m.State, Reason: m.Reason, TargetsTotal: m.TargetsTotal,
		CreatedAt: m.CreatedAt.UTC(), StartedAt: nullable.Time(m.StartedAt), FinishedAt: nullable.Time(m.FinishedAt), Result: m.Result,
		Waiting: m.Waiting,
	}
}

// newSignedPost returns a POST of a document, signed with the notification's key, else the server's. Every attempt has the same id.
func newSignedPost(c *notification.ClaimedDelivery, contentType string, document any) egress.Request {
	r := newPost(c, contentType, document)
	r.ID, r.Secret = c.ID, c.Subscription.Secrets.Signing
	return r
}

// newPost returns an unsigned POST of a document.
func newPost(c *notification.ClaimedDelivery, contentType string, document any) egress.Request {
	body, err := json.Marshal(document)
	if err != nil {
		panic(err) // what is marshalled here was read from JSON
	}
	return egress.Request{
		Method: http.MethodPost, URL: c.Subscription.Secrets.URL.Reveal(), Body: body, Header: http.Header{"Content-Type": {contentType}},
	}
}
