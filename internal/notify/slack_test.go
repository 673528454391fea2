package notify

import (
	"strings"
	"testing"

	"rollcall/internal/notification"
	"rollcall/internal/rollout"
)

func TestSlack_MessageDescribesDeployment(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	wantStatus(t, deliverOnce(t, "https://r.example.com", delivery(notification.KindSlack, r.URL, completed(nil))), notification.DeliveryDelivered)
	wantJSON(t, r.last(t).body, map[string]any{
		"text": "<https://r.example.com/ui/deployments/0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11|checkout in production: v2+1 is deployed>",
		"attachments": []any{map[string]any{
			"color": "good", "fallback": "checkout in production: v2+1 is deployed", "text": "all 3 targets verified", "ts": at.Unix(),
			"fields": []any{
				map[string]any{"title": "Requested by", "value": "token:ci", "short": true},
				map[string]any{"title": "Targets", "value": "3 of 3 updated", "short": true},
				map[string]any{"title": "Duration", "value": "4s", "short": true},
			},
		}},
	})
}

func TestSlack_EachStateHasColourAndText(t *testing.T) {
	t.Parallel()
	for state, want := range map[rollout.State][2]string{
		rollout.StateInProgress: {"#439fe0", "v2+1 has started"}, rollout.StateCompleted: {"good", "v2+1 is deployed"},
		rollout.StateFailed: {"danger", "v2+1 has failed"}, rollout.StateRolledBack: {"warning", "v2+1 was rolled back to v1"},
		rollout.StateAborted: {"warning", "v2+1 was aborted"}, rollout.StateSuperseded: {"#439fe0", "v2+1 was superseded"},
	} {
		m := completed(func(m *notification.Message) { m.State = state })
		got := slack{}.newMessage(&m)
		if got.Attachments[0].Color != want[0] || got.Text != "checkout in production: "+want[1] {
			t.Errorf("%s: %+v", state, got)
		}
	}
	undone := completed(func(m *notification.Message) { m.Kind, m.State = rollout.KindRollback, rollout.StateRolledBack })
	if got := (slack{}).newMessage(&undone).Text; got != "checkout in production: rollback to v2+1 is done" {
		t.Error(got)
	}
}

func TestSlack_EscapesMarkupAndMentions(t *testing.T) {
	t.Parallel()
	m := completed(func(m *notification.Message) {
		m.Version, m.Reason = "<!channel>", "<https://evil.example.com|here> & @channel"
	})
	got := slack{}.newMessage(&m)
	for _, text := range []string{got.Text, got.Attachments[0].Text, got.Attachments[0].Fallback} {
		if strings.ContainsAny(text, "<>") || strings.Contains(text, "@channel") {
			t.Errorf("%q", text)
		}
	}
}

func TestSlack_TestMessage(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	wantStatus(t, deliverOnce(t, "", delivery(notification.KindSlack, r.URL, testMessage())), notification.DeliveryDelivered)
	wantJSON(t, r.last(t).body, map[string]any{"text": "Rollcall can reach this channel.", "attachments": []any{}})
}
