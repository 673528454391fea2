package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/notifystore"
	"rollcall/internal/store/pg"
)

// admission is what a creation finds once it holds the lock of its service and environment.
type admission struct {
	keyUsed    bool
	now        time.Time
	unfinished []rollout.Deployment
	// ofService is how many of the service have not ended, over all environments; counted only where a request bounds them.
	ofService int
}

// unfinishedSQL counts in two parts, because each has an index of its own that only has what is unfinished.
const unfinishedSQL = `
	SELECT (SELECT count(*) FROM deployments WHERE service = $1 AND started_at IS NOT NULL AND finished_at IS NULL)
		+ (SELECT count(*) FROM deployments WHERE service = $1 AND started_at IS NULL AND finished_at IS NULL)`

// lockServiceSQL makes creations that add to what a service has unfinished wait for each other, so that each counts those
// before it. One that takes the place of another of the same service and environment adds nothing, and does not wait. It
// comes after the locks of service and environment, and nothing that holds it waits for one of those.
const lockServiceSQL = `
	SELECT pg_advisory_xact_lock(hashtextextended($1 || '/', 0)) WHERE NOT EXISTS (
		SELECT FROM deployments WHERE service = $1 AND environment = $2 AND started_at IS NULL AND finished_at IS NULL)`

// lockForCreate reserves the request's key, makes creations for one (service, environment) wait for each other, and locks the
// deployments of it that have not ended: the active one first, then the one that waits. Saves lock in the same order.
func lockForCreate(ctx context.Context, tx pgx.Tx, request *storage.NewDeployment) (t admission, err error) {
	d, key := &request.Deployment, request.Key
	batch := &pgx.Batch{}
	batch.Queue(`SET LOCAL lock_timeout = '` + keyWait + `'`)
	if key.Value != "" {
		batch.Queue(reserveKeySQL, key.Caller, key.Value, key.Hash[:], d.ID, key.NoExpiry)
	}
	batch.Queue(`SELECT pg_advisory_xact_lock(hashtextextended($1 || '/' || $2, 0))`, d.Service, d.Environment)
	batch.Queue(`SELECT `+deploymentColumns+` FROM deployments d
		WHERE d.service = $1 AND d.environment = $2 AND d.finished_at IS NULL
		ORDER BY d.started_at IS NULL, d.id FOR UPDATE`, d.Service, d.Environment)
	batch.Queue(`SELECT clock_timestamp()`)
	if request.QueueLimit > 0 {
		batch.Queue(lockServiceSQL, d.Service, d.Environment)
		batch.Queue(unfinishedSQL, d.Service)
	}

	results := tx.SendBatch(ctx, batch)
	defer func() {
		if closed := results.Close(); err == nil && closed != nil {
			err = fmt.Errorf("take the turn of %s in %s: %w", d.Service, d.Environment, closed)
		}
	}()
	if _, err := results.Exec(); err != nil {
		return t, fmt.Errorf("bound the wait for locks: %w", err)
	}
	if key.Value != "" {
		drawn, err := keyReserved(results)
		if err != nil {
			return t, err
		}
		t.keyUsed = !drawn
	}
	if _, err := results.Exec(); err != nil {
		return t, fmt.Errorf("wait for the turn of %s in %s: %w", d.Service, d.Environment, err)
	}
	err = t.readUnfinished(results, request)
	return t, err
}

// readUnfinished reads what has not ended, once the lock is held.
func (t *admission) readUnfinished(results pgx.BatchResults, request *storage.NewDeployment) error {
	d := &request.Deployment
	rows, err := results.Query()
	if err != nil {
		return fmt.Errorf("lock the deployments of %s in %s: %w", d.Service, d.Environment, err)
	}
	if t.unfinished, err = pgx.CollectRows(rows, scanDeployment); err != nil {
		return fmt.Errorf("lock the deployments of %s in %s: %w", d.Service, d.Environment, err)
	}
	if err := results.QueryRow().Scan((*pg.NullTime)(&t.now)); err != nil {
		return fmt.Errorf("read the database's clock: %w", err)
	}
	if request.QueueLimit == 0 {
		return nil
	}
	if _, err := results.Exec(); err != nil {
		return fmt.Errorf("wait for other creations of %s: %w", d.Service, err)
	}
	if err := results.QueryRow().Scan(&t.ofService); err != nil {
		return fmt.Errorf("count the unfinished deployments of %s: %w", d.Service, err)
	}
	return nil
}

// HasUnfinished reports whether a deployment of the service and environment has not ended.
func (s *Store) HasUnfinished(ctx context.Context, service, environment string) (bool, error) {
	busy, err := pg.QueryOne(ctx, s.db, pgx.RowTo[bool], `SELECT EXISTS (
		SELECT FROM deployments WHERE service = $1 AND environment = $2 AND finished_at IS NULL)`, service, environment)
	return busy, pg.Wrap("look for deployments of "+service+" in "+environment, err)
}

func conflictWith(other *rollout.Deployment) error {
	return &problem.Error{
		Code: problem.CodeConflict, ID: other.ID,
		Message: fmt.Sprintf("deployment %s of %s in %s has not ended: it is %s", other.ID, other.Service, other.Environment, other.State),
	}
}

// queueSupersede adds to the batch what ends a waiting deployment in favour of a newer one. It has touched nothing.
func queueSupersede(batch *pgx.Batch, d *rollout.Deployment, by string, now time.Time) error {
	from := d.State
	d.State, d.Reason = rollout.StateSuperseded, "superseded by deployment "+by
	setEndFields(d, now)
	d.Result.Metadata["superseded_by"] = by
	d.Revision++
	event := rollout.Event{Type: rollout.EventSuperseded, From: string(from), To: string(d.State), Message: d.Reason}
	if err := queueEvents(batch, d, []rollout.Event{event}, now); err != nil {
		return err
	}
	batch.Queue(updateDeploymentSQL, updateDeployment(d))
	queueUntouched(batch, d.ID, now)
	batch.Queue(pg.NotifySQL, d.ID)
	return notifystore.EnqueueNotification(batch, d, now)
}

// setEndFields returns a deployment whose state is terminal what belongs to its end and is not there yet.
func setEndFields(d *rollout.Deployment, now time.Time) {
	d.FinishedAt = orNow(d.FinishedAt, now)
	d.DeadlineAt, d.NextActionAt, d.Progress.PausedAt = time.Time{}, time.Time{}, time.Time{}
	d.Owner = ""
	if d.Result == nil {
		d.Result = &rollout.Result{
			State: d.State, TargetsUpdated: d.Counts.Updated, TargetsFailed: d.Counts.Failed,
			TargetsRolledBack: d.Counts.RolledBack, Errors: []rollout.TargetError{}, Metadata: map[string]any{},
		}
	}
}

// queueUntouched adds to the batch what settles the targets whose turn never came. The planner does so for deployments
// that have begun; this is for those that end before.
func queueUntouched(batch *pgx.Batch, id string, now time.Time) {
	const sql = `UPDATE deployment_targets SET state = 'unchanged', phase = 'settled', updated_at = $2
		WHERE deployment_id = $1 AND state = 'pending'`
	batch.Queue(sql, id, now)
}

// queueWakeNext adds to the batch what makes the next deployment of the same service and environment be claimed at
// once, if d has ended.
func queueWakeNext(batch *pgx.Batch, d *rollout.Deployment) {
	const sql = `
		WITH woken AS (
			UPDATE deployments next SET next_run_at = clock_timestamp()
			FROM deployments d
			WHERE d.id = $1 AND d.finished_at IS NOT NULL AND next.service = d.service AND next.environment = d.environment
				AND next.id <> d.id AND next.started_at IS NULL AND next.finished_at IS NULL
			RETURNING next.id)
		SELECT pg_notify('` + pg.Channel + `', id::text) FROM woken`
	batch.Queue(sql, d.ID)
}
