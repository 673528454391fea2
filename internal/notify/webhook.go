package notify

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"rollcall/internal/notification"
	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

// webhook sends a JSON document, signed as Standard Webhooks 1.0 says, in the form that it proposes: type, timestamp, data.
type webhook struct{ at place }

// envelope is the wire form. Fields may be added, never renamed or given another type.
type envelope struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      *told     `json:"data"`
}

// told is a deployment as receivers learn of it; its fields are those of the API.
type told struct {
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
	// Waiting is null unless the document tells of a wait for a person.
	Waiting *notification.Waiting `json:"waiting"`
}

func (k webhook) tell(ctx context.Context, send sender, c *notification.ClaimedDelivery) outbound.Response {
	m := &c.Message
	document := envelope{Type: m.Type, Timestamp: m.At.UTC()}
	if !m.Test() {
		document.Data = k.told(m)
	}
	return send(ctx, signed(c, "application/json", document))
}

func (k webhook) told(m *notification.Message) *told {
	return &told{
		ID: m.DeploymentID, URL: known(k.at.of(m)), Service: m.Service, Environment: m.Environment, Version: known(m.Version),
		PreviousVersion: known(m.PreviousVersion()), PreviousVersions: m.PreviousVersions, Kind: m.Kind, RollbackOf: known(m.RollbackOf),
		RequestedBy: m.RequestedBy, Labels: m.Labels, Strategy: m.Strategy, State: m.State, Reason: m.Reason, TargetsTotal: m.TargetsTotal,
		CreatedAt: m.CreatedAt.UTC(), StartedAt: moment(m.StartedAt), FinishedAt: moment(m.FinishedAt), Result: m.Result,
		Waiting: m.Waiting,
	}
}

// signed is a POST of a document, signed with the notification's key, else the server's. Every attempt has the same id.
func signed(c *notification.ClaimedDelivery, contentType string, document any) outbound.Request {
	r := post(c, contentType, document)
	r.ID, r.Secret = c.ID, c.Subscription.Secrets.Signing
	return r
}

// post is a POST of a document without a signature.
func post(c *notification.ClaimedDelivery, contentType string, document any) outbound.Request {
	body, err := json.Marshal(document)
	if err != nil {
		panic(err) // what is marshalled here was read from JSON
	}
	return outbound.Request{
		Method: http.MethodPost, URL: c.Subscription.Secrets.URL.Reveal(), Body: body, Header: http.Header{"Content-Type": {contentType}},
	}
}

// known is nil for the empty string: nothing is known.
func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// moment is nil for the zero time: it has not come.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
