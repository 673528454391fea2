package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/rollout"
)

// lockPair makes creations for one (service, environment) wait for each other, and locks the deployments of it that have
// not ended: the active one first, then the one that waits. Saves lock in the same order.
func lockPair(
	ctx context.Context, tx pgx.Tx, service, environment string,
) (now time.Time, unfinished []rollout.Deployment, err error) {
	const lock = `SELECT pg_advisory_xact_lock(hashtextextended($1 || '/' || $2, 0))`
	if _, err := tx.Exec(ctx, lock, service, environment); err != nil {
		return now, nil, fmt.Errorf("lock %s in %s: %w", service, environment, err)
	}
	unfinished, err = all(ctx, tx, scanDeployment, `SELECT `+deploymentColumns+` FROM deployments d
		WHERE d.service = $1 AND d.environment = $2 AND d.finished_at IS NULL
		ORDER BY d.started_at IS NULL, d.id FOR UPDATE`, service, environment)
	if err != nil {
		return now, nil, fmt.Errorf("lock the deployments of %s in %s: %w", service, environment, err)
	}
	now, err = clock(ctx, tx)
	return now, unfinished, err
}

// Busy reports whether a deployment of the pair has not ended.
func (s *Store) Busy(ctx context.Context, service, environment string) (bool, error) {
	busy, err := one(ctx, s.pool, pgx.RowTo[bool], `SELECT EXISTS (
		SELECT FROM deployments WHERE service = $1 AND environment = $2 AND finished_at IS NULL)`, service, environment)
	return busy, failed("look for deployments of "+service+" in "+environment, err)
}

// clock is the database's time now.
func clock(ctx context.Context, q querier) (time.Time, error) {
	var now time.Time
	now, err := one(ctx, q, func(row pgx.CollectableRow) (time.Time, error) {
		err := row.Scan((*instant)(&now))
		return now, err //nolint:wrapcheck // said below
	}, `SELECT clock_timestamp()`)
	if err != nil {
		return now, fmt.Errorf("read the database's clock: %w", err)
	}
	return now, nil
}

func conflict(other *rollout.Deployment) error {
	return &rollout.Error{
		Code: rollout.CodeConflict, ID: other.ID,
		Message: fmt.Sprintf("deployment %s of %s in %s has not ended: it is %s", other.ID, other.Service, other.Environment, other.State),
	}
}

// supersede adds to the batch what ends a waiting deployment in favour of a newer one. It has touched nothing.
func supersede(batch *pgx.Batch, d *rollout.Deployment, by string, now time.Time) error {
	from := d.State
	d.State, d.Reason = rollout.StateSuperseded, "superseded by deployment "+by
	end(d, now)
	d.Result.Metadata["superseded_by"] = by
	d.Revision++
	event := rollout.Event{Type: rollout.EventSuperseded, From: string(from), To: string(d.State), Message: d.Reason}
	if err := queueEvents(batch, d, []rollout.Event{event}, now); err != nil {
		return err
	}
	batch.Queue(updateDeploymentSQL, updateDeployment(d, now))
	queueUntouched(batch, d.ID, now)
	batch.Queue(notifySQL, d.ID)
	return nil
}

// end gives a deployment whose state is terminal what belongs to its end and is not there yet.
func end(d *rollout.Deployment, now time.Time) {
	d.FinishedAt = orNow(d.FinishedAt, now)
	d.DeadlineAt, d.NextActionAt, d.Progress.HeldAt = time.Time{}, time.Time{}, time.Time{}
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

// queueWakeNext adds to the batch what makes the next deployment of the pair be claimed at once.
func queueWakeNext(batch *pgx.Batch, d *rollout.Deployment, now time.Time) {
	const sql = `
		WITH woken AS (
			UPDATE deployments SET next_run_at = $4
			WHERE service = $1 AND environment = $2 AND id <> $3 AND started_at IS NULL AND finished_at IS NULL
			RETURNING id)
		SELECT pg_notify('` + channel + `', id::text) FROM woken`
	batch.Queue(sql, d.Service, d.Environment, d.ID, now)
}
