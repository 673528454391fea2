package notify

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"testing"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/notification"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

const signingKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// received is one call as it came.
type received struct {
	method, path, query string
	header              http.Header
	body                []byte
}

// receiver is a real one; answer says what it does, nil takes everything.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	calls []received
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		r.calls = append(r.calls, received{q.Method, q.URL.Path, q.URL.RawQuery, q.Header.Clone(), body})
		r.mu.Unlock()
		if answer != nil {
			answer(w, q)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.calls...)
}

func (r *receiver) last(t *testing.T) received {
	t.Helper()
	calls := r.all()
	if len(calls) == 0 {
		t.Fatal("nothing was received")
	}
	return calls[len(calls)-1]
}

// at is 12:00:05 of some day, when the deployment of these tests ended.
var at = time.Date(2026, 5, 1, 12, 0, 5, 0, time.UTC)

// completed is the message of a deployment that went well; change may make another one of it.
func completed(change func(*notification.Message)) notification.Message {
	m := notification.Message{
		Type: rollout.EventCompleted, At: at, DeploymentID: "0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11", Service: "checkout",
		Environment: "production", Version: "v2+1", Kind: rollout.KindDeploy, RequestedBy: "token:ci", Labels: map[string]string{"commit": "abc123"},
		Strategy: "rolling", State: rollout.StateCompleted, Reason: "all 3 targets verified", TargetsTotal: 3,
		CreatedAt: at.Add(-5 * time.Second), StartedAt: at.Add(-4 * time.Second), FinishedAt: at, PreviousVersions: []string{"v1"},
		Result: &rollout.Result{
			Success: true, State: rollout.StateCompleted, TargetsUpdated: 3, DurationMS: 4000,
			Errors: []rollout.TargetError{}, Metadata: map[string]any{},
		},
	}
	if change != nil {
		change(&m)
	}
	return m
}

func testMessage() notification.Message {
	return notification.Message{Type: notification.MessageTest, At: at}
}

// delivery is one of the message to the receiver's /planted-path.
func delivery(kind notification.Kind, url string, m notification.Message) *notification.ClaimedDelivery {
	return &notification.ClaimedDelivery{
		ID: "0199f2a4-0000-7000-8000-000000000001", Attempt: 1, Message: m,
		Subscription: notification.Subscription{Name: "n", Kind: kind, Secrets: notification.Secrets{URL: secret.Secret(url + "/planted-path")}},
	}
}

// deliverOnce delivers it once, and returns the outcome that would be recorded.
func deliverOnce(t *testing.T, publicURL string, c *notification.ClaimedDelivery) notification.Outcome {
	t.Helper()
	caller := egress.New(egress.Config{Key: signingKey})
	return decideOutcome(c, newKinds(publicURL)[c.Subscription.Kind].deliverMessage(t.Context(), caller.Send, c), time.Now(), 0.5)
}

// wantJSON compares a body with what it should be, field by field.
func wantJSON(t *testing.T, body []byte, want map[string]any) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	encoded, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var wanted map[string]any
	if err := json.Unmarshal(encoded, &wanted); err != nil {
		t.Fatal(err)
	}
	for name, value := range wanted {
		if !reflect.DeepEqual(got[name], value) {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	for name := range got {
		if _, known := wanted[name]; !known {
			t.Errorf("unexpected field %s: %v", name, got[name])
		}
	}
}

func wantStatus(t *testing.T, o notification.Outcome, status notification.DeliveryStatus) {
	t.Helper()
	if o.Status != status {
		t.Errorf("it is %s, want %s: %+v", o.Status, status, o)
	}
}
