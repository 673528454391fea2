package notify

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/notification"
	"rollcall/internal/rollout"
)

// waiting is the message of a deployment that waits for a person.
func waiting(w notification.Waiting) notification.Message {
	return completed(func(m *notification.Message) {
		m.Type, m.State, m.Result, m.FinishedAt, m.Waiting = notification.MessageWaiting, rollout.StatePaused, nil, time.Time{}, &w
		m.Reason = "wave 1 of 2 verified; waiting for promotion"
		if w.For == notification.WaitingApproval {
			m.StartedAt = time.Time{}
		}
	})
}

func TestWaiting_IsSentByEachKind(t *testing.T) {
	t.Parallel()
	end := at.Add(time.Hour)
	for _, test := range []struct {
		wait          notification.Waiting
		github, slack string
	}{
		{notification.Waiting{For: notification.WaitingGate, Wave: 1}, "pending", "checkout in production: v2+1 waits for promote at the gate of wave 1"},
		{notification.Waiting{For: notification.WaitingApproval}, "queued", "checkout in production: v2+1 waits for approval"},
		{notification.Waiting{For: notification.WaitingFailure, Until: &end}, "pending", "checkout in production: v2+1 waits for a decision after a failure"},
	} {
		m := waiting(test.wait)
		if got := githubState(&m); got != test.github {
			t.Errorf("%+v: GitHub gets %s, not %s", test.wait, got, test.github)
		}
		message := slack{"https://r.example.com"}.newMessage(&m)
		if !strings.HasSuffix(message.Text, "|"+test.slack+">") || !strings.HasPrefix(message.Text, "<https://r.example.com/ui/deployments/") {
			t.Errorf("Slack gets %q", message.Text)
		}
		shown := "no time limit"
		if test.wait.Until != nil {
			shown = "2026-05-01T13:00:05Z"
		}
		if a := message.Attachments[0]; a.Color != "warning" || a.Text != m.Reason || a.Fields[2].Value != shown {
			t.Errorf("Slack gets %+v", a)
		}
		r := newReceiver(t, nil)
		wantStatus(t, deliverOnce(t, "https://r.example.com", delivery(notification.KindWebhook, r.URL, m)), notification.DeliveryDelivered)
		var got struct {
			Type string
			Data struct {
				URL, State, Reason string
				Waiting            notification.Waiting
			}
		}
		if err := json.Unmarshal(r.last(t).body, &got); err != nil {
			t.Fatal(err)
		}
		if got.Type != "deployment.waiting" || got.Data.URL == "" || got.Data.State != "paused" || got.Data.Reason != m.Reason ||
			got.Data.Waiting.For != test.wait.For || got.Data.Waiting.Wave != test.wait.Wave || (got.Data.Waiting.Until == nil) != (test.wait.Until == nil) {
			t.Errorf("a webhook gets %+v", got)
		}
	}
}

func TestRefusal_PermanentIsFinal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind   notification.Kind
		status int
		says   string
	}{
		{notification.KindGitHub, 422, "HTTP 422: No ref found; not retried: the label commit, or else the version, must be"},
		{notification.KindSlack, 400, "HTTP 400: No ref found; not retried: "},
		{notification.KindSlack, 403, "create a new one and PUT its url"},
		{notification.KindSlack, 404, "create a new one and PUT its url"},
		{notification.KindSlack, 429, ""},
		{notification.KindGitHub, 403, ""},
		{notification.KindWebhook, 422, ""},
		{notification.KindCDEvents, 404, ""},
	} {
		d := delivery(test.kind, "http://127.0.0.1:1", completed(nil))
		answer := answered(test.status)
		answer.Body = []byte("No ref found")
		o := decideOutcome(d, answer, time.Now(), 0.5)
		if test.says == "" {
			wantStatus(t, o, notification.DeliveryPending)
			continue
		}
		if wantStatus(t, o, notification.DeliveryGivenUp); !strings.Contains(o.Detail, test.says) {
			t.Errorf("%s %d: %q", test.kind, test.status, o.Detail)
		}
	}
}

func TestRefusal_OfGitHubIsFinalAfterOneCall(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodGet {
			_, _ = w.Write([]byte("[]"))
			return
		}
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(`{"message":"No ref found for: v2+1"}`))
	})
	wantStatus(t, deliverOnce(t, "", delivery(notification.KindGitHub, r.URL, completed(nil))), notification.DeliveryGivenUp)
}
