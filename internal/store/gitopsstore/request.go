package gitopsstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// pushTTL is how long push notifications are remembered, as PostgreSQL spells it. One that comes again later only
// causes a sync that finds nothing new.
const pushTTL = `interval '30 days'`

// RequestSync requests a sync, which some replica begins at once; CodeNotFound when there is no such source.
func (s *Store) RequestSync(ctx context.Context, source string, request gitsource.SyncRequest) error {
	err := s.db.InTx(ctx, func(tx pgx.Tx) error { return requestSync(ctx, tx, source, request) })
	return pg.Wrap("request a sync of source "+source, err)
}

func requestSync(ctx context.Context, tx pgx.Tx, source string, request gitsource.SyncRequest) error {
	const due = `UPDATE gitops_sources SET next_run_at = clock_timestamp() WHERE name = $1`
	tag, err := tx.Exec(ctx, due, source)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	if tag.RowsAffected() == 0 {
		return pg.NotFound("source", source)
	}
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO gitops_asks (source, retry, release, service, environment, asked_at)
		VALUES ($1, $2, $3, $4, $5, clock_timestamp())`, source, request.Retry, request.Release, request.Service, request.Environment)
	batch.Queue(pg.NotifySQL, sourcesChanged)
	return pg.ExecBatch(ctx, tx, batch)
}

// RecordPush requests a sync because of a push notification; false when it came before, and then does nothing.
func (s *Store) RecordPush(ctx context.Context, p gitsource.Push) (fresh bool, err error) {
	err = s.db.InTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO gitops_deliveries (source, digest, received_at)
			SELECT name, $2, clock_timestamp() FROM gitops_sources WHERE name = $1 ON CONFLICT DO NOTHING`, p.Source, p.Digest[:])
		if fresh = err == nil && tag.RowsAffected() == 1; !fresh {
			return err //nolint:wrapcheck // wrapped below
		}
		return requestSync(ctx, tx, p.Source, gitsource.SyncRequest{})
	})
	return fresh, pg.Wrap("record a push notification for source "+p.Source, err)
}

// HoldClaim returns CodeOwnershipLost unless the claim is held, and keeps it so until the transaction ends; nil is always
// held.
func HoldClaim(ctx context.Context, tx pgx.Tx, c *storage.SourceClaim) error {
	if c == nil {
		return nil
	}
	const sql = `SELECT true FROM gitops_sources WHERE name = $1 AND owner = $2 AND epoch = $3 FOR SHARE`
	_, err := pg.QueryOne(ctx, tx, pgx.RowTo[bool], sql, c.Name, c.Owner, c.Epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return claimLostError(c)
	}
	return err
}

func claimLostError(c *storage.SourceClaim) error {
	return &problem.Error{Code: problem.CodeOwnershipLost, Message: "source " + c.Name + " was changed, removed, or taken over"}
}
