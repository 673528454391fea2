package statstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/store/pg"
)

// daysOfMonth holds for a day f in the month d.
const daysOfMonth = `f.service = d.service AND f.environment = d.environment AND f.day >= d.month AND f.day < d.month + interval '1 month'`

// monthsSQL lists what a column has for the months of a selection: of each that is put together one row, of each other one its
// days. The selection has at least one term. OFFSET 0 has PostgreSQL look for the days of those months, and not for the month of
// each day.
func monthsSQL(column, where, months, days string) string {
	return fmt.Sprintf(`
		SELECT service, environment, month AS day, %[1]s, true FROM figures_months d %[2]s AND %[3]s AND d.format = %[6]d
		UNION ALL
		SELECT f.service, f.environment, f.day, f.%[1]s, false FROM figures_months d
			CROSS JOIN LATERAL (SELECT * FROM figures_days f WHERE %[5]s AND %[4]s OFFSET 0) f
			%[2]s AND %[3]s AND d.format IS DISTINCT FROM %[6]d`, column, where, months, days, daysOfMonth, figuresFormat)
}

// figuresMonth is a month whose days are put together.
type figuresMonth struct {
	service, environment string
	month                time.Time
	revision             int64
	changes, durations   []byte
	lastCreated          pgtype.Timestamptz
}

// nextMonthsSQL lists months that are over, whose days all have figures; the latest first.
const nextMonthsSQL = `
	SELECT d.service, d.environment, d.month, d.revision FROM figures_months d
	WHERE d.format IS NULL AND d.month < date_trunc('month', statement_timestamp() AT TIME ZONE 'UTC')::date
		AND NOT EXISTS (SELECT FROM figures_days f WHERE ` + daysOfMonth + ` AND f.changes IS NULL)
	ORDER BY d.month DESC LIMIT $1`

// daysOfMonthsSQL lists the days of some months.
const daysOfMonthsSQL = `
	SELECT d.place::int, f.day, f.changes, f.durations, max(f.last_created_at) OVER (PARTITION BY d.place)
	FROM unnest($1::text[], $2::text[], $3::date[]) WITH ORDINALITY AS d(service, environment, month, place)
		CROSS JOIN LATERAL (SELECT * FROM figures_days f WHERE ` + daysOfMonth + ` OFFSET 0) f
	ORDER BY d.place, f.day`

// storeMonthSQL stores what was put together. It does not wait: a transaction that holds a month is about to change it.
const storeMonthSQL = `
	WITH news AS (
		SELECT f.service, f.environment, f.month, n.changes, n.durations, n.last_created_at
		FROM unnest($1::text[], $2::text[], $3::date[], $4::bigint[], $5::bytea[], $6::bytea[], $7::timestamptz[])
				AS n(service, environment, month, revision, changes, durations, last_created_at)
			JOIN figures_months f USING (service, environment, month)
		WHERE f.revision = n.revision FOR UPDATE OF f SKIP LOCKED
	)
	UPDATE figures_months f SET format = $8, changes = n.changes, durations = n.durations, last_created_at = n.last_created_at
	FROM news n WHERE f.service = n.service AND f.environment = n.environment AND f.month = n.month`

// refreshMonths puts the days of months together, and reports whether it stored any. The revisions are read before the days are:
// what has changed in between is not stored.
func (s *Store) refreshMonths(ctx context.Context) (stored bool, err error) {
	months, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (m figuresMonth, err error) {
		err = row.Scan(&m.service, &m.environment, &m.month, &m.revision)
		return m, err //nolint:wrapcheck // wrapped below
	}, nextMonthsSQL, refreshedMonths)
	if err != nil || len(months) == 0 {
		return false, err
	}
	if err := s.readDaysOfMonths(ctx, months); err != nil {
		return false, fmt.Errorf("read the days of %d months: %w", len(months), err)
	}
	tag, err := s.db.Exec(ctx, storeMonthSQL, monthArgs(months)...)
	return tag.RowsAffected() > 0, err //nolint:wrapcheck // the caller names the operation
}

// readDaysOfMonths adds the figures of their days to the months. A day that is cleared meanwhile has raised a revision.
func (s *Store) readDaysOfMonths(ctx context.Context, months []figuresMonth) error {
	for i := range months {
		months[i].changes, months[i].durations = []byte{figuresFormat}, []byte{figuresFormat}
		months[i].lastCreated = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	}
	_, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (struct{}, error) {
		var place int
		var day time.Time
		var changes, durations []byte
		var lastCreated pgtype.Timestamptz
		if err := row.Scan(&place, &day, &changes, &durations, &lastCreated); err != nil {
			return struct{}{}, err //nolint:wrapcheck // wrapped by the caller
		}
		m := &months[place-1]
		m.lastCreated = lastCreated
		m.changes = appendDay(m.changes, day.Sub(m.month), changes)
		m.durations = appendDay(m.durations, day.Sub(m.month), durations)
		return struct{}{}, nil
	}, daysOfMonthsSQL, monthArgs(months)[:3]...)
	return err
}

func monthArgs(months []figuresMonth) []any {
	n := len(months)
	services, environments, dates, revisions := make([]string, n), make([]string, n), make([]time.Time, n), make([]int64, n)
	changes, durations, created := make([][]byte, n), make([][]byte, n), make([]pgtype.Timestamptz, n)
	for i := range months {
		m := &months[i]
		services[i], environments[i], dates[i], revisions[i] = m.service, m.environment, m.month, m.revision
		changes[i], durations[i], created[i] = m.changes, m.durations, m.lastCreated
	}
	return []any{services, environments, dates, revisions, changes, durations, created, figuresFormat}
}

// appendDay adds the figures of a day to those of its month, unless the day has none.
func appendDay(month []byte, after time.Duration, day []byte) []byte {
	if len(day) <= 1 {
		return month
	}
	month = binary.AppendVarint(binary.AppendVarint(month, after.Microseconds()), int64(len(day)))
	return append(month, day...)
}

// eachDayOfMonth calls do with the figures and the begin of each day of a month, whose own begin is in µs.
func eachDayOfMonth(b []byte, month int64, do func(b []byte, day int64) error) error {
	r, err := readFigures(b)
	for err == nil && len(r.rest) > 0 {
		day, size := month+r.readVarint(), r.readVarint()
		if r.err != nil || size > int64(len(r.rest)) || size < 0 {
			return errFigures
		}
		err = do(r.rest[:size], day)
		r.rest = r.rest[size:]
	}
	return err
}
