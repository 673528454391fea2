package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/store/notifystore"
	"rollcall/internal/store/pg"
)

// UpdateDeployment changes a deployment on behalf of a person, whichever replica owns it. change sees the deployment as it is,
// locked, and the database's time; it must be pure, for it is called again when the transaction lost a race. What it may
// change are the operator's wishes, state, direction, stop, reason, progress, counts, deadline, next action and result; a
// terminal state ends the deployment, settles the targets whose turn never came and wakes the next one of the same service
// and environment.
//
// When change gives an error, or no events, nothing is written. ifRevision other than 0 must be the present revision, else
// CodeStale. CodeNotFound when there is no such deployment, CodeConflict when it has ended and change wants more.
func (s *Store) UpdateDeployment(
	ctx context.Context, id string, ifRevision int64,
	change func(d *rollout.Deployment, now time.Time) ([]rollout.Event, error),
) (rollout.Deployment, error) {
	if !pg.ValidID(id) {
		return rollout.Deployment{}, notFound(id)
	}
	var changed rollout.Deployment
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		changed, err = applyUpdate(ctx, tx, id, ifRevision, change)
		return err
	})
	if err != nil {
		return rollout.Deployment{}, pg.Wrap("change deployment "+id, err)
	}
	s.revealSecrets(&changed)
	return changed, nil
}

func applyUpdate(
	ctx context.Context, tx pgx.Tx, id string, ifRevision int64,
	change func(d *rollout.Deployment, now time.Time) ([]rollout.Event, error),
) (rollout.Deployment, error) {
	stored, err := queryDeployment(ctx, tx, `SELECT `+deploymentColumns+` FROM deployments d WHERE d.id = $1 FOR UPDATE`, id)
	if err != nil {
		return rollout.Deployment{}, err
	}
	if ifRevision != 0 && ifRevision != stored.Revision {
		return rollout.Deployment{}, &problem.Error{
			Code: problem.CodeStale, ID: id,
			Message: fmt.Sprintf("deployment %s is at revision %d, not %d", id, stored.Revision, ifRevision),
		}
	}
	now, err := pg.ReadClock(ctx, tx)
	if err != nil {
		return rollout.Deployment{}, err
	}
	d := stored
	events, err := change(&d, now)
	if err == nil && len(events) == 0 {
		err = pg.ConfirmDurable(ctx, tx)
	}
	if err != nil || len(events) == 0 {
		return stored, err
	}
	if stored.State.Terminal() {
		return stored, &problem.Error{Code: problem.CodeConflict, ID: id, Message: fmt.Sprintf("deployment %s has ended: it is %s", id, stored.State)}
	}
	return d, writeUpdate(ctx, tx, &d, events, now)
}

func writeUpdate(ctx context.Context, tx pgx.Tx, d *rollout.Deployment, events []rollout.Event, now time.Time) error {
	d.Revision++
	d.OperatorRevision++
	batch := &pgx.Batch{}
	if err := queueEvents(batch, d, events, now); err != nil {
		return err
	}
	if d.State.Terminal() {
		setEndFields(d, now)
		queueUntouched(batch, d.ID, now)
	}
	batch.Queue(updateDeploymentSQL, updateDeployment(d))
	if d.State.Terminal() {
		queueWakeNext(batch, d)
		if err := notifystore.EnqueueNotification(batch, d, d.FinishedAt); err != nil {
			return err
		}
	}
	batch.Queue(pg.NotifySQL, d.ID)
	return pg.ExecBatch(ctx, tx, batch)
}
