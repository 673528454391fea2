package statstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/dora"
	"rollcall/internal/store"
)

// refreshed calls RefreshFigures until nothing is left to do.
func refreshed(t testing.TB, s *store.Store) {
	t.Helper()
	for more := true; more; {
		var err error
		more, err = s.RefreshFigures(t.Context())
		must(t, err)
	}
}

// doraOfRowsSQL is how DORA's measures were computed before there were figures: from the rows alone, by PostgreSQL.
const doraOfRowsSQL = `
	WITH ended AS MATERIALIZED (
		SELECT d.* FROM deployments d WHERE d.finished_at >= $1 AND d.finished_at < $2
	), changes AS MATERIALIZED (
		SELECT d.service, d.environment, d.state, d.finished_at,
			CASE WHEN d.state = 'completed'
				THEN (SELECT min(u.created_at) FROM deployments u WHERE u.rollback_of = d.id AND u.started_at IS NOT NULL AND u.state <> 'superseded')
				ELSE coalesce((SELECT min(e.at) FROM deployment_events e
					WHERE e.deployment_id = d.id AND e.type = 'deployment.rollback_started'), d.finished_at) END AS failed_at,
			CASE WHEN d.state = 'completed' AND d.committed_at <= d.finished_at AND NOT EXISTS (SELECT FROM deployments b
					WHERE b.kind = 'deploy' AND b.state = 'completed' AND b.service = d.service AND b.environment = d.environment
						AND b.version = d.version AND b.finished_at < d.finished_at)
				THEN extract(epoch FROM d.finished_at - d.committed_at)::float8 END AS lead
		FROM ended d
		WHERE d.kind = 'deploy' AND d.state <> 'superseded'
			AND (d.counts->>'updated')::int + (d.counts->>'failed')::int + (d.counts->>'unknown')::int + (d.counts->>'rolled_back')::int > 0
	), judged AS MATERIALIZED (
		SELECT c.*, CASE WHEN c.state = 'rolled_back' THEN c.finished_at
			WHEN c.failed_at IS NOT NULL THEN (SELECT min(g.finished_at) FROM deployments g WHERE (g.result->>'success')::boolean
				AND g.service = c.service AND g.environment = c.environment AND g.finished_at > c.failed_at) END AS recovered_at
		FROM changes c
	), timed AS (
		SELECT *, extract(epoch FROM recovered_at - failed_at)::float8 AS recovery, width_bucket(extract(epoch FROM finished_at),
			extract(epoch FROM $1::timestamptz), extract(epoch FROM $2::timestamptz), 7) - 1 AS part FROM judged
	)
	SELECT part, coalesce(service, ''), coalesce(environment, ''), count(*), count(*) FILTER (WHERE state = 'completed'),
		count(failed_at), count(*) FILTER (WHERE failed_at IS NOT NULL AND recovered_at IS NULL),
		count(recovery), coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY recovery), 0), coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY recovery), 0),
		count(lead), coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY lead), 0), coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY lead), 0)
	FROM timed GROUP BY GROUPING SETS ((), (service, environment), (part))
	ORDER BY grouping(service) DESC, part NULLS FIRST, count(*) DESC, service, environment`

func doraOfRows(t *testing.T, s *store.Store, sel dora.Query) dora.Report {
	t.Helper()
	report := dora.Report{Buckets: make([]dora.Metrics, 7)}
	rows, err := s.Pool().Query(ctx(t), doraOfRowsSQL, sel.Since, sel.Until)
	must(t, err)
	seconds := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	var part *int
	var d dora.Metrics
	var r50, r95, l50, l95 float64
	first := true
	_, err = pgx.ForEachRow(rows, []any{
		&part, &d.Service, &d.Environment, &d.Changes, &d.Succeeded, &d.Failed, &d.Unrecovered, &d.Recovery.Count, &r50, &r95, &d.Lead.Count, &l50, &l95,
	}, func() error {
		d.Recovery.P50, d.Recovery.P95, d.Lead.P50, d.Lead.P95 = seconds(r50), seconds(r95), seconds(l50), seconds(l95)
		switch {
		case first:
			report.Total, first = d, false
		case part != nil:
			report.Buckets[*part] = d
		default:
			report.ByService = append(report.ByService, d)
		}
		return nil
	})
	must(t, err)
	return report
}

// wantFiguresOfRows demands that all figures are those of the rows.
func wantFiguresOfRows(t *testing.T, s *store.Store, what string, sel dora.Query) {
	t.Helper()
	sel.Buckets = 7
	got, err := s.DORAReport(ctx(t), authz.Everywhere(), sel)
	must(t, err)
	if want := doraOfRows(t, s, sel); !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: DORA\ngot  %+v\nwant %+v", what, got, want)
	}
	scope := authz.Scopes{{Service: "b", Environment: authz.Any}}
	for _, scopes := range []authz.Scopes{authz.Everywhere(), scope} {
		services := []string{"a", "b"}
		if !scopes.Unrestricted() {
			services = []string{"b"}
		}
		tallies, err := s.StateCounts(ctx(t), scopes)
		must(t, err)
		wantRows(t, what, tallies, s, `SELECT state, strategy, count(*) FROM deployments WHERE service = ANY ($1) GROUP BY 1, 2 ORDER BY 1, 2`, services)
		each, err := s.ServiceCounts(ctx(t), scopes)
		must(t, err)
		wantRows(t, what, each, s, `SELECT service, sum(n)::bigint AS total, jsonb_object_agg(state, n)
			FROM (SELECT service, state, count(*) AS n FROM deployments WHERE service = ANY ($1) GROUP BY service, state) c
			GROUP BY service ORDER BY total DESC, service`, services)
		window := time.Since(noon.Add(48 * time.Hour))
		took, err := s.DurationStats(ctx(t), scopes, window)
		must(t, err)
		took.P50, took.P95 = took.P50.Round(time.Microsecond), took.P95.Round(time.Microsecond)
		wantRows(t, what, []catalog.DurationStats{took}, s, `SELECT count(*), count(*) FILTER (WHERE (result->>'success')::boolean),
			round(coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY took), 0) * 1e6)::bigint * 1000,
			round(coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY took), 0) * 1e6)::bigint * 1000
			FROM (SELECT result, extract(epoch FROM finished_at - started_at)::float8 AS took FROM deployments WHERE service = ANY ($1)
				AND created_at >= $2 AND started_at IS NOT NULL AND finished_at IS NOT NULL) e`, services, noon.Add(48*time.Hour))
	}
}

func wantRows[T any](t *testing.T, what string, got []T, s *store.Store, sql string, args ...any) {
	t.Helper()
	rows, err := s.Pool().Query(ctx(t), sql, args...)
	must(t, err)
	want, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	must(t, err)
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}

// history draws what becomes of deployments, as plain statements: those of any version of the server.
type history struct {
	*rand.Rand
	t     *testing.T
	s     *store.Store
	ended []string
	// active is the deployment of a service that has not ended.
	active map[string]string
}

func (h *history) exec(sql string, args ...any) {
	h.t.Helper()
	exec(h.t, h.s, sql, args...)
}

// moment is some time in six days of one of three months that are over, in steps in which two often fall together.
func (h *history) moment() time.Time {
	return noon.AddDate(0, h.IntN(3), 0).Add(time.Duration(h.IntN(6*24*20)) * 3 * time.Minute)
}

// within is some time from a moment on: of days, or of months.
func (h *history) within() dora.Query {
	since, days := h.moment(), 1+h.IntN(6)
	if h.IntN(2) == 0 {
		days *= 15
	}
	return dora.Query{Since: since, Until: since.Add(time.Duration(1+h.IntN(days*24*60)) * time.Minute)}
}

func (h *history) step() string {
	switch n := h.IntN(10); {
	case n < 6 || len(h.ended) == 0:
		return h.deploy()
	case n == 6:
		i := h.IntN(len(h.ended))
		id := h.ended[i]
		h.ended = append(h.ended[:i], h.ended[i+1:]...)
		h.exec(`DELETE FROM deployments WHERE id = $1`, id)
		return "removed " + id
	case n == 7:
		id := h.ended[h.IntN(len(h.ended))]
		h.exec(`UPDATE deployments SET finished_at = $2 WHERE id = $1`, id, h.moment())
		return "moved " + id
	default:
		return "read days: " + h.refresh()
	}
}

// refresh reads some days or, if it is called often enough, all of them and their months.
func (h *history) refresh() (more string) {
	for range 1 + h.IntN(4) {
		left, err := h.s.RefreshFigures(ctx(h.t))
		must(h.t, err)
		more = fmt.Sprint(left)
	}
	return more
}

// deploy starts a deployment or a rollback, which ends now or with the next one of its service.
func (h *history) deploy() string {
	service := []string{"a", "b"}[h.IntN(2)]
	if id := h.active[service]; id != "" {
		delete(h.active, service)
		return h.end(id)
	}
	begin := h.moment()
	var id string
	kind, undoes := "deploy", any(nil)
	if len(h.ended) > 0 && h.IntN(3) == 0 {
		kind, undoes = "rollback", h.ended[h.IntN(len(h.ended))]
		var known bool
		must(h.t, h.s.Pool().QueryRow(ctx(h.t), `SELECT service = $2 FROM deployments WHERE id = $1`, undoes, service).Scan(&known))
		if !known {
			kind, undoes = "deploy", nil
		}
	}
	must(h.t, h.s.Pool().QueryRow(ctx(h.t), `INSERT INTO deployments (id, service, environment, version, kind, rollback_of, strategy, spec, state,
			direction, created_at, next_run_at, committed_at)
		VALUES (gen_random_uuid(), $1, 'production', $2, $3, $4, $5, '{}', 'pending', 'forward', $6, $6, $7) RETURNING id`,
		service, fmt.Sprint("v", h.IntN(4)), kind, undoes, []string{"rolling", "canary"}[h.IntN(2)], begin, h.moment()).Scan(&id))
	if h.IntN(8) > 0 {
		h.exec(`UPDATE deployments SET state = 'in_progress', started_at = created_at + interval '1 second', owner = 'r1' WHERE id = $1`, id)
	}
	h.active[service] = id
	if h.IntN(3) == 0 {
		return "begun " + id
	}
	delete(h.active, service)
	return h.end(id)
}

func (h *history) end(id string) string {
	if h.IntN(4) == 0 {
		h.exec(`INSERT INTO deployment_events (deployment_id, seq, at, type, actor)
			SELECT id, 1, created_at + interval '2 minutes', 'deployment.rollback_started', 'engine' FROM deployments WHERE id = $1`, id)
	}
	h.exec(`UPDATE deployments SET state = s, finished_at = greatest(created_at, $3), owner = NULL, counts = $4,
			result = jsonb_build_object('success', s = 'completed' OR s = 'rolled_back' AND kind = 'rollback')
		FROM (SELECT $2::text AS s) x WHERE id = $1`, id, []string{"completed", "completed", "failed", "rolled_back", "aborted", "superseded"}[h.IntN(6)],
		h.moment(), fmt.Sprintf(`{"updated": %d, "failed": 0, "unknown": 0, "rolled_back": 0}`, h.IntN(5)))
	h.ended = append(h.ended, id)
	return "ended " + id
}

func TestFigures_AreThoseOfTheRows(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			s := open(t)
			h := &history{Rand: rand.New(rand.NewPCG(seed, 0)), t: t, s: s, active: map[string]string{}}
			if seed%2 == 0 { // else the figures are complete only after a while
				refreshed(t, s)
			}
			for i := range 120 {
				did := h.step()
				wantFiguresOfRows(t, s, fmt.Sprintf("step %d, %s", i, did), h.within())
			}
			refreshed(t, s)
			wantFiguresOfRows(t, s, "at the end", dora.Query{Since: noon, Until: noon.AddDate(0, 3, 0)})
			var months, put int
			must(t, s.Pool().QueryRow(ctx(t), `SELECT count(*), count(format) FROM figures_months`).Scan(&months, &put))
			if months < 5 || put != months {
				t.Errorf("%d of %d months are put together", put, months)
			}
		})
	}
}

// endedBefore adds a deployment that has ended in each of n services, as it was before there were figures.
func endedBefore(t *testing.T, s *store.Store, n int) {
	t.Helper()
	exec(t, s, `INSERT INTO deployments (id, service, environment, kind, strategy, spec, state, direction, counts, result, created_at, started_at, finished_at, next_run_at)
		SELECT gen_random_uuid(), 'service-' || n, 'production', 'deploy', 'rolling', '{}', 'completed', 'forward',
			'{"updated": 1, "failed": 0, "unknown": 0, "rolled_back": 0}', '{"success": true}', $1, $1, $1, $1 FROM generate_series(1, $2::int) n`, noon, n)
}

func TestFigures_BackfillResumes(t *testing.T) {
	t.Parallel()
	url := atVersion(t, 15)
	s := openAt(t, url)
	endedBefore(t, s, 50)
	must(t, administer(s).Migrate(ctx(t)))
	_, err := s.RefreshFigures(ctx(t))
	must(t, err)
	// A server of the previous version ends deployments in a service that is counted, and in one that is not.
	for _, service := range []string{"service-1", "service-9"} {
		exec(t, s, `INSERT INTO deployments (id, service, environment, kind, strategy, spec, state, direction, created_at, started_at, next_run_at)
			VALUES (gen_random_uuid(), $1, 'production', 'deploy', 'rolling', '{}', 'in_progress', 'forward', $2, $2, $2)`, service, noon)
		exec(t, s, `UPDATE deployments SET state = 'failed', finished_at = $2, counts = '{"updated": 0, "failed": 1, "unknown": 0, "rolled_back": 0}',
			result = '{"success": false}' WHERE service = $1 AND finished_at IS NULL`, service, minute(5))
	}
	cut, cancel := context.WithCancel(ctx(t))
	cancel()
	if _, err := s.RefreshFigures(cut); err == nil {
		t.Error("it went on")
	}
	for _, complete := range []bool{false, true} {
		var done bool
		must(t, s.Pool().QueryRow(ctx(t), `SELECT done FROM figures_backfill`).Scan(&done))
		if done != complete {
			t.Errorf("the backfill is done: %v", done)
		}
		tallies, err := s.StateCounts(ctx(t), authz.Everywhere())
		must(t, err)
		if want := []catalog.StateCount{{State: "completed", Strategy: "rolling", Count: 50}, {State: "failed", Strategy: "rolling", Count: 2}}; !reflect.DeepEqual(tallies, want) {
			t.Errorf("%+v", tallies)
		}
		if sum, each := doraReport(t, s, authz.Everywhere(), dora.Query{}); sum.Changes != 52 || sum.Failed != 2 || sum.Unrecovered != 2 || len(each) != 50 {
			t.Errorf("%+v", sum)
		}
		refreshed(t, openAt(t, url))
	}
}

func TestFigures_OlderServerNeedsNoNewRights(t *testing.T) {
	t.Parallel()
	url := atVersion(t, 15)
	owner := openAt(t, url)
	role := newRole(t, owner)
	must(t, administer(owner).GrantTo(ctx(t), role))
	must(t, administer(owner).Migrate(ctx(t)))
	s := openAt(t, as(t, url, role))
	exec(t, s, `INSERT INTO deployments (id, service, environment, kind, strategy, spec, state, direction, created_at, started_at, next_run_at)
		VALUES (gen_random_uuid(), 'previous', 'production', 'deploy', 'rolling', '{}', 'in_progress', 'forward', $1, $1, $1)`, noon)
	exec(t, s, `UPDATE deployments SET state = 'completed', finished_at = $1, counts = '{"updated": 1, "failed": 0, "unknown": 0, "rolled_back": 0}',
		result = '{"success": true}' WHERE service = 'previous'`, minute(5))
	refreshed(t, owner)
	must(t, administer(owner).GrantTo(ctx(t), role))
	lived(t, s)
	refreshed(t, s)
	tallies, err := s.StateCounts(ctx(t), authz.Everywhere())
	must(t, err)
	if len(tallies) != 1 || tallies[0].Count != 2 {
		t.Errorf("%+v", tallies)
	}
}
