package statstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/storage"
	"rollcall/internal/store/filter"
	"rollcall/internal/store/pg"
)

// durationsSQL has the statement's time: no index leads to one that changes from row to row. It reads what the index
// deployments_lasted has, and no row: so success is what a result says of a state and a kind.
func durationsSQL() string {
	return `
		SELECT count(*), count(*) FILTER (WHERE state = 'completed' OR state = 'rolled_back' AND kind = 'rollback'),
			coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds), 0),
			coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds), 0)
		FROM (SELECT state, kind, extract(epoch FROM finished_at - started_at)::float8 AS seconds FROM deployments d
			WHERE created_at >= statement_timestamp() - $1::interval AND started_at IS NOT NULL AND finished_at IS NOT NULL
				AND ($2 OR ` + filter.Within("d.service", "d.environment", 3, 4) + `)) ended`
}

// DurationStats sums up the deployments within the scopes that were created within the window before now, began, and have
// ended. It reads the figures of days; while these are not complete, or too many are cleared, the deployments themselves.
func (s *Store) DurationStats(ctx context.Context, scopes authz.Scopes, window time.Duration) (catalog.DurationStats, error) {
	var t catalog.DurationStats
	err := s.db.InSnapshot(ctx, func(tx pgx.Tx) error {
		read, known, err := readDurations(ctx, tx, scopes, window)
		if err != nil || known {
			t = read
			return err
		}
		t, err = judgeDurations(ctx, tx, scopes, window)
		return err
	})
	return t, pg.Wrap("sum up how long deployments took", err)
}

func judgeDurations(ctx context.Context, tx pgx.Tx, scopes authz.Scopes, window time.Duration) (catalog.DurationStats, error) {
	services, environments := filter.ScopeArrays(scopes)
	return pg.QueryOne(ctx, tx, func(row pgx.CollectableRow) (catalog.DurationStats, error) {
		var t catalog.DurationStats
		var p50, p95 float64
		err := row.Scan(&t.Count, &t.Succeeded, &p50, &p95)
		t.P50, t.P95 = secondsDuration(p50), secondsDuration(p95)
		return t, err //nolint:wrapcheck // the caller names the operation
	}, durationsSQL(), window, scopes.Unrestricted(), services, environments)
}

// readDurations sums up the figures of days; false when that cannot be done.
func readDurations(ctx context.Context, tx pgx.Tx, scopes authz.Scopes, window time.Duration) (t catalog.DurationStats, known bool, err error) {
	complete, err := figuresComplete(ctx, tx)
	if err != nil || !complete {
		return t, false, err
	}
	since, err := pg.QueryOne(ctx, tx, pgx.RowTo[time.Time], `SELECT statement_timestamp() - $1::interval`, window)
	if err != nil {
		return t, false, fmt.Errorf("ask for the time: %w", err)
	}
	where, args := filter.Deployments(scopes, storage.Filter{}, nil)
	days, err := pg.QueryAll(ctx, tx, scanFiguresDay, durationDaysSQL(where, len(args)+1), append(args, since)...)
	if err != nil {
		return t, false, fmt.Errorf("read the figures of days: %w", err)
	}
	var took []int64
	add := func(d *duration) {
		if d.created < since.UnixMicro() {
			return
		}
		took = append(took, d.took)
		if d.success {
			t.Succeeded++
		}
	}
	stale, err := addFreshDays(days, add)
	if err != nil {
		return t, false, err
	}
	rows, err := endedOn(ctx, tx, stale, fmt.Sprintf(` LIMIT %d`, maxJudged+1))
	if err != nil || len(rows) > maxJudged {
		return t, false, err
	}
	for i := range rows {
		if d, ok := durationOf(&rows[i]); ok {
			add(&d)
		}
	}
	spread := spreadOf(took)
	t.Count, t.P50, t.P95 = spread.Count, spread.P50, spread.P95
	return t, true, nil
}

// addFreshDays adds the durations of the days whose figures hold, and gives the other days.
func addFreshDays(days []figuresDay, add func(*duration)) (stale []figuresDay, err error) {
	for i := range days {
		if !days[i].isReadable() {
			stale = append(stale, days[i])
		} else if err := days[i].eachDuration(add); err != nil {
			return nil, err
		}
	}
	return stale, nil
}

// durationDaysSQL lists the months and days on which a deployment ended that was created at the n-th parameter or later.
func durationDaysSQL(where string, n int) string {
	if where == "" {
		where = "WHERE true"
	}
	return monthsSQL("durations", where, fmt.Sprintf(`d.last_created_at >= $%d`, n), fmt.Sprintf(`f.last_created_at >= $%d`, n))
}

func secondsDuration(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
