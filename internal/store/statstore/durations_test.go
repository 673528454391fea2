package statstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/dora"
	"rollcall/internal/rollout"
	"rollcall/internal/store"
	"rollcall/internal/store/statstore"
)

// ended adds n deployments that ended in the last 90 days, in 50 services, with specs of the size that they have.
func ended(t testing.TB, s *store.Store, n int) {
	t.Helper()
	// A commit that is not flushed keeps VACUUM from knowing that all can be seen.
	conn, err := pgx.Connect(t.Context(), s.Pool().Config().ConnString()+"&synchronous_commit=on")
	must(t, err)
	defer func() { must(t, conn.Close(t.Context())) }()
	_, err = conn.Exec(t.Context(), `
		INSERT INTO deployments (id, service, environment, version, kind, strategy, spec, state, direction, counts, result,
			created_at, started_at, finished_at, next_run_at, committed_at)
		SELECT gen_random_uuid(), 'service-' || n % 50, CASE WHEN n % 3 = 0 THEN 'staging' ELSE 'production' END, 'v' || n, 'deploy', 'rolling',
			jsonb_build_object('strategy', jsonb_build_object('type', 'rolling'), 'pad', repeat('x', 600)),
			CASE WHEN n % 12 = 0 THEN 'rolled_back' ELSE 'completed' END, 'forward', '{"updated": 3, "failed": 0, "unknown": 0, "rolled_back": 0}', jsonb_build_object('success', n % 12 <> 0),
			at - interval '3 minutes', at - interval '2 minutes' - n % 97 * interval '1 second', at, at, at - n % 1009 * interval '1 minute'
		FROM (SELECT n, now() - n / $1::float8 * interval '89 days' AS at FROM generate_series(1, $1::int) n) numbered`, n)
	must(t, err)
	_, err = conn.Exec(t.Context(), `VACUUM (ANALYZE) deployments`)
	must(t, err)
}

// Before the days are read, too.
func TestSummary_FiguresReadNoRowOfADeployment(t *testing.T) {
	t.Parallel()
	s := open(t)
	ended(t, s, 20_000)
	month := []any{30 * 24 * time.Hour, true, []string{}, []string{}}
	for index, statements := range map[string]map[string][]any{
		"deployments_counted": {statstore.StateCountsSQL(false): nil, statstore.ServiceCountsSQL(false): nil},
		"deployments_lasted":  {statstore.DurationsSQL(): month},
	} {
		for sql, args := range statements {
			rows, err := s.Pool().Query(ctx(t), `EXPLAIN (ANALYZE, TIMING OFF) `+sql, args...)
			must(t, err)
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			must(t, err)
			plan := strings.Join(lines, "\n")
			if !strings.Contains(plan, "Index Only Scan using "+index) || !strings.Contains(plan, "Heap Fetches: 0") {
				t.Errorf("%s\n%s", sql, plan)
			}
		}
	}
}

// The rows of 20,000 deployments are more than 2,000 pages.
func TestFigures_AreReadWithoutTheDeployments(t *testing.T) {
	t.Parallel()
	s := open(t)
	ended(t, s, 20_000)
	refreshed(t, s)
	exec(t, s, `VACUUM (FULL, ANALYZE) figures_days, figures_counts`) // as after an autovacuum, which tests cannot wait for
	month := time.Now().AddDate(0, 0, -30)
	for sql, args := range map[string][]any{
		statstore.StateCountsSQL(true): nil, statstore.ServiceCountsSQL(true): nil, statstore.DurationDaysSQL(): {month}, statstore.DoraDaysSQL(): {month, time.Now()},
	} {
		var plans []struct{ Plan planNode }
		must(t, s.Pool().QueryRow(ctx(t), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+sql, args...).Scan(&plans))
		if pages := plans[0].Plan.pagesOf("deployments"); pages > 20 {
			t.Errorf("%d pages of deployments are read by %s", pages, sql)
		}
		if pages := plans[0].Plan.pagesOf("figures_"); pages == 0 {
			t.Errorf("no figures are read by %s", sql)
		}
	}
}

// The days of a month that is put together are not looked at.
func TestFigures_DaysAreFoundByMonth(t *testing.T) {
	t.Parallel()
	s := open(t)
	ended(t, s, 2_000)
	refreshed(t, s)
	exec(t, s, `VACUUM (FULL, ANALYZE) figures_days, figures_months`)
	month := time.Now().AddDate(0, 0, -60)
	for sql, args := range map[string][]any{statstore.DurationDaysSQL(): {month}, statstore.DoraDaysSQL(): {month, time.Now()}} {
		wantPlan(t, s, "Index Cond: ((service = d_1.service) AND (environment = d_1.environment) AND (day >= d_1.month)", sql, args...)
	}
}

// planNode is a step of a plan that EXPLAIN has run.
type planNode struct {
	Relation string `json:"Relation Name"`
	Hit      int    `json:"Shared Hit Blocks"`
	Read     int    `json:"Shared Read Blocks"`
	Plans    []planNode
}

// pagesOf counts the pages that are read of tables with this prefix, as often as they are read.
func (n *planNode) pagesOf(table string) int {
	if strings.HasPrefix(n.Relation, table) {
		return n.Hit + n.Read
	}
	pages := 0
	for i := range n.Plans {
		pages += n.Plans[i].pagesOf(table)
	}
	return pages
}

func BenchmarkSummary_Of300000(b *testing.B) {
	s := open(b)
	ended(b, s, 300_000)
	refreshed(b, s)
	for b.Loop() {
		_, err := s.StateCounts(b.Context(), authz.Everywhere())
		must(b, err)
		_, err = s.ServiceCounts(b.Context(), authz.Everywhere())
		must(b, err)
		_, err = s.DurationStats(b.Context(), authz.Everywhere(), 30*24*time.Hour)
		must(b, err)
	}
}

func BenchmarkDora_Of300000(b *testing.B) {
	s := open(b)
	ended(b, s, 300_000)
	refreshed(b, s)
	for _, days := range []int{90, 365} {
		b.Run(fmt.Sprintf("%dd", days), func(b *testing.B) {
			until := time.Now()
			for b.Loop() {
				_, err := s.DORAReport(b.Context(), authz.Everywhere(), dora.Query{Since: until.AddDate(0, 0, -days), Until: until})
				must(b, err)
			}
		})
	}
}

func TestStateCounts_MatchDeployments(t *testing.T) {
	t.Parallel()
	s := open(t)
	finish(t, s, started(t, s, "checkout", "r1"), rollout.StateCompleted)
	createDeployment(t, s, request("checkout", 1))
	createDeployment(t, s, request("shop", 1))
	got, err := s.StateCounts(ctx(t), authz.Everywhere())
	must(t, err)
	want := []catalog.StateCount{
		{State: rollout.StateCompleted, Strategy: "rolling", Count: 1}, {State: rollout.StatePending, Strategy: "rolling", Count: 2},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDurations_ReadOnlyTheirWindow(t *testing.T) {
	t.Parallel()
	wantPlan(t, open(t), "Index Cond: (created_at >= ", statstore.DurationsSQL(), time.Hour, true, []string{}, []string{})
}
