package notify

import (
	"net/http"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"rollcall/internal/notification"
	"rollcall/internal/secret"
)

func TestWebhook_PayloadFollowsAPI(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	wantStatus(t, deliverOnce(t, "https://rollcall.example.com/", delivery(notification.KindWebhook, r.URL, completed(nil))), notification.DeliveryDelivered)
	got := r.last(t)
	if got.method != http.MethodPost || got.path != "/planted-path" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s as %s", got.method, got.path, got.header.Get("Content-Type"))
	}
	wantJSON(t, got.body, map[string]any{
		"type": "deployment.completed", "timestamp": "2026-05-01T12:00:05Z",
		"data": map[string]any{
			"id": "0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11", "url": "https://rollcall.example.com/ui/deployments/0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11",
			"service": "checkout", "environment": "production", "version": "v2+1", "previous_version": "v1", "previous_versions": []string{"v1"},
			"kind": "deploy", "rollback_of": nil, "requested_by": "token:ci", "labels": map[string]any{"commit": "abc123"}, "strategy": "rolling",
			"state": "completed", "reason": "all 3 targets verified", "targets_total": 3,
			"created_at": "2026-05-01T12:00:00Z", "started_at": "2026-05-01T12:00:01Z", "finished_at": "2026-05-01T12:00:05Z",
			"waiting": nil,
			"result": map[string]any{
				"success": true, "state": "completed", "targets_updated": 3, "targets_failed": 0, "targets_rolled_back": 0, "duration_ms": 4000,
				"errors": []any{}, "metadata": map[string]any{},
			},
		},
	})
}

func TestWebhook_TestHasNoData(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	wantStatus(t, deliverOnce(t, "", delivery(notification.KindWebhook, r.URL, testMessage())), notification.DeliveryDelivered)
	wantJSON(t, r.last(t).body, map[string]any{"type": "notification.test", "timestamp": "2026-05-01T12:00:05Z", "data": nil})
}

func TestSigning_UsesOwnKeyElseTheServers(t *testing.T) {
	t.Parallel()
	const own = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	for _, kind := range notification.Kinds() {
		for secret, key := range map[secret.Secret]string{"": signingKey, own: own} {
			r := newReceiver(t, nil)
			c := delivery(kind, r.URL, completed(nil))
			c.Subscription.Secrets.Signing = secret
			deliverOnce(t, "", c)
			got := r.last(t)
			if !kind.IsSigned() {
				if got.header.Get("Webhook-Signature") != "" || got.header.Get("Webhook-Id") != "" {
					t.Errorf("%s is signed: %v", kind, got.header)
				}
				continue
			}
			oracle, err := standardwebhooks.NewWebhook(key)
			if err != nil {
				t.Fatal(err)
			}
			if err := oracle.Verify(got.body, got.header); err != nil {
				t.Errorf("%s with %q: %v", kind, secret.Reveal(), err)
			}
			if id := got.header.Get("Webhook-Id"); id != c.ID {
				t.Errorf("its id is %s, want %s", id, c.ID)
			}
		}
	}
}
