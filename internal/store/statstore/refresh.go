package statstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/store/pg"
)

// What one call of RefreshFigures does at most.
const (
	refreshedKeys   = 20
	refreshedDays   = 100
	refreshedMonths = 200
)

// judgedAtOnce is how many deployments one statement judges at most, so that it ends in time on a busy machine, too.
const judgedAtOnce = 5_000

// RefreshFigures brings the stored figures of deployments up to date, a bounded step at a time, and reports whether more is
// left. First it counts the deployments that ended before there were figures; a call that is cut off loses nothing but its own
// step. Any number of replicas may do so at once.
func (s *Store) RefreshFigures(ctx context.Context) (more bool, err error) {
	done, err := figuresComplete(ctx, s.db)
	if err == nil && !done {
		err = s.countKeys(ctx)
	}
	stored := false
	if err == nil {
		stored, err = s.refreshDays(ctx)
	}
	if err == nil && !stored {
		stored, err = s.refreshMonths(ctx)
	}
	return !done || stored, pg.Wrap("bring the figures of deployments up to date", err)
}

// countKeys counts the next services in environments that had a deployment.
func (s *Store) countKeys(ctx context.Context) error {
	const next = `
		SELECT d.service, d.environment FROM figures_backfill b CROSS JOIN LATERAL (SELECT service, environment FROM deployments
			WHERE (service, environment) > (b.service, b.environment) ORDER BY service, environment LIMIT 1) d`
	for range refreshedKeys {
		p, err := pg.QueryOne(ctx, s.db, func(row pgx.CollectableRow) (p serviceKey, err error) {
			err = row.Scan(&p.service, &p.environment)
			return p, err //nolint:wrapcheck // wrapped below
		}, next)
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = s.db.Exec(ctx, `UPDATE figures_backfill SET done = true`)
			return err //nolint:wrapcheck // the caller names the operation
		}
		if err != nil {
			return fmt.Errorf("find what is not counted: %w", err)
		}
		// Two statements: the second one says no more than what the first one has committed.
		if _, err := s.db.Exec(ctx, `SELECT figures_add_pair($1, $2)`, p.service, p.environment); err != nil {
			return fmt.Errorf("count the deployments of %s in %s: %w", p.service, p.environment, err)
		}
		if _, err := s.db.Exec(ctx, `UPDATE figures_backfill SET service = $1, environment = $2 WHERE (service, environment) < ($1, $2)`,
			p.service, p.environment); err != nil {
			return fmt.Errorf("note what is counted: %w", err)
		}
	}
	return nil
}

// storeDaySQL stores what was read of days. It does not wait: a transaction that holds a day is about to change it.
const storeDaySQL = `
	WITH news AS (
		SELECT f.service, f.environment, f.day, n.changes, n.durations, n.failed_from, n.recovered_until, n.last_created_at
		FROM unnest($1::text[], $2::text[], $3::date[], $4::bigint[], $5::bytea[], $6::bytea[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[])
				AS n(service, environment, day, revision, changes, durations, failed_from, recovered_until, last_created_at)
			JOIN figures_days f USING (service, environment, day)
		WHERE f.revision = n.revision FOR UPDATE OF f SKIP LOCKED
	)
	UPDATE figures_days f SET changes = n.changes, durations = n.durations, failed_from = n.failed_from,
		recovered_until = n.recovered_until, last_created_at = n.last_created_at
	FROM news n WHERE f.service = n.service AND f.environment = n.environment AND f.day = n.day`

// refreshDays reads days whose figures are cleared, the newest first, and reports whether it stored any. The revisions are read
// before the deployments are: what has changed in between is not stored.
func (s *Store) refreshDays(ctx context.Context) (stored bool, err error) {
	var revisions []int64
	days, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (d figuresDay, err error) {
		var revision int64
		err = row.Scan(&d.service, &d.environment, &d.day, &revision)
		revisions = append(revisions, revision)
		return d, err //nolint:wrapcheck // wrapped below
	}, `SELECT service, environment, day, revision FROM figures_days WHERE changes IS NULL ORDER BY day DESC LIMIT $1`, refreshedDays)
	if err != nil || len(days) == 0 {
		return false, err
	}
	rows, err := s.endedOnDays(ctx, days)
	if err != nil {
		return false, err
	}
	tag, err := s.db.Exec(ctx, storeDaySQL, dayArgs(days, revisions, rows)...)
	return tag.RowsAffected() > 0, err //nolint:wrapcheck // the caller names the operation
}

// endedOnDays reads page by page. What ends, or is removed, between two pages raises a revision.
func (s *Store) endedOnDays(ctx context.Context, days []figuresDay) (rows []endedRow, err error) {
	for {
		page, err := endedOn(ctx, s.db, days, fmt.Sprintf(` ORDER BY k.place, d.finished_at, d.id LIMIT %d OFFSET %d`, judgedAtOnce, len(rows)))
		if rows = append(rows, page...); err != nil || len(page) < judgedAtOnce {
			return rows, err
		}
	}
}

// storedDay is what is stored of a day.
type storedDay struct {
	changes, durations []byte
	// Of the failures that a success can recover; of all that ended. In µs; the extremes stand for infinity.
	failedFrom, recoveredUntil, lastCreated int64
}

func dayArgs(days []figuresDay, revisions []int64, rows []endedRow) []any {
	stored := make([]storedDay, len(days))
	for i := range stored {
		stored[i] = storedDay{[]byte{figuresFormat}, []byte{figuresFormat}, math.MaxInt64, math.MinInt64, math.MinInt64}
	}
	for i := range rows {
		place := rows[i].place - 1
		stored[place].addRow(&rows[i], days[place].day.UnixMicro())
	}
	n := len(days)
	services, environments, dates := make([]string, n), make([]string, n), make([]time.Time, n)
	changes, durations := make([][]byte, n), make([][]byte, n)
	from, until, created := make([]pgtype.Timestamptz, n), make([]pgtype.Timestamptz, n), make([]pgtype.Timestamptz, n)
	for i := range days {
		services[i], environments[i], dates[i] = days[i].service, days[i].environment, days[i].day
		changes[i], durations[i] = stored[i].changes, stored[i].durations
		from[i], until[i], created[i] = microsTimestamp(stored[i].failedFrom), microsTimestamp(stored[i].recoveredUntil), microsTimestamp(stored[i].lastCreated)
	}
	return []any{services, environments, dates, revisions, changes, durations, from, until, created}
}

func (d *storedDay) addRow(r *endedRow, day int64) {
	d.lastCreated = max(d.lastCreated, r.created)
	if c, ok := changeOf(r); ok {
		d.changes = c.appendTo(d.changes, day)
	}
	if took, ok := durationOf(r); ok {
		d.durations = took.appendTo(d.durations, day)
	}
	if r.failed.Valid && r.recovers {
		d.failedFrom = min(d.failedFrom, r.failed.Int64)
		until := int64(math.MaxInt64)
		if r.recovered.Valid {
			until = r.recovered.Int64
		}
		d.recoveredUntil = max(d.recoveredUntil, until)
	}
}

// microsTimestamp returns a time to be written, given in µs; the extremes are infinity.
func microsTimestamp(micros int64) pgtype.Timestamptz {
	switch micros {
	case math.MaxInt64:
		return pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
	case math.MinInt64:
		return pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	default:
		return pg.TimeArg(time.UnixMicro(micros))
	}
}
