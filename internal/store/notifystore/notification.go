package notifystore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"rollcall/internal/notification"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// maxNotifications bounds what the end of a deployment writes, and how many receivers are called at once.
const maxNotifications = 100

// notificationColumns are what scanNotification reads, in this order, of a table called n.
const notificationColumns = `n.id, n.name, n.kind, n.services, n.environments, n.states, n.secrets, n.revision,
	n.created_at, n.updated_at, n.cdevents_version`

// scanNotification reads notificationColumns, and opens the secrets.
func (s *Store) scanNotification(row pgx.CollectableRow) (notification.Subscription, error) {
	var n notification.Subscription
	var sealed []byte
	err := row.Scan(notificationFields(&n, &sealed)...)
	n.Secrets = s.openSecrets(n.ID, sealed)
	return n, err //nolint:wrapcheck // the caller names the operation
}

// notificationFields returns the places for notificationColumns.
func notificationFields(n *notification.Subscription, sealed *[]byte) []any {
	return []any{
		&n.ID, &n.Name, &n.Kind, &n.Services, &n.Environments, &n.States, sealed, &n.Revision,
		(*pg.NullTime)(&n.CreatedAt), (*pg.NullTime)(&n.UpdatedAt), &n.CDEventsVersion,
	}
}

// notificationTable returns the table of notifications. Locking one does not keep a deployment from ending.
func (s *Store) notificationTable() pg.NamedTable[notification.Subscription] {
	return pg.NamedTable[notification.Subscription]{
		Thing: "notification", Table: "notifications", Cursor: "n", Max: maxNotifications,
		Read: `SELECT ` + notificationColumns + ` FROM notifications n WHERE`, Scan: s.scanNotification,
		NameOf: func(n *notification.Subscription) string { return n.Name },
	}
}

// Notification returns one by its name; CodeNotFound when there is none.
func (s *Store) Notification(ctx context.Context, name string) (notification.Subscription, error) {
	return s.notificationTable().Get(ctx, s.db, name)
}

// Notifications lists them in the order of their names.
func (s *Store) Notifications(ctx context.Context, p storage.Page) (storage.List[notification.Subscription], error) {
	return s.notificationTable().List(ctx, s.db, p)
}

// UpdateNotification puts what change makes of the present notification in its place; change sees nil when there is none,
// and answers nil to remove it with its deliveries, or what it was given to leave it as it is. It must be pure, for it may
// be called again. What is pending goes to where the notification now points.
func (s *Store) UpdateNotification(
	ctx context.Context, name string, change func(present *notification.Subscription) (*notification.Subscription, error),
) (notification.Subscription, error) {
	var stored notification.Subscription
	err := s.db.InTx(ctx, func(tx pgx.Tx) (err error) {
		stored, err = s.defineNotification(ctx, tx, name, change)
		return err
	})
	if err != nil {
		return notification.Subscription{}, pg.Wrap("change notification "+name, err)
	}
	return stored, nil
}

func (s *Store) defineNotification(
	ctx context.Context, tx pgx.Tx, name string, change func(present *notification.Subscription) (*notification.Subscription, error),
) (notification.Subscription, error) {
	present, err := s.notificationTable().Lock(ctx, tx, name)
	if err != nil {
		return notification.Subscription{}, err
	}
	next, err := change(present)
	switch {
	case err != nil || present == nil && next == nil:
		return notification.Subscription{}, err
	case next == present:
		return s.notificationTable().Get(ctx, tx, name)
	case next == nil:
		return notification.Subscription{}, deleteNotification(ctx, tx, present.ID)
	}
	defined := *next
	defined.Name = name
	if err := s.writeNotification(ctx, tx, present, &defined); err != nil {
		return notification.Subscription{}, err
	}
	return s.notificationTable().Get(ctx, tx, name)
}

// deleteNotification leaves what is more than one statement may remove to DeleteExpired; it is not visible any more.
func deleteNotification(ctx context.Context, tx pgx.Tx, id string) error {
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM notifications WHERE id = $1`, id)
	batch.Queue(`DELETE FROM notification_deliveries WHERE id IN (
		SELECT id FROM notification_deliveries WHERE notification_id = $1 LIMIT $2)`, id, maxRows)
	return pg.ExecBatch(ctx, tx, batch)
}

func (s *Store) writeNotification(ctx context.Context, tx pgx.Tx, present, next *notification.Subscription) error {
	if present == nil {
		if err := s.notificationTable().CheckCapacity(ctx, tx); err != nil {
			return err
		}
	}
	now, err := pg.ReadClock(ctx, tx)
	if err != nil {
		return err
	}
	if err := settleNotification(present, next, now); err != nil {
		return err
	}
	sealed, err := s.sealSecrets(next)
	if err != nil {
		return err
	}
	const sql = `
		INSERT INTO notifications (id, name, kind, services, environments, states, secrets, revision, created_at, updated_at,
			cdevents_version)
		VALUES (@id, @name, @kind, @services, @environments, @states, @secrets, @revision, @created_at, @updated_at, @cdevents)
		ON CONFLICT (name) DO UPDATE SET kind = @kind, services = @services, environments = @environments, states = @states,
			secrets = @secrets, revision = @revision, updated_at = @updated_at, cdevents_version = @cdevents`
	_, err = tx.Exec(ctx, sql, pgx.NamedArgs{
		"id": next.ID, "name": next.Name, "kind": string(next.Kind), "services": pg.NonNil(next.Services),
		"environments": pg.NonNil(next.Environments), "states": next.States, "secrets": sealed,
		"revision": next.Revision, "created_at": next.CreatedAt, "updated_at": next.UpdatedAt, "cdevents": next.CDEventsVersion,
	})
	if err != nil {
		return fmt.Errorf("write the notification: %w", err)
	}
	return wakeDeliveries(ctx, tx, next.ID)
}

// settleNotification sets what next has of the present notification, or of being new.
func settleNotification(present, next *notification.Subscription, now time.Time) error {
	next.UpdatedAt = now
	if present != nil {
		next.ID, next.CreatedAt, next.Revision = present.ID, present.CreatedAt, present.Revision+1
		return nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an id: %w", err)
	}
	next.ID, next.CreatedAt, next.Revision = id.String(), now, 1
	return nil
}

// wakeDeliveries makes what waits for another attempt be tried at once, as much of it as one statement may change, what is
// due next first: what stood in its way may have been put right.
func wakeDeliveries(ctx context.Context, tx pgx.Tx, id string) error {
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE notification_deliveries SET next_attempt_at = clock_timestamp() WHERE id IN (
		SELECT id FROM notification_deliveries
		WHERE notification_id = $1 AND status = 'pending' AND owner IS NULL AND next_attempt_at > clock_timestamp()
		ORDER BY next_attempt_at LIMIT $2)`, id, maxRows)
	batch.Queue(pg.NotifySQL, changed)
	return pg.ExecBatch(ctx, tx, batch)
}
