package notifystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/notification"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

const (
	// deliveryTTL is how long a delivery that is over is shown, as PostgreSQL spells it.
	deliveryTTL = `interval '7 days'`
	// maxRows bounds what one statement changes or removes: much may wait for a receiver that was down for long.
	maxRows = 5000
)

// deliveryCursor is the kind of the cursors of deliveries.
const deliveryCursor = "v"

// deliveryColumns are what scanDelivery reads, in this order, of a table called d.
const deliveryColumns = `d.id, d.place, d.message, d.status, d.created_at,
	CASE WHEN d.status = 'pending' THEN d.next_attempt_at END, d.finished_at`

func scanDelivery(row pgx.CollectableRow) (notification.Delivery, error) {
	var d notification.Delivery
	err := row.Scan(&d.ID, &d.Seq, &d.Message, &d.Status, (*pg.NullTime)(&d.CreatedAt), (*pg.NullTime)(&d.NextAttemptAt), (*pg.NullTime)(&d.FinishedAt))
	return d, err //nolint:wrapcheck // the caller names the operation
}

// Deliveries lists what was sent to one notification, or will be, newest first, with every attempt; CodeNotFound when there
// is no such notification.
func (s *Store) Deliveries(ctx context.Context, name string, p storage.Page) (storage.List[notification.Delivery], error) {
	var none storage.List[notification.Delivery]
	before, err := pg.ParseNumberCursor(deliveryCursor, p.Cursor, math.MaxInt64)
	if err != nil {
		return none, err
	}
	limit := pg.LimitOf(p)
	items, err := pg.QueryAll(ctx, s.db, scanDelivery, `SELECT `+deliveryColumns+` FROM notifications n
		JOIN notification_deliveries d ON d.notification_id = n.id
		WHERE n.name = $1 AND d.place < $2 ORDER BY d.place DESC LIMIT $3`, name, before, limit+1)
	if err == nil && len(items) == 0 {
		_, err = s.Notification(ctx, name)
	}
	if err != nil {
		return none, pg.Wrap("list the deliveries of notification "+name, err)
	}
	list := pg.CutPage(items, limit, func(last *notification.Delivery) string { return pg.NumberCursor(deliveryCursor, last.Seq) })
	return list, pg.Wrap("read the attempts of notification "+name, s.loadAttempts(ctx, list.Items))
}

// loadAttempts reads all attempts of the deliveries.
func (s *Store) loadAttempts(ctx context.Context, deliveries []notification.Delivery) error {
	ids, of := make([]string, len(deliveries)), make(map[string]*notification.Delivery, len(deliveries))
	for i := range deliveries {
		ids[i], of[deliveries[i].ID] = deliveries[i].ID, &deliveries[i]
	}
	_, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (struct{}, error) {
		var id string
		var a notification.Attempt
		err := row.Scan(&id, &a.Attempt, &a.Replica, (*pg.NullTime)(&a.StartedAt), (*pg.NullTime)(&a.FinishedAt), (*pg.NullText)(&a.Result), &a.Detail)
		if d := of[id]; err == nil && d != nil {
			d.Attempts = append(d.Attempts, a)
		}
		return struct{}{}, err //nolint:wrapcheck // wrapped by the caller
	}, `SELECT delivery_id::text, attempt, replica, started_at, finished_at, result, detail
		FROM notification_attempts WHERE delivery_id = ANY ($1) ORDER BY delivery_id, attempt`, ids)
	return err
}

// TestNotification asks for a test delivery; CodeNotFound when there is no such notification.
func (s *Store) TestNotification(ctx context.Context, name string) (notification.Delivery, error) {
	var asked notification.Delivery
	err := s.db.InTx(ctx, func(tx pgx.Tx) error {
		now, err := pg.ReadClock(ctx, tx)
		if err != nil {
			return err
		}
		message, err := json.Marshal(notification.Message{Type: notification.MessageTest, At: now})
		if err != nil {
			return fmt.Errorf("encode the test: %w", err)
		}
		asked, err = pg.QueryOne(ctx, tx, scanDelivery, `
			INSERT INTO notification_deliveries AS d (notification_id, state, message)
			SELECT n.id, 'test', $2::jsonb FROM notifications n WHERE n.name = $1 FOR SHARE RETURNING `+deliveryColumns, name, string(message))
		if errors.Is(err, pgx.ErrNoRows) {
			return pg.NotFound("notification", name)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, pg.NotifySQL, changed)
		return err //nolint:wrapcheck // wrapped below
	})
	return asked, pg.Wrap("test notification "+name, err)
}

// deliveryGaugesSQL looks only at what is pending, in two parts, because each has an index of its own.
const deliveryGaugesSQL = `
	SELECT n.kind, sum(p.lines)::int, extract(epoch FROM clock_timestamp() - min(p.oldest))::float8
	FROM notifications n CROSS JOIN LATERAL (
		SELECT count(*) AS lines, min(d.created_at) AS oldest FROM notification_deliveries d
		WHERE d.notification_id = n.id AND d.status = 'pending' AND d.owner IS NULL
		UNION ALL
		SELECT count(*), min(d.created_at) FROM notification_deliveries d WHERE d.notification_id = n.id AND d.owner IS NOT NULL) p
	GROUP BY n.kind HAVING sum(p.lines) > 0`

// DeliveryGauges returns the metrics of pending deliveries, by kind; a kind without any has no entry.
func (s *Store) DeliveryGauges(ctx context.Context) ([]notification.Gauge, error) {
	gauges, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (notification.Gauge, error) {
		var g notification.Gauge
		var age float64
		err := row.Scan(&g.Kind, &g.Pending, &age)
		g.Oldest = time.Duration(age * float64(time.Second))
		return g, err //nolint:wrapcheck // wrapped below
	}, deliveryGaugesSQL)
	return gauges, pg.Wrap("read what is pending of deliveries", err)
}

// DeleteExpired removes those that are long over, and those whose notification was removed while they were written.
func (s *Store) DeleteExpired(ctx context.Context) error {
	const sql = `
		DELETE FROM notification_deliveries WHERE id IN (
			SELECT d.id FROM notification_deliveries d WHERE d.finished_at <= clock_timestamp() - ` + deliveryTTL + `
			UNION ALL
			SELECT d.id FROM notification_deliveries d WHERE NOT EXISTS (SELECT FROM notifications n WHERE n.id = d.notification_id)
			LIMIT $1)`
	for {
		tag, err := s.db.Exec(ctx, sql, maxRows)
		if err != nil || tag.RowsAffected() < maxRows {
			return pg.Wrap("remove old deliveries of notifications", err)
		}
	}
}
