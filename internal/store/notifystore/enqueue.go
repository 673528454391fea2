package notifystore

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/notification"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// enqueueSQL puts a message into the outbox for every notification that wants it. It reads the deployment as it is after
// the save that is reported: a save that was refused, or had landed before, reports nothing, or nothing again.
const enqueueSQL = `
	WITH queued AS (
		INSERT INTO notification_deliveries (notification_id, deployment_id, state, next_attempt_at, message)
		SELECT n.id, d.id, @key, greatest(clock_timestamp(), (
				SELECT max(o.next_attempt_at) FROM notification_deliveries o
				WHERE o.notification_id = n.id AND o.deployment_id = d.id AND o.status = 'pending')),
			 @message::jsonb || jsonb_build_object('previous_versions', (
			SELECT coalesce(jsonb_agg(p.version), '[]') FROM (
				SELECT DISTINCT t.previous_version AS version FROM deployment_targets t
				WHERE t.deployment_id = @id AND t.previous_version IS NOT NULL ORDER BY 1 LIMIT 20) p))
		FROM deployments d JOIN notifications n ON @state = ANY (n.states)
			AND (n.services = '{}' OR d.service = ANY (n.services))
			AND (n.environments = '{}' OR d.environment = ANY (n.environments))
		WHERE d.id = @id AND d.epoch = @epoch AND d.saves = @saves
		ON CONFLICT DO NOTHING RETURNING 1)
	SELECT pg_notify('` + pg.Channel + `', '` + changed + `') FROM queued LIMIT 1`

// changed announces that there is something to deliver; it wakes no engine.
const changed = pg.ProgressPrefix + topic

const topic = "notifications"

// NotificationsChanged subscribes to all notifications: a value means that there may be something to deliver.
func (s *Store) NotificationsChanged() (<-chan struct{}, func()) {
	return s.db.Subscribe(topic)
}

// EnqueueNotifications adds to the batch the notifications of a save: nothing, unless the deployment starts or ends with
// it. The save must stand before it in the batch.
func EnqueueNotifications(batch *pgx.Batch, save *storage.SaveRequest) error {
	d := save.Deployment
	d.Saves++ // by the save itself
	if startsWith(save.Events) {
		begun := d
		begun.State, begun.FinishedAt, begun.Result = rollout.StateInProgress, time.Time{}, nil
		if err := EnqueueNotification(batch, &begun, d.StartedAt); err != nil {
			return err
		}
	}
	if d.FinishedAt.IsZero() {
		return enqueueWaits(batch, &d, save.Events)
	}
	return EnqueueNotification(batch, &d, d.FinishedAt)
}

func startsWith(events []rollout.Event) bool {
	for i := range events {
		if events[i].Type == rollout.EventStarted {
			return true
		}
	}
	return false
}

// enqueueWaits adds to the batch the notifications of the waits for people that begin with the events: each once, for the
// key of a wait is that of its delivery.
func enqueueWaits(batch *pgx.Batch, d *rollout.Deployment, events []rollout.Event) error {
	for i := range events {
		waiting, key := notification.WaitFor(d, &events[i])
		if waiting == nil {
			continue
		}
		m := notification.NewMessage(d, events[i].At)
		m.Type, m.Waiting = notification.MessageWaiting, waiting
		if err := enqueueMessage(batch, d, notification.StateWaiting, string(notification.StateWaiting)+":"+key, &m); err != nil {
			return err
		}
	}
	return nil
}

// EnqueueNotification adds to the batch the notification that a deployment got into its state. Epoch and Saves must be as
// they are stored once that is written.
func EnqueueNotification(batch *pgx.Batch, d *rollout.Deployment, at time.Time) error {
	m := notification.NewMessage(d, at)
	return enqueueMessage(batch, d, d.State, string(d.State), &m)
}

// enqueueMessage adds a message to the batch for the receivers that want to be notified of state; key distinguishes it from others
// of the deployment.
func enqueueMessage(batch *pgx.Batch, d *rollout.Deployment, state rollout.State, key string, m *notification.Message) error {
	message, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the message about deployment %s: %w", d.ID, err)
	}
	batch.Queue(enqueueSQL, pgx.NamedArgs{
		"id": d.ID, "epoch": d.Epoch, "saves": d.Saves, "state": string(state), "key": key, "message": string(message),
	})
	return nil
}
