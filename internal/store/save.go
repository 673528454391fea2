package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/rollout"
)

// Save writes one decision of the engine with all that belongs to it; see rollout.Save for the fences. A second active
// deployment of a (service, environment) is CodeConflict. After any error nothing was written, except that CodeUnavailable
// and an ended context leave that open: the same save again finds out.
func (s *Store) Save(ctx context.Context, save rollout.Save) (rollout.Saved, error) {
	var saved rollout.Saved
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		saved, err = store(ctx, tx, save)
		return err
	})
	if violates(err, oneActive) {
		return rollout.Saved{}, &rollout.Error{
			Code: rollout.CodeConflict, Err: err,
			Message: fmt.Sprintf("another deployment of %s in %s is active", save.Deployment.Service, save.Deployment.Environment),
		}
	}
	if err != nil {
		return rollout.Saved{}, failed("save deployment "+save.Deployment.ID, err)
	}
	return saved, nil
}

func store(ctx context.Context, tx pgx.Tx, save rollout.Save) (rollout.Saved, error) {
	stored, now, err := lockForSave(ctx, tx, save.Deployment.ID)
	if err != nil {
		return rollout.Saved{}, err
	}
	landed, err := check(&stored, &save.Deployment)
	if err != nil || landed {
		return counters(&stored), err
	}
	d := next(&stored, &save)
	batch := &pgx.Batch{}
	if err := queueEvents(batch, &d, signed(save.Events, &save.Deployment), now); err != nil {
		return rollout.Saved{}, err
	}
	if err := queueTargets(batch, &d, save.Targets, now); err != nil {
		return rollout.Saved{}, err
	}
	queueRouter(batch, &d, now)
	batch.Queue(updateDeploymentSQL, updateDeployment(&d, orNow(save.RunAt, now)))
	if !d.FinishedAt.IsZero() {
		queueWakeNext(batch, &d, now)
	}
	if d.Revision > stored.Revision || d.Owner == "" {
		batch.Queue(notifySQL, progressMark+d.ID)
	}
	return counters(&d), send(ctx, tx, batch)
}

// lockForSave locks a deployment and reads what a save is compared with: its fences and what the API shows of it.
func lockForSave(ctx context.Context, tx pgx.Tx, id string) (rollout.Deployment, time.Time, error) {
	const sql = `
		SELECT id, service, environment, state, direction, stop, reason, progress, counts, started_at, finished_at,
			deadline_at, next_action_at, revision, operator_revision, owner, epoch, saves, last_seq, clock_timestamp()
		FROM deployments WHERE id = $1 FOR UPDATE`
	var d rollout.Deployment
	var now time.Time
	err := tx.QueryRow(ctx, sql, id).Scan(&d.ID, &d.Service, &d.Environment, &d.State, &d.Direction, &d.Stop, &d.Reason,
		&d.Progress, &d.Counts, (*instant)(&d.StartedAt), (*instant)(&d.FinishedAt), (*instant)(&d.DeadlineAt),
		(*instant)(&d.NextActionAt), &d.Revision, &d.OperatorRevision, (*word)(&d.Owner), &d.Epoch, &d.Saves, &d.LastSeq,
		(*instant)(&now))
	if errors.Is(err, pgx.ErrNoRows) {
		return d, now, notFound(id)
	}
	if err != nil {
		return d, now, fmt.Errorf("lock the deployment: %w", err)
	}
	return d, now, nil
}

// check compares what the writer believes with what is stored. landed means that this very save is there already: nobody
// else can have counted saves in the writer's own epoch, so that holds even when it gave the deployment up.
func check(stored, believed *rollout.Deployment) (landed bool, err error) {
	switch {
	case stored.Epoch == believed.Epoch && stored.Saves == believed.Saves+1:
		return true, nil
	case stored.Epoch != believed.Epoch, stored.Owner != believed.Owner, stored.Owner == "",
		stored.Saves != believed.Saves, stored.State.Terminal():
		return false, &rollout.Error{Code: rollout.CodeLost, ID: stored.ID, Message: fmt.Sprintf(
			"deployment %s is not %s's in epoch %d any more", stored.ID, believed.Owner, believed.Epoch)}
	case stored.OperatorRevision != believed.OperatorRevision:
		return false, &rollout.Error{Code: rollout.CodeStale, ID: stored.ID, Message: fmt.Sprintf(
			"deployment %s was changed by a person meanwhile", stored.ID)}
	default:
		return false, nil
	}
}

// next is the deployment as the save leaves it.
func next(stored *rollout.Deployment, save *rollout.Save) rollout.Deployment {
	d := save.Deployment
	d.Service, d.Environment, d.LastSeq = stored.Service, stored.Environment, stored.LastSeq
	d.Saves = stored.Saves + 1
	d.Revision = stored.Revision
	if len(save.Events) > 0 || len(save.Targets) > 0 || differs(stored, &d) {
		d.Revision++
	}
	if save.Release || !d.FinishedAt.IsZero() {
		d.Owner = ""
	}
	return d
}

// differs reports whether the API would show the two differently.
func differs(a, b *rollout.Deployment) bool {
	return a.State != b.State || a.Direction != b.Direction || a.Stop != b.Stop || a.Reason != b.Reason ||
		a.Counts != b.Counts || !sameProgress(a.Progress, b.Progress) ||
		!sameInstant(a.DeadlineAt, b.DeadlineAt) || !sameInstant(a.NextActionAt, b.NextActionAt)
}

func sameProgress(a, b rollout.Progress) bool {
	for _, times := range [][2]*time.Time{
		{&a.WaveStartedAt, &b.WaveStartedAt}, {&a.WaveSettledAt, &b.WaveSettledAt}, {&a.At, &b.At}, {&a.HeldAt, &b.HeldAt},
	} {
		if !times[0].Equal(*times[1]) {
			return false
		}
		*times[0], *times[1] = time.Time{}, time.Time{}
	}
	return a == b
}

// signed gives the engine's events the replica that wrote them.
func signed(events []rollout.Event, d *rollout.Deployment) []rollout.Event {
	out := make([]rollout.Event, len(events))
	for i, e := range events {
		if e.Replica == "" {
			e.Replica = d.Owner
		}
		out[i] = e
	}
	return out
}

func counters(d *rollout.Deployment) rollout.Saved {
	return rollout.Saved{Revision: d.Revision, LastSeq: d.LastSeq, Saves: d.Saves}
}
