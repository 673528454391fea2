package statstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/store/pg"
)

// Figures over all deployments are kept in five tables by triggers on deployments, see the migrations that make them. A day
// of a service in an environment whose figures are cleared is read from its deployments: by each request for it, and by
// RefreshFigures, which stores it; and it puts the days of a month that is over together.

// figuresFormat is the first byte of what is stored of a day or a month; another one is not read.
const figuresFormat = 1

// serviceKey names a service in an environment.
type serviceKey struct{ service, environment string }

// figuresComplete reports whether all deployments that ended before there were figures are counted.
func figuresComplete(ctx context.Context, q pg.Querier) (bool, error) {
	return pg.QueryOne(ctx, q, pgx.RowTo[bool], `SELECT coalesce((SELECT done FROM figures_backfill), false)`)
}

// endedRow is what figures need of a deployment that has ended. Times are in µs since 1970.
type endedRow struct {
	// place is that of the day that was asked for, from 1.
	place                      int
	service, environment       string
	created, finished          int64
	started                    pgtype.Int8
	success, change, completed bool
	// recovers is false for a change that was rolled back: its own end is its recovery.
	recovers          bool
	failed, recovered pgtype.Int8
	lead              pgtype.Int8
}

func scanEnded(row pgx.CollectableRow) (r endedRow, err error) {
	err = row.Scan(&r.place, &r.service, &r.environment, &r.created, &r.started, &r.finished, &r.success, &r.change, &r.completed,
		&r.recovers, &r.failed, &r.recovered, &r.lead)
	return r, err //nolint:wrapcheck // the caller names the operation
}

func microsSQL(value string) string { return `(extract(epoch FROM ` + value + `) * 1000000)::bigint` }

// endedOfDays are the deployments that ended on some days of one service in an environment each.
const endedOfDays = `
	SELECT k.place::int, d.* FROM unnest($1::text[], $2::text[], $3::date[]) WITH ORDINALITY AS k(service, environment, day, place)
		CROSS JOIN LATERAL (SELECT ` + endedColumns + ` FROM deployments d WHERE d.service = k.service AND d.environment = k.environment
			AND d.finished_at >= k.day::timestamp AT TIME ZONE 'UTC' AND d.finished_at < (k.day + 1)::timestamp AT TIME ZONE 'UTC' OFFSET 0) d`

const endedColumns = `d.id, d.service, d.environment, d.version, d.kind, d.state, d.counts, d.created_at, d.started_at, d.finished_at, d.committed_at`

// judgeSQL judges the deployments of a statement that gives a place and endedColumns. Each step is worked out once: PostgreSQL
// would ask again wherever a column of it is used. OFFSET 0 keeps PostgreSQL, which may have no statistics yet, from looking
// through all deployments, oldest first, for the first rollback of each.
func judgeSQL(source string) string {
	return `
	WITH ended AS MATERIALIZED (` + source + `
	), changes AS MATERIALIZED (
		SELECT d.*, coalesce(d.kind = 'deploy' AND d.state <> 'superseded' AND (d.counts->>'updated')::int + (d.counts->>'failed')::int
			+ (d.counts->>'unknown')::int + (d.counts->>'rolled_back')::int > 0, false) AS change
		FROM ended d
	), failures AS MATERIALIZED (
		SELECT d.*,
			CASE WHEN NOT d.change THEN NULL
				WHEN d.state = 'completed'
				THEN (SELECT min(u.created_at) FROM (SELECT created_at FROM deployments
					WHERE rollback_of = d.id AND started_at IS NOT NULL AND state <> 'superseded' OFFSET 0) u)
				ELSE coalesce((SELECT min(e.at) FROM deployment_events e
					WHERE e.deployment_id = d.id AND e.type = 'deployment.rollback_started'), d.finished_at) END AS failed_at,
			CASE WHEN d.change AND d.state = 'completed' AND d.committed_at <= d.finished_at
				THEN CASE WHEN d.version IS NULL OR NOT EXISTS (SELECT FROM deployments b
					WHERE b.kind = 'deploy' AND b.state = 'completed' AND b.service = d.service AND b.environment = d.environment
						AND b.version = d.version AND b.finished_at < d.finished_at)
				THEN d.finished_at - d.committed_at END END AS lead
		FROM changes d
	), judged AS MATERIALIZED (
		SELECT c.*, CASE WHEN NOT c.change THEN NULL
			WHEN c.state = 'rolled_back' THEN c.finished_at
			WHEN c.failed_at IS NOT NULL THEN (SELECT min(g.finished_at) FROM deployments g WHERE (g.result->>'success')::boolean
				AND g.service = c.service AND g.environment = c.environment AND g.finished_at > c.failed_at) END AS recovered_at
		FROM failures c
	)
	SELECT place, service, environment, ` + microsSQL("created_at") + `, ` + microsSQL("started_at") + `, ` + microsSQL("finished_at") + `,
		state = 'completed' OR state = 'rolled_back' AND kind = 'rollback', change, state = 'completed', state <> 'rolled_back',
		` + microsSQL("failed_at") + `, ` + microsSQL("recovered_at") + `, ` + microsSQL("lead") + `
	FROM judged`
}

// change is a change that ended, as the figures of a day keep it. Times are in µs.
type change struct {
	finished                            int64
	completed, failed, recovered, timed bool
	recovery, lead                      int64
}

// changeOf returns the change that a row is; false when it is none.
func changeOf(r *endedRow) (change, bool) {
	return change{
		finished: r.finished, completed: r.completed, failed: r.failed.Valid, recovered: r.failed.Valid && r.recovered.Valid, timed: r.lead.Valid,
		recovery: r.recovered.Int64 - r.failed.Int64, lead: r.lead.Int64,
	}, r.change
}

const (
	flagCompleted = 1 << iota
	flagFailed
	flagRecovered
	flagTimed
)

func (c *change) encodeFlags() (flags byte) {
	for i, set := range [...]bool{c.completed, c.failed, c.recovered, c.timed} {
		if set {
			flags |= 1 << i
		}
	}
	return flags
}

// appendTo adds the change to the figures of a day, whose begin is in µs.
func (c *change) appendTo(b []byte, day int64) []byte {
	b = append(binary.AppendVarint(b, c.finished-day), c.encodeFlags())
	if c.recovered {
		b = binary.AppendVarint(b, c.recovery)
	}
	if c.timed {
		b = binary.AppendVarint(b, c.lead)
	}
	return b
}

// eachChange calls do with each change in the figures of a day, which do must not keep.
func eachChange(b []byte, day int64, do func(c *change)) error {
	r, err := readFigures(b)
	var c change // one for all: it escapes
	for err == nil && len(r.rest) > 0 {
		c = change{finished: day + r.readVarint()}
		flags := r.readByte()
		c.completed, c.failed, c.recovered, c.timed = flags&flagCompleted != 0, flags&flagFailed != 0, flags&flagRecovered != 0, flags&flagTimed != 0
		if c.recovered {
			c.recovery = r.readVarint()
		}
		if c.timed {
			c.lead = r.readVarint()
		}
		if err = r.err; err == nil {
			do(&c)
		}
	}
	return err
}

// duration is how long a deployment took that began and has ended. Times are in µs.
type duration struct {
	created, took int64
	success       bool
}

func durationOf(r *endedRow) (duration, bool) {
	return duration{created: r.created, took: r.finished - r.started.Int64, success: r.success}, r.started.Valid
}

func (d *duration) appendTo(b []byte, day int64) []byte {
	b = binary.AppendVarint(binary.AppendVarint(b, d.created-day), d.took)
	if d.success {
		return append(b, 1)
	}
	return append(b, 0)
}

// eachDuration calls do with each duration in the figures of a day, which do must not keep.
func eachDuration(b []byte, day int64, do func(d *duration)) error {
	r, err := readFigures(b)
	var d duration
	for err == nil && len(r.rest) > 0 {
		d = duration{created: day + r.readVarint(), took: r.readVarint(), success: r.readByte() == 1}
		if err = r.err; err == nil {
			do(&d)
		}
	}
	return err
}

// figuresReader reads what is stored of a day.
type figuresReader struct {
	rest []byte
	err  error
}

var errFigures = errors.New("the stored figures of a day are damaged")

func readFigures(b []byte) (figuresReader, error) {
	if len(b) == 0 || b[0] != figuresFormat {
		return figuresReader{}, errFigures
	}
	return figuresReader{rest: b[1:]}, nil
}

func (r *figuresReader) readVarint() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.rest, r.err = nil, errFigures
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *figuresReader) readByte() byte {
	if len(r.rest) == 0 {
		r.err = errFigures
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

// figuresDay is a day of a service in an environment, or a whole month, whose first day it then is; figures is nil when it has to
// be read from the deployments.
type figuresDay struct {
	service, environment string
	day                  time.Time
	figures              []byte
	month                bool
}

func scanFiguresDay(row pgx.CollectableRow) (d figuresDay, err error) {
	err = row.Scan(&d.service, &d.environment, &d.day, &d.figures, &d.month)
	return d, err //nolint:wrapcheck // the caller names the operation
}

// eachChange calls do with each change of the day or month, which do must not keep.
func (d *figuresDay) eachChange(do func(c *change)) error {
	return d.eachDay(func(b []byte, day int64) error { return eachChange(b, day, do) })
}

// eachDuration calls do with each duration of the day or month, which do must not keep.
func (d *figuresDay) eachDuration(do func(d *duration)) error {
	return d.eachDay(func(b []byte, day int64) error { return eachDuration(b, day, do) })
}

func (d *figuresDay) eachDay(do func(b []byte, day int64) error) error {
	if d.month {
		return eachDayOfMonth(d.figures, d.day.UnixMicro(), do)
	}
	return do(d.figures, d.day.UnixMicro())
}

// isReadable reports whether the figures can be read.
func (d *figuresDay) isReadable() bool { return len(d.figures) > 0 && d.figures[0] == figuresFormat }

// endedOn reads the deployments that ended on these days; paged ends the statement that lists them.
func endedOn(ctx context.Context, q pg.Querier, days []figuresDay, paged string) ([]endedRow, error) {
	if len(days) == 0 {
		return nil, nil
	}
	services, environments, dates := make([]string, len(days)), make([]string, len(days)), make([]time.Time, len(days))
	for i := range days {
		services[i], environments[i], dates[i] = days[i].service, days[i].environment, days[i].day
	}
	rows, err := pg.QueryAll(ctx, q, scanEnded, judgeSQL(endedOfDays+paged), services, environments, dates)
	if err != nil {
		return nil, fmt.Errorf("judge the deployments of %d days: %w", len(days), err)
	}
	return rows, nil
}
