package gitopsstore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"rollcall/internal/gitsource"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// maxSources bounds the number of sources, and so of the metric series that are named after them.
const maxSources = 200

// sourceColumns are what scanSource reads, in this order, of a table called s.
const sourceColumns = `s.id, s.name, s.url, s.branch, s.path, s.interval_ns, s.heal, s.username, s.allowed_signers, s.known_hosts,
	s.secrets, s.revision, s.created_at, s.updated_at,
	s.state, s.reason, s.error, s.desired_revision, s.actual_revision, s.last_sync_at, s.last_good_sync_at, s.next_sync_at,
	s.failures, s.rewrite, s.drifted, s.serial, s.allow_empty, s.removed`

// scanSource reads sourceColumns, and opens the secrets.
func (s *Store) scanSource(row pgx.CollectableRow) (gitsource.Report, error) {
	var r gitsource.Report
	var sealed []byte
	err := row.Scan(sourceFields(&r, &sealed)...)
	r.Source.Secrets = s.openSecrets(r.Source.Name, sealed)
	return r, err //nolint:wrapcheck // the caller names the operation
}

// sourceFields returns the places for sourceColumns.
func sourceFields(r *gitsource.Report, sealed *[]byte) []any {
	s, at := &r.Source, &r.Status
	return []any{
		&s.ID, &s.Name, &s.URL, &s.Branch, &s.Path, (*int64)(&s.Interval), &s.Heal, &s.Username, &s.AllowedSigners, &s.KnownHosts,
		sealed, &s.Revision, (*pg.NullTime)(&s.CreatedAt), (*pg.NullTime)(&s.UpdatedAt),
		&at.State, &at.Reason, &at.Error, &at.DesiredRevision, &at.ActualRevision, (*pg.NullTime)(&at.LastSyncAt),
		(*pg.NullTime)(&at.LastGoodSyncAt), (*pg.NullTime)(&at.NextSyncAt), &at.Failures, &at.Rewrite, &at.Drifted, &at.Serial,
		&s.AllowEmpty, &at.Removed,
	}
}

// sourceTable returns the table of sources.
func (s *Store) sourceTable() pg.NamedTable[gitsource.Report] {
	return pg.NamedTable[gitsource.Report]{
		Thing: "source", Table: "gitops_sources", Cursor: "g", Max: maxSources,
		Read: `SELECT ` + sourceColumns + ` FROM gitops_sources s WHERE`, Scan: s.scanSource,
		NameOf: func(r *gitsource.Report) string { return r.Source.Name },
	}
}

// Source returns a source with its files; CodeNotFound when there is none of that name.
func (s *Store) Source(ctx context.Context, name string) (gitsource.Report, error) {
	report, err := s.SourceWithoutFiles(ctx, name)
	if err != nil {
		return report, err
	}
	report.Files, err = queryFiles(ctx, s.db, name)
	return report, pg.Wrap("read source "+name, err)
}

// SourceWithoutFiles returns a source without its files, of which there may be thousands.
func (s *Store) SourceWithoutFiles(ctx context.Context, name string) (gitsource.Report, error) {
	return s.sourceTable().Get(ctx, s.db, name)
}

// SourceIDs returns the ids of all sources.
func (s *Store) SourceIDs(ctx context.Context) ([]string, error) {
	ids, err := pg.QueryAll(ctx, s.db, pgx.RowTo[string], `SELECT id::text FROM gitops_sources`)
	return ids, pg.Wrap("list the ids of sources", err)
}

func queryFiles(ctx context.Context, q pg.Querier, source string) ([]gitsource.File, error) {
	files, err := pg.QueryAll(ctx, q, pgx.RowTo[gitsource.File],
		`SELECT record FROM gitops_files WHERE source = $1 ORDER BY path COLLATE "C"`, source)
	if err != nil {
		return nil, fmt.Errorf("read the files of source %s: %w", source, err)
	}
	return files, nil
}

// Sources lists the sources in the order of their names, without their files.
func (s *Store) Sources(ctx context.Context, p storage.Page) (storage.List[gitsource.Report], error) {
	return s.sourceTable().List(ctx, s.db, p)
}

// UpdateSource replaces the present source with what change returns; change is called with nil when there is none, and returns
// nil to remove it, or its argument to leave it as it is. It must be pure, for it may be called again. The replica that works
// on the source loses its claim. One whose URL, branch or path are others is a new source under the old name, without files
// and status.
func (s *Store) UpdateSource(
	ctx context.Context, name string, change func(present *gitsource.Source) (*gitsource.Source, error),
) (gitsource.Report, error) {
	var stored gitsource.Report
	err := s.db.InTx(ctx, func(tx pgx.Tx) (err error) {
		stored, err = s.updateSource(ctx, tx, name, change)
		return err
	})
	if err != nil {
		return gitsource.Report{}, pg.Wrap("change source "+name, err)
	}
	return stored, nil
}

func (s *Store) updateSource(
	ctx context.Context, tx pgx.Tx, name string, change func(present *gitsource.Source) (*gitsource.Source, error),
) (gitsource.Report, error) {
	report, err := s.sourceTable().Lock(ctx, tx, name)
	if err != nil {
		return gitsource.Report{}, err
	}
	var present *gitsource.Source
	if report != nil {
		present = &report.Source
	}
	next, err := change(present)
	switch {
	case err != nil || present == nil && next == nil:
		return gitsource.Report{}, err
	case next == present:
		return s.sourceTable().Get(ctx, tx, name)
	case next == nil:
		_, err := tx.Exec(ctx, `DELETE FROM gitops_sources WHERE name = $1`, name)
		return gitsource.Report{}, err //nolint:wrapcheck // wrapped by the caller
	}
	now, err := pg.ReadClock(ctx, tx)
	if err != nil {
		return gitsource.Report{}, err
	}
	defined := *next
	defined.Name, defined.CreatedAt, defined.UpdatedAt, defined.Revision = name, now, now, 1
	if present != nil {
		defined.CreatedAt, defined.Revision = present.CreatedAt, present.Revision+1
	}
	if err := s.writeSource(ctx, tx, present, &defined, now); err != nil {
		return gitsource.Report{}, err
	}
	return s.sourceTable().Get(ctx, tx, name)
}

func (s *Store) writeSource(ctx context.Context, tx pgx.Tx, present, next *gitsource.Source, now time.Time) error {
	if present == nil {
		if err := s.sourceTable().CheckCapacity(ctx, tx); err != nil {
			return err
		}
	}
	sealed, err := s.sealSecrets(next)
	if err != nil {
		return err
	}
	if present != nil && present.URL == next.URL && present.Branch == next.Branch && present.Path == next.Path {
		next.ID = present.ID
	} else {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make an id: %w", err)
		}
		next.ID = id.String()
		if _, err := tx.Exec(ctx, `DELETE FROM gitops_sources WHERE name = $1`, next.Name); err != nil {
			return fmt.Errorf("remove the previous source: %w", err)
		}
	}
	const sql = `
		INSERT INTO gitops_sources AS s (name, id, url, branch, path, interval_ns, heal, username, allowed_signers, known_hosts,
			secrets, revision, created_at, updated_at, next_run_at, allow_empty)
		VALUES (@name, @id, @url, @branch, @path, @interval, @heal, @username, @signers, @hosts,
			@secrets, @revision, @created_at, @now, @now, @allow_empty)
		ON CONFLICT (name) DO UPDATE SET interval_ns = @interval, heal = @heal, allow_empty = @allow_empty, username = @username, allowed_signers = @signers,
			known_hosts = @hosts, secrets = @secrets, revision = @revision,
			updated_at = @now, owner = NULL, epoch = s.epoch + 1, next_sync_at = NULL, next_run_at = @now`
	_, err = tx.Exec(ctx, sql, pgx.NamedArgs{
		"name": next.Name, "id": next.ID, "url": next.URL, "branch": next.Branch, "path": next.Path,
		"interval": int64(next.Interval), "heal": next.Heal, "allow_empty": next.AllowEmpty, "username": next.Username, "signers": next.AllowedSigners,
		"hosts": next.KnownHosts, "secrets": sealed, "revision": next.Revision, "created_at": next.CreatedAt, "now": now,
	})
	if err == nil {
		_, err = tx.Exec(ctx, pg.NotifySQL, sourcesChanged)
	}
	if err != nil {
		return fmt.Errorf("write the source: %w", err)
	}
	return nil
}

// sourcesChanged notifies that a source may be due; it wakes no engine.
const sourcesChanged = pg.ProgressPrefix + sourcesTopic

const sourcesTopic = "gitops"

// SubscribeSources subscribes to all sources: a value means that one may be due.
func (s *Store) SubscribeSources() (<-chan struct{}, func()) { return s.db.Subscribe(sourcesTopic) }
