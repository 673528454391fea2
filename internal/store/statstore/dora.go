package statstore

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/authz"
	"rollcall/internal/dora"
	"rollcall/internal/problem"
	"rollcall/internal/storage"
	"rollcall/internal/store/filter"
	"rollcall/internal/store/pg"
)

// maxDora bounds the list of services in environments.
const maxDora = 200

// maxJudged is how many deployments are judged at most by one request for figures: on two cores these take 0.6 to 1 s of
// what a request has.
const maxJudged = 50_000

// DORAReport sums up the changes of the selection within the scopes: all of them, each service in each environment that has
// any, at most 200, and each part of the time. It reads the figures of days, and judges only deployments of days that have
// changed since RefreshFigures was called. When these are too many, as they may be until it was called often enough for the
// first time, it is CodeUnavailable.
func (s *Store) DORAReport(ctx context.Context, scopes authz.Scopes, sel dora.Query) (dora.Report, error) {
	t := newDoraTally(&sel)
	err := s.db.InSnapshot(ctx, func(tx pgx.Tx) error {
		complete, err := figuresComplete(ctx, tx)
		if err != nil {
			return err
		}
		if !complete {
			return t.sumEnded(ctx, tx, scopes)
		}
		return t.sumDays(ctx, tx, scopes)
	})
	if err != nil {
		return dora.Report{}, pg.Wrap("sum up how changes were delivered", err)
	}
	return t.buildReport(), nil
}

// doraTally sums up changes.
type doraTally struct {
	sel          *dora.Query
	since, until int64 // in µs
	total        tally
	parts        []tally
	keys         map[serviceKey]*tally
	// ranks are the services in environments, in the database's order of names.
	ranks map[serviceKey]int
}

func newDoraTally(sel *dora.Query) *doraTally {
	return &doraTally{
		sel: sel, since: sel.Since.UnixMicro(), until: sel.Until.UnixMicro(),
		parts: make([]tally, sel.Buckets), keys: map[serviceKey]*tally{}, ranks: map[serviceKey]int{},
	}
}

// filterSQL returns the conditions of the selection except its time, with at least one term.
func (t *doraTally) filterSQL(scopes authz.Scopes) (string, []any) {
	where, args := filter.Deployments(scopes, storage.Filter{Service: t.sel.Service, Environment: t.sel.Environment}, nil)
	if where == "" {
		where = "WHERE true"
	}
	return where, args
}

// sumEnded looks at all that ended in the time.
func (t *doraTally) sumEnded(ctx context.Context, tx pgx.Tx, scopes authz.Scopes) error {
	where, args := t.filterSQL(scopes)
	sql := judgeSQL(fmt.Sprintf(`SELECT 0 AS place, %s FROM deployments d %s AND d.finished_at >= $%d AND d.finished_at < $%d LIMIT %d`,
		endedColumns, where, len(args)+1, len(args)+2, maxJudged+1)) + ` ORDER BY service, environment`
	// The plan is for these values: one for any values would be one for a short time.
	rows, err := pg.QueryAll(ctx, tx, scanEnded, sql, append([]any{pgx.QueryExecModeExec}, append(args, t.sel.Since, t.sel.Until)...)...)
	if err != nil {
		return err
	}
	return t.addEnded(rows)
}

// sumDays looks at the days of the time.
func (t *doraTally) sumDays(ctx context.Context, tx pgx.Tx, scopes authz.Scopes) error {
	where, args := t.filterSQL(scopes)
	if _, err := pg.QueryAll(ctx, tx, func(row pgx.CollectableRow) (struct{}, error) {
		var p serviceKey
		err := row.Scan(&p.service, &p.environment)
		t.ranks[p] = len(t.ranks)
		return struct{}{}, err //nolint:wrapcheck // wrapped below
	}, `SELECT service, environment FROM figures_pairs d `+where+` ORDER BY service, environment`, args...); err != nil {
		return fmt.Errorf("read the names: %w", err)
	}
	days, err := pg.QueryAll(ctx, tx, scanFiguresDay, doraDaysSQL(where, len(args)), append(args, t.sel.Since, t.sel.Until)...)
	if err != nil {
		return fmt.Errorf("read the figures of days: %w", err)
	}
	var stale []figuresDay
	for i := range days {
		d := &days[i]
		if !d.isReadable() {
			stale = append(stale, *d)
			continue
		}
		add := t.adderFor(serviceKey{d.service, d.environment})
		if err := d.eachChange(add); err != nil {
			return err
		}
	}
	rows, err := endedOn(ctx, tx, stale, fmt.Sprintf(` LIMIT %d`, maxJudged+1))
	if err != nil {
		return err
	}
	return t.addEnded(rows)
}

// doraDaysSQL lists the months and days of the time after the first n parameters.
func doraDaysSQL(where string, n int) string {
	since, until := fmt.Sprintf(`($%d::timestamptz AT TIME ZONE 'UTC')`, n+1), fmt.Sprintf(`($%d::timestamptz AT TIME ZONE 'UTC')::date`, n+2)
	return monthsSQL("changes", where, `d.month >= date_trunc('month', `+since+`)::date AND d.month <= `+until,
		`f.day >= `+since+`::date AND f.day <= `+until)
}

// addEnded adds the changes among what has ended; too much of that is CodeUnavailable.
func (t *doraTally) addEnded(rows []endedRow) error {
	if len(rows) > maxJudged {
		return &problem.Error{Code: problem.CodeUnavailable, Message: fmt.Sprintf(
			"the figures of more than %d deployments are still being read: ask again later, for a shorter time, or for one service", maxJudged)}
	}
	for i := range rows {
		if c, ok := changeOf(&rows[i]); ok {
			t.adderFor(serviceKey{rows[i].service, rows[i].environment})(&c)
		}
	}
	return nil
}

// adderFor returns a function that adds changes of one service and environment; those outside the time are left out.
func (t *doraTally) adderFor(p serviceKey) func(c *change) {
	var of *tally
	return func(c *change) {
		if c.finished < t.since || c.finished >= t.until {
			return
		}
		if of == nil {
			of = t.tallyOf(p)
		}
		t.total.addChange(c)
		of.addChange(c)
		if n := int64(len(t.parts)); n > 0 {
			t.parts[bucketIndex(c.finished-t.since, t.until-t.since, n)].addChange(c)
		}
	}
}

// tallyOf returns the sum of one service and environment, which is new when it had none.
func (t *doraTally) tallyOf(p serviceKey) *tally {
	of := t.keys[p]
	if of == nil {
		of = &tally{}
		t.keys[p] = of
		if _, known := t.ranks[p]; !known {
			t.ranks[p] = len(t.ranks)
		}
	}
	return of
}

// bucketIndex returns in which of n equal parts of a length a moment is, from 0.
func bucketIndex(after, length, n int64) int64 {
	high, low := bits.Mul64(uint64(after), uint64(n))    //nolint:gosec // neither is negative
	quotient, _ := bits.Div64(high, low, uint64(length)) //nolint:gosec // after is less than the length, so this is less than n
	return int64(quotient)                               //nolint:gosec // as n is
}

func (t *doraTally) buildReport() dora.Report {
	report := dora.Report{Total: t.total.doraMetrics(), Buckets: make([]dora.Metrics, len(t.parts))}
	for i := range t.parts {
		report.Buckets[i] = t.parts[i].doraMetrics()
	}
	names := make([]serviceKey, 0, len(t.keys))
	for p := range t.keys {
		names = append(names, p)
	}
	slices.SortFunc(names, func(a, b serviceKey) int {
		return cmp.Or(cmp.Compare(t.keys[b].changes, t.keys[a].changes), cmp.Compare(t.ranks[a], t.ranks[b]))
	})
	for _, p := range names[:min(len(names), maxDora)] {
		d := t.keys[p].doraMetrics()
		d.Service, d.Environment = p.service, p.environment
		report.ByService = append(report.ByService, d)
	}
	return report
}

// tally sums up some changes.
type tally struct {
	changes, arrived, failed, unrecovered int
	recovery, lead                        []int64
}

func (t *tally) addChange(c *change) {
	t.changes++
	if c.completed {
		t.arrived++
	}
	if c.failed {
		t.failed++
		if !c.recovered {
			t.unrecovered++
		}
	}
	if c.recovered {
		t.recovery = append(t.recovery, c.recovery)
	}
	if c.timed {
		t.lead = append(t.lead, c.lead)
	}
}

func (t *tally) doraMetrics() dora.Metrics {
	return dora.Metrics{
		Changes: t.changes, Succeeded: t.arrived, Failed: t.failed, Unrecovered: t.unrecovered,
		Recovery: spreadOf(t.recovery), Lead: spreadOf(t.lead),
	}
}
