package notifystore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/notification"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/store/pg"
)

// claimDeliveriesSQL takes what is owned by a replica that is dead, or by a process of this very name that does not know of
// it any more, and what is due and free; of each notification only as much as the replica has room for, so that one that
// hangs holds up no other, and of each deployment only the oldest, so that what comes later is delivered later. The attempt
// is written down before it is made.
//
// The time is the statement's, and the question for older ones is asked of each row (OFFSET 0): only so an index leads to
// what is due, however much waits for a receiver that is down.
const claimDeliveriesSQL = `
	WITH room AS MATERIALIZED (
		SELECT n.id, greatest(0, @room - coalesce(b.used, 0)) AS free
		FROM notifications n LEFT JOIN unnest(@busy::uuid[], @used::int[]) AS b (id, used) ON b.id = n.id
		WHERE EXISTS (SELECT FROM replicas r WHERE r.id = @replica AND r.expires_at > clock_timestamp())
	), orphaned AS MATERIALIZED (
		SELECT o.id, o.notification_id FROM room CROSS JOIN LATERAL (
			SELECT d.id, d.notification_id FROM notification_deliveries d
			WHERE d.notification_id = room.id AND d.owner IS NOT NULL
				AND (` + pg.OwnerDead + ` OR d.owner = @replica AND d.id <> ALL (@mine::uuid[]))
			LIMIT room.free FOR UPDATE SKIP LOCKED) o
	), fresh AS MATERIALIZED (
		SELECT f.id FROM room CROSS JOIN LATERAL (
			SELECT d.id FROM notification_deliveries d
			WHERE d.notification_id = room.id AND d.status = 'pending' AND d.owner IS NULL
				AND d.next_attempt_at <= statement_timestamp()
				AND NOT EXISTS (SELECT FROM notification_deliveries o
					WHERE o.notification_id = d.notification_id AND o.deployment_id = d.deployment_id
						AND o.status = 'pending' AND o.place < d.place OFFSET 0)
			ORDER BY d.next_attempt_at
			LIMIT room.free - (SELECT count(*) FROM orphaned o WHERE o.notification_id = room.id) FOR UPDATE SKIP LOCKED) f
	), due AS MATERIALIZED (
		SELECT id FROM orphaned UNION ALL SELECT id FROM fresh
	), claimed AS (
		UPDATE notification_deliveries c SET owner = @replica, epoch = c.epoch + 1, attempts = c.attempts + 1
		FROM due WHERE c.id = due.id
		RETURNING c.id, c.notification_id, c.epoch, c.attempts, c.message, c.created_at
	), cut AS (
		UPDATE notification_attempts a SET finished_at = clock_timestamp(), result = @lost, detail = @cut
		FROM claimed c WHERE a.delivery_id = c.id AND a.result IS NULL
	), begun AS (
		INSERT INTO notification_attempts (delivery_id, attempt, replica, started_at)
		SELECT c.id, c.attempts, @replica, clock_timestamp() FROM claimed c
	)
	SELECT c.id, c.epoch, c.attempts, c.message, extract(epoch FROM clock_timestamp() - c.created_at)::float8, ` + notificationColumns + `
	FROM claimed c JOIN notifications n ON n.id = c.notification_id`

// cutShort says of an attempt that its replica ended before it could write down what came of it.
const cutShort = "the replica ended before it wrote down what came of it"

// ClaimDeliveries makes the replica the owner of deliveries that are due, beside those that it works on already (mine, by id,
// and busy, how many of them by notification); at most room at once for each notification.
func (s *Store) ClaimDeliveries(
	ctx context.Context, replica string, mine []string, busy map[string]int, room int,
) ([]notification.ClaimedDelivery, error) {
	notifications, used := make([]string, 0, len(busy)), make([]int, 0, len(busy))
	for id, n := range busy {
		notifications, used = append(notifications, id), append(used, n)
	}
	claimed, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (notification.ClaimedDelivery, error) {
		c := notification.ClaimedDelivery{Owner: replica}
		var age float64
		var sealed []byte
		places := []any{&c.ID, &c.Epoch, &c.Attempt, &c.Message, &age}
		err := row.Scan(append(places, notificationFields(&c.Subscription, &sealed)...)...)
		c.Age = time.Duration(age * float64(time.Second))
		c.Subscription.Secrets = s.openSecrets(c.Subscription.ID, sealed)
		return c, err //nolint:wrapcheck // wrapped below
	}, claimDeliveriesSQL, pgx.NamedArgs{
		"replica": replica, "mine": pg.NonNil(mine), "busy": notifications, "used": used, "room": room,
		"lost": string(rollout.ResultUnknown), "cut": cutShort,
	})
	return claimed, pg.Wrap("claim deliveries for replica "+replica, err)
}

// finishAttemptSQL makes what comes later of the deployment due with this, and at once what did not reach the receiver
// before, when it is reachable now. An attempt at what the notification was before it was changed neither puts anything off
// nor gives it up, unless it was a test. A change that is being written is waited for.
const finishAttemptSQL = `
	WITH present AS MATERIALIZED (
		SELECT revision FROM notifications WHERE id = @notification FOR SHARE
	), outcome AS (
		SELECT status, CASE WHEN same THEN @again::interval ELSE '0' END AS again
		FROM (SELECT EXISTS (SELECT FROM present WHERE revision = @revision) AS same) n,
			LATERAL (SELECT CASE WHEN same OR @status = 'delivered' OR @test THEN @status ELSE 'pending' END AS status) s
	), d AS (
		UPDATE notification_deliveries d SET owner = NULL, status = outcome.status, unanswered = @unanswered,
			next_attempt_at = clock_timestamp() + outcome.again,
			finished_at = CASE WHEN outcome.status <> 'pending' THEN clock_timestamp() END
		FROM outcome
		WHERE id = @id AND owner = @owner AND epoch = @epoch
		RETURNING id, notification_id, deployment_id, attempts, d.status, next_attempt_at
	), later AS (
		UPDATE notification_deliveries l SET next_attempt_at = d.next_attempt_at
		FROM d WHERE l.notification_id = d.notification_id AND l.deployment_id = d.deployment_id AND l.id <> d.id
			AND l.status = 'pending' AND l.owner IS NULL
	), attempt AS (
		UPDATE notification_attempts a SET finished_at = clock_timestamp(), result = @result, detail = @detail
		FROM d WHERE a.delivery_id = d.id AND a.attempt = d.attempts
	), waiting AS (
		SELECT w.id FROM notification_deliveries w JOIN d ON w.notification_id = d.notification_id AND w.id <> d.id
		WHERE d.status = 'delivered' AND w.status = 'pending' AND w.owner IS NULL AND w.unanswered
			AND w.deployment_id IS DISTINCT FROM d.deployment_id
		LIMIT @most FOR UPDATE OF w SKIP LOCKED
	), woken AS (
		UPDATE notification_deliveries w SET next_attempt_at = clock_timestamp(), unanswered = false
		FROM waiting WHERE w.id = waiting.id
	)
	SELECT d.status, CASE WHEN d.status <> 'pending' THEN pg_notify('` + pg.Channel + `', '` + changed + `')::text END FROM d`

// FinishAttempt writes down what came of an attempt, and lets the delivery go. It answers with what the delivery is now:
// pending also where o gives it up, when its notification was changed since it was claimed. CodeOwnershipLost when another replica has
// it by now: nothing is written then.
func (s *Store) FinishAttempt(
	ctx context.Context, c *notification.ClaimedDelivery, o notification.Outcome,
) (notification.DeliveryStatus, error) {
	status, err := pg.QueryOne(ctx, s.db, func(row pgx.CollectableRow) (status notification.DeliveryStatus, err error) {
		err = row.Scan(&status, nil)
		return status, err //nolint:wrapcheck // wrapped below
	}, finishAttemptSQL, pgx.NamedArgs{
		"test": c.Message.IsTest(),
		"id":   c.ID, "owner": c.Owner, "epoch": c.Epoch, "status": string(o.Status), "unanswered": o.Unreachable,
		"notification": c.Subscription.ID, "revision": c.Subscription.Revision, "most": maxRows,
		"again": o.RetryIn, "result": string(o.Result), "detail": o.Detail,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return "", &problem.Error{Code: problem.CodeOwnershipLost, Message: "delivery " + c.ID + " was taken over, or its notification removed"}
	}
	return status, pg.Wrap("write down an attempt of delivery "+c.ID, err)
}
