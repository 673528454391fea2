package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/notifystore"
	"rollcall/internal/store/pg"
)

// seenAt is the place in a deployment's progress that changes with each look at its router; it alone is no news.
const seenAt = `'{router,seen_at}'`

// saveSQL writes one decision of the engine, or nothing when the deployment is not what the writer believes. It is a
// single statement, and so a single round trip and a single commit: a wave waits for nothing else.
const saveSQL = `
	WITH d AS (
		UPDATE deployments SET ` + statusColumns + `,
			revision = revision + (@news OR (state, direction, stop, reason, progress #- ` + seenAt + `, counts, deadline_at, next_action_at)
				IS DISTINCT FROM (@state, @direction, @stop, @reason, @progress::jsonb #- ` + seenAt + `, @counts::jsonb,
					@deadline_at::timestamptz, @next_action_at::timestamptz))::int,
			in_flight = @in_flight, saves = saves + 1, last_seq = last_seq + @events::int, events_hash = @events_hash,
			owner = CASE WHEN @release THEN NULL ELSE owner END
		WHERE id = @id AND (owner, epoch, saves, operator_revision, finished_at)
			IS NOT DISTINCT FROM (@owner::text, @epoch::bigint, @saves::bigint, @operator_revision::bigint, NULL)
		RETURNING id, service, environment, revision, saves, last_seq, last_seq - @events::int AS said, events_hash
	), logged AS (` + insertEventsSQL + `
	), changed AS (` + updateTargetsSQL + `
	), remembered AS (` + rememberSQL + `
	), fenced AS (` + fenceAddressesSQL + `
	)
	SELECT revision, last_seq, saves, events_hash FROM d`

// SaveDeployment writes one decision of the engine with all that belongs to it; see storage.SaveRequest for the fences. A second active
// deployment of a (service, environment) is CodeConflict. After any error nothing was written, except that CodeUnavailable
// and an ended context leave that open: the same save again finds out.
func (s *Store) SaveDeployment(ctx context.Context, save storage.SaveRequest) (storage.SaveResult, error) {
	saved, err := s.execSave(ctx, &save)
	if errors.Is(err, pgx.ErrNoRows) {
		saved, err = s.explainRejected(ctx, &save.Deployment)
	}
	if pg.ViolatesIndex(err, oneActive) {
		return storage.SaveResult{}, &problem.Error{
			Code: problem.CodeConflict, Err: err,
			Message: fmt.Sprintf("another deployment of %s in %s is active", save.Deployment.Service, save.Deployment.Environment),
		}
	}
	if err != nil {
		return storage.SaveResult{}, pg.Wrap("save deployment "+save.Deployment.ID, err)
	}
	s.db.AnnounceProgress(save.Deployment.ID)
	return saved, nil
}

// execSave runs the statement; for a deployment that ends also the one that lets the next begin, and for one that starts or ends
// those that report it. A batch is one transaction. It is built for each try: a batch that was sent once refers to the
// statements of the connection that it was sent on.
func (s *Store) execSave(ctx context.Context, save *storage.SaveRequest) (saved storage.SaveResult, err error) {
	args, err := saveArgs(save, s.compact.Load())
	if err != nil {
		return storage.SaveResult{}, err
	}
	err = pg.Retry(func() error {
		batch := &pgx.Batch{}
		if err := queueSave(batch, save, args, &saved); err != nil {
			return err
		}
		return s.db.SendBatch(ctx, batch).Close() //nolint:wrapcheck // the caller names the operation
	}, lostQueueRace)
	return saved, err //nolint:wrapcheck // the caller names the operation
}

func queueSave(batch *pgx.Batch, save *storage.SaveRequest, args pgx.NamedArgs, saved *storage.SaveResult) error {
	batch.Queue(saveSQL, args).QueryRow(func(row pgx.Row) error {
		return row.Scan(&saved.Revision, &saved.LastSeq, &saved.Saves, (*pg.NullHash)(&saved.EventsHash))
	})
	if d := &save.Deployment; !d.FinishedAt.IsZero() {
		queueWakeNext(batch, d)
	}
	return notifystore.EnqueueNotifications(batch, save)
}

// saveArgs returns the arguments of saveSQL. Unless compact, everything has a row of its own.
func saveArgs(save *storage.SaveRequest, compact bool) (pgx.NamedArgs, error) {
	d := &save.Deployment
	args := statusArgs(d, save.RunAt)
	args["id"], args["owner"], args["epoch"], args["saves"] = d.ID, d.Owner, d.Epoch, d.Saves
	args["operator_revision"] = d.OperatorRevision
	args["release"] = save.Release || !d.FinishedAt.IsZero()
	args["news"] = len(save.Events) > 0 || len(save.Targets)+len(save.InFlight) > 0
	if err := save.CheckTimes(); err != nil {
		return nil, err
	}
	after := *d
	events := after.AppendEvents(save.Events, d.Owner, time.Time{})
	if err := addEvents(args, events, groupEvents(events, compact)); err != nil {
		return nil, err
	}
	args["events_hash"] = pg.HashArg(after.EventsHash)
	all := slices.Concat(save.Targets, save.InFlight)
	rows, inFlight := save.Targets, save.InFlight
	if !compact {
		rows, inFlight = all, nil
	}
	var err error
	if args["in_flight"], err = encodeInFlight(inFlight); err != nil {
		return nil, err
	}
	if err := addTargets(args, rows); err != nil {
		return nil, err
	}
	addRemembered(args, d, rows)
	return args, addFences(args, all)
}

// explainRejected returns why a save was rejected, or its result when it had landed before.
func (s *Store) explainRejected(ctx context.Context, believed *rollout.Deployment) (storage.SaveResult, error) {
	const sql = `SELECT id, state, revision, operator_revision, owner, epoch, saves, last_seq, events_hash FROM deployments WHERE id = $1`
	stored, err := pg.QueryOne(ctx, s.db, func(row pgx.CollectableRow) (d rollout.Deployment, err error) {
		err = row.Scan(&d.ID, &d.State, &d.Revision, &d.OperatorRevision, (*pg.NullText)(&d.Owner), &d.Epoch, &d.Saves,
			&d.LastSeq, (*pg.NullHash)(&d.EventsHash))
		return d, err //nolint:wrapcheck // wrapped below
	}, sql, believed.ID)
	if errors.Is(err, pgx.ErrNoRows) {
		return storage.SaveResult{}, notFound(believed.ID)
	}
	if err != nil {
		return storage.SaveResult{}, fmt.Errorf("look why: %w", err)
	}
	saved := storage.SaveResult{Revision: stored.Revision, LastSeq: stored.LastSeq, Saves: stored.Saves, EventsHash: stored.EventsHash}
	if err := rejectedSave(&stored, believed); err != nil {
		return saved, err
	}
	return saved, pg.ConfirmDurable(ctx, s.db)
}

// rejectedSave compares what the writer believes with what is stored. None means that this very save is there already: no
// other writer can have counted saves in the writer's own epoch, so that holds even when it gave the deployment up.
func rejectedSave(stored, believed *rollout.Deployment) error {
	switch {
	case stored.Epoch == believed.Epoch && stored.Saves == believed.Saves+1:
		return nil
	case stored.OperatorRevision != believed.OperatorRevision && stored.Owner == believed.Owner &&
		stored.Epoch == believed.Epoch && stored.Saves == believed.Saves && !stored.State.Terminal():
		return &problem.Error{Code: problem.CodeStale, ID: stored.ID, Message: fmt.Sprintf(
			"deployment %s was changed by a person meanwhile", stored.ID)}
	default:
		return &problem.Error{Code: problem.CodeOwnershipLost, ID: stored.ID, Message: fmt.Sprintf(
			"deployment %s is not %s's in epoch %d any more", stored.ID, believed.Owner, believed.Epoch)}
	}
}
