package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/store/pg"
)

// storageFormat is the newest way of storing things that this version reads, and writes as soon as all others read it. 2: events
// of a save share a row, and targets in flight are beside their rows.
const storageFormat = 2

// Heartbeat extends the replica's lease, and returns the time of the database's clock. Rows of replicas that have been
// dead for an hour are removed. It finds out, too, what all replicas with a lease can read.
func (s *Store) Heartbeat(ctx context.Context, replica string, lease time.Duration) (now time.Time, err error) {
	const renew = `
		INSERT INTO replicas (id, started_at, renewed_at, expires_at, storage_format)
		SELECT $1, now, now, now + $2::interval, $3 FROM clock_timestamp() now
		ON CONFLICT (id) DO UPDATE SET renewed_at = excluded.renewed_at, expires_at = excluded.expires_at, storage_format = $3
		RETURNING renewed_at`
	const older = `SELECT EXISTS (SELECT FROM replicas WHERE storage_format < $1 AND expires_at > clock_timestamp())`
	const forget = `
		DELETE FROM replicas WHERE id IN (
			SELECT id FROM replicas WHERE expires_at < clock_timestamp() - interval '1 hour' FOR UPDATE SKIP LOCKED)`
	batch := &pgx.Batch{}
	batch.Queue(renew, replica, lease, storageFormat).QueryRow(func(row pgx.Row) error { return row.Scan((*pg.NullTime)(&now)) })
	batch.Queue(forget)
	batch.Queue(older, storageFormat).QueryRow(func(row pgx.Row) error {
		var older bool
		err := row.Scan(&older)
		s.compact.Store(err == nil && !older)
		return err //nolint:wrapcheck // wrapped below
	})
	err = s.db.SendBatch(ctx, batch).Close()
	return now, pg.Wrap("renew the lease of replica "+replica, err)
}

// DatabaseTime returns the database's clock.
func (s *Store) DatabaseTime(ctx context.Context) (time.Time, error) {
	now, err := pg.QueryOne(ctx, s.db, pgx.RowTo[time.Time], `SELECT clock_timestamp()`)
	return now.UTC(), pg.Wrap("read the clock", err)
}

const freeSQL = `
	WITH freed AS (
		UPDATE deployments SET owner = NULL, next_run_at = least(next_run_at, clock_timestamp())
		WHERE owner = $1 RETURNING id)
	SELECT pg_notify('` + pg.Channel + `', id::text) FROM freed`

// ReleaseDeployments gives up all deployments that the replica owns: others can claim them at once, without the event of a takeover.
// What was due before stays due since then, so that its next owner knows for how long it had no owner.
func (s *Store) ReleaseDeployments(ctx context.Context, replica string) error {
	_, err := s.db.Exec(ctx, freeSQL, replica)
	return pg.Wrap("give up the deployments of replica "+replica, err)
}

// ReleaseReplica ends the replica's lease when nothing is done in its name any more: whatever it still owns, also what was
// claimed for it after Release, is free from then on.
func (s *Store) ReleaseReplica(ctx context.Context, replica string) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(freeSQL, replica)
		batch.Queue(`DELETE FROM replicas WHERE id = $1`, replica)
		return pg.ExecBatch(ctx, tx, batch)
	})
	return pg.Wrap("sign off replica "+replica, err)
}

// OperatorRevisions returns the operator revisions of all deployments that the replica owns, by id.
func (s *Store) OperatorRevisions(ctx context.Context, replica string) (map[string]int64, error) {
	type entry struct {
		ID       string
		Revision int64
	}
	owned, err := pg.QueryAll(ctx, s.db, pgx.RowToStructByPos[entry],
		`SELECT id, operator_revision FROM deployments WHERE owner = $1`, replica)
	if err != nil {
		return nil, pg.Wrap("read what people asked of the deployments of replica "+replica, err)
	}
	revisions := make(map[string]int64, len(owned))
	for _, e := range owned {
		revisions[e.ID] = e.Revision
	}
	return revisions, nil
}
