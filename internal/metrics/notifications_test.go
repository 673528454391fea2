package metrics

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/rollout"
)

type pending []rollout.DeliveryGauge

func (p pending) DeliveryGauges(context.Context) ([]rollout.DeliveryGauge, error) {
	if p == nil {
		return nil, errAway
	}
	return p, nil
}

func TestDeliveries_AreCountedAndPendingIsRead(t *testing.T) {
	t.Parallel()
	m := New(known())
	m.WatchOutbox(pending{{Kind: rollout.NotificationSlack, Pending: 3, Oldest: 90 * time.Second}})
	m.DeliveryAttempted(rollout.NotificationSlack, rollout.DeliveryDelivered, time.Second)
	m.DeliveryAttempted(rollout.NotificationSlack, rollout.DeliveryPending, time.Second)
	m.DeliveryAttempted(rollout.NotificationSlack, rollout.DeliveryPending, time.Second)
	m.DeliveryAttempted("pigeon", rollout.DeliveryGivenUp, time.Second)
	wantLines(
		t, scrape(t, m), `rollcall_notification_deliveries_total{kind="slack",result="delivered"} 1`,
		`rollcall_notification_deliveries_total{kind="slack",result="pending"} 2`, `rollcall_notification_deliveries_total{kind="github",result="given_up"} 0`,
		`rollcall_notification_deliveries_total{kind="other",result="given_up"} 1`, `rollcall_notification_attempt_duration_seconds_count{kind="slack"} 3`,
		`rollcall_notification_deliveries_pending{kind="slack"} 3`, `rollcall_notification_oldest_pending_seconds{kind="slack"} 90`,
		`rollcall_notification_deliveries_pending{kind="webhook"} 0`, `rollcall_notification_oldest_pending_seconds{kind="webhook"} 0`,
	)
}

func TestDeliveries_WithoutDatabasePendingIsLeftOut(t *testing.T) {
	t.Parallel()
	m := New(known())
	m.WatchOutbox(pending(nil))
	wantLines(t, scrape(t, m), `rollcall_notification_deliveries_total{kind="slack",result="delivered"} 0`)
}
