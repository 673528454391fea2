package gitopsstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
	"rollcall/internal/store/pg"
)

// claimSourcesSQL claims what is due and free, or owned by a dead replica, or by an earlier process of the same name. The
// replica itself must be alive: others decide by its heartbeat whether its claim holds.
const claimSourcesSQL = `
	UPDATE gitops_sources s SET owner = @replica, epoch = s.epoch + 1 WHERE s.name IN (
		SELECT d.name FROM gitops_sources d
		WHERE (d.owner IS NULL AND d.next_run_at <= clock_timestamp() OR ` + pg.OwnerDead + `
			OR d.owner = @replica AND d.name <> ALL (@in_work::text[]))
			AND EXISTS (SELECT FROM replicas r WHERE r.id = @replica AND r.expires_at > clock_timestamp())
		ORDER BY d.next_run_at LIMIT @limit FOR UPDATE SKIP LOCKED)
	RETURNING ` + sourceColumns + `, s.epoch, clock_timestamp()`

// ClaimSources makes the replica the owner of at most limit sources that are due, beside those that it works on already
// (inWork). Each comes with its files and requests.
func (s *Store) ClaimSources(
	ctx context.Context, replica string, inWork []string, limit int,
) (claimed []gitsource.Claimed, err error) {
	err = s.db.InTx(ctx, func(tx pgx.Tx) (err error) {
		claimed, err = pg.QueryAll(ctx, tx, func(row pgx.CollectableRow) (gitsource.Claimed, error) {
			var c gitsource.Claimed
			var sealed []byte
			err := row.Scan(append(sourceFields(&c.Report, &sealed), &c.Claim.Epoch, (*pg.NullTime)(&c.Now))...)
			c.Source.Secrets = s.openSecrets(c.Source.Name, sealed)
			c.Claim.Name, c.Claim.Owner = c.Source.Name, replica
			return c, err //nolint:wrapcheck // wrapped below
		}, claimSourcesSQL, pgx.NamedArgs{"replica": replica, "in_work": pg.NonNil(inWork), "limit": limit})
		for i := range claimed {
			if err == nil {
				err = loadSource(ctx, tx, &claimed[i])
			}
		}
		return err
	})
	if err != nil {
		return nil, pg.Wrap("claim sources for replica "+replica, err)
	}
	return claimed, nil
}

// loadSource reads what belongs to a source: its files, its requests, and what other sources manage.
func loadSource(ctx context.Context, tx pgx.Tx, c *gitsource.Claimed) (err error) {
	if c.Files, err = queryFiles(ctx, tx, c.Source.Name); err != nil {
		return err
	}
	c.Requests, err = pg.QueryAll(ctx, tx, pgx.RowToStructByPos[gitsource.SyncRequest],
		`SELECT id, retry, release, service, environment FROM gitops_asks WHERE source = $1 ORDER BY id`, c.Source.Name)
	if err != nil {
		return fmt.Errorf("read the requests for source %s: %w", c.Source.Name, err)
	}
	c.ManagedElsewhere, err = managedElsewhere(ctx, tx, c.Source.Name)
	return err
}

// managedElsewhere returns by service and environment which other source manages it.
func managedElsewhere(ctx context.Context, q pg.Querier, source string) (map[string]string, error) {
	others := map[string]string{}
	_, err := pg.QueryAll(ctx, q, func(row pgx.CollectableRow) (struct{}, error) {
		var key, other string
		err := row.Scan(&key, &other)
		others[key] = other
		return struct{}{}, err //nolint:wrapcheck // wrapped below
	}, `SELECT service || '/' || environment, source FROM gitops_files WHERE service IS NOT NULL AND source <> $1`, source)
	if err != nil {
		return nil, fmt.Errorf("read what other sources manage: %w", err)
	}
	return others, nil
}

// ManagedElsewhere returns by "service/environment" which sources other than this one manage what.
func (s *Store) ManagedElsewhere(ctx context.Context, source string) (map[string]string, error) {
	others, err := managedElsewhere(ctx, s.db, source)
	return others, pg.Wrap("read what other sources manage", err)
}

// SaveSource writes what was found and done for a source. CodeOwnershipLost when the claim is no longer held: nothing is written
// then. CodeConflict when another source manages a key by now.
func (s *Store) SaveSource(ctx context.Context, save gitsource.Save) error {
	err := s.db.InTx(ctx, func(tx pgx.Tx) error { return saveSource(ctx, tx, &save) })
	if pg.ViolatesIndex(err, onePerKey) {
		return &problem.Error{Code: problem.CodeConflict, Message: "another source has begun to manage the same service", Err: err}
	}
	return pg.Wrap("save source "+save.Claim.Name, err)
}

const onePerKey = "gitops_files_one_per_pair"

func saveSource(ctx context.Context, tx pgx.Tx, save *gitsource.Save) error {
	const sql = `
		UPDATE gitops_sources SET state = @state, reason = @reason, error = @error, desired_revision = @desired,
			actual_revision = @actual, last_sync_at = @last, last_good_sync_at = @last_good, next_sync_at = @next,
			failures = @failures, rewrite = @rewrite, drifted = @drifted, serial = @serial, removed = @removed,
			owner = CASE WHEN @release THEN NULL ELSE owner END, next_run_at = @run_at
		WHERE name = @name AND owner = @owner AND epoch = @epoch`
	now := &save.Status
	tag, err := tx.Exec(ctx, sql, pgx.NamedArgs{
		"state": string(now.State), "reason": now.Reason, "error": now.Error, "desired": now.DesiredRevision, "actual": now.ActualRevision,
		"last": pg.TimeArg(now.LastSyncAt), "last_good": pg.TimeArg(now.LastGoodSyncAt), "next": pg.TimeArg(now.NextSyncAt), "failures": now.Failures,
		"rewrite": now.Rewrite, "removed": now.Removed, "drifted": now.Drifted, "serial": now.Serial, "release": save.Release, "run_at": save.RunAt,
		"name": save.Claim.Name, "owner": save.Claim.Owner, "epoch": save.Claim.Epoch,
	})
	if err != nil {
		return fmt.Errorf("write the source's status: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return claimLostError(&save.Claim)
	}
	batch := &pgx.Batch{}
	queueFiles(batch, save)
	batch.Queue(`DELETE FROM gitops_asks WHERE source = $1 AND id <= $2`, save.Claim.Name, save.AckedRequests)
	// A request that came while the source was worked on does not wait for the next poll.
	batch.Queue(`UPDATE gitops_sources s SET next_run_at = clock_timestamp()
		WHERE name = $1 AND EXISTS (SELECT FROM gitops_asks a WHERE a.source = s.name)`, save.Claim.Name)
	return pg.ExecBatch(ctx, tx, batch)
}

func queueFiles(batch *pgx.Batch, save *gitsource.Save) {
	if save.Files == nil {
		return
	}
	batch.Queue(`DELETE FROM gitops_files WHERE source = $1`, save.Claim.Name)
	for i := range save.Files {
		f := &save.Files[i]
		var service, environment string
		if f.Want != nil {
			service, environment = f.Want.Service, f.Want.Environment
		}
		batch.Queue(`INSERT INTO gitops_files (source, path, service, environment, record) VALUES ($1, $2, $3, $4, $5)`,
			save.Claim.Name, f.Path, pg.TextArg(service), pg.TextArg(environment), f)
	}
}

// ReleaseSources releases all sources that the replica owns: others continue at once.
func (s *Store) ReleaseSources(ctx context.Context, replica string) error {
	_, err := s.db.Exec(ctx, `UPDATE gitops_sources SET owner = NULL WHERE owner = $1`, replica)
	return pg.Wrap("release the sources of replica "+replica, err)
}

// SourceGauges returns the metrics of each source.
func (s *Store) SourceGauges(ctx context.Context) ([]gitsource.Gauge, error) {
	const sql = `SELECT name, state, drifted, extract(epoch FROM clock_timestamp() - coalesce(last_good_sync_at, created_at))::float8
		FROM gitops_sources ORDER BY name`
	gauges, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (gitsource.Gauge, error) {
		var g gitsource.Gauge
		var age float64
		err := row.Scan(&g.Source, &g.State, &g.Drifted, &age)
		g.Age = time.Duration(age * float64(time.Second))
		return g, err //nolint:wrapcheck // wrapped below
	}, sql)
	return gauges, pg.Wrap("read the state of the sources", err)
}
