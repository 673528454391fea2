package metrics

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/notification"
)

type pending []notification.Gauge

func (p pending) DeliveryGauges(context.Context) ([]notification.Gauge, error) {
	if p == nil {
		return nil, errAway
	}
	return p, nil
}

func TestDeliveries_AreCountedAndPendingIsRead(t *testing.T) {
	t.Parallel()
	m := New(known())
	m.RegisterOutbox(pending{{Kind: notification.KindSlack, Pending: 3, Oldest: 90 * time.Second}})
	m.DeliveryAttempted(notification.KindSlack, notification.DeliveryDelivered, time.Second)
	m.DeliveryAttempted(notification.KindSlack, notification.DeliveryPending, time.Second)
	m.DeliveryAttempted(notification.KindSlack, notification.DeliveryPending, time.Second)
	m.DeliveryAttempted("pigeon", notification.DeliveryGivenUp, time.Second)
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
	m.RegisterOutbox(pending(nil))
	wantLines(t, scrape(t, m), `rollcall_notification_deliveries_total{kind="slack",result="delivered"} 0`)
}
