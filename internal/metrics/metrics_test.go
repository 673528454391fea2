package metrics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// tallies is a database for these tests: what it holds, or away.
type tallies struct {
	rows []catalog.StateCount
	away atomic.Bool
}

var errAway = errors.New("away")

func (d *tallies) StateCounts(context.Context, authz.Scopes) ([]catalog.StateCount, error) {
	if d.away.Load() {
		return nil, errAway
	}
	return d.rows, nil
}

func (d *tallies) CountStuck(context.Context) (int, error) { return 3, nil }

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if w.Code != http.StatusOK {
		t.Fatalf("scrape: HTTP %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func wantLines(t *testing.T, page string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("the page has no line %s", line)
		}
	}
}

func lazyPool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), "postgres://none@127.0.0.1:1/none?pool_max_conns=7")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func exercised(t *testing.T) *Metrics {
	t.Helper()
	m := New(known())
	m.RegisterDatabase(&tallies{rows: []catalog.StateCount{
		{State: rollout.StateInProgress, Strategy: "rolling", Count: 2},
		{State: rollout.StateInProgress, Strategy: "canary", Count: 1},
		{State: rollout.StateCompleted, Strategy: "mine", Count: 4},
		{State: rollout.StateCompleted, Strategy: "yours", Count: 5},
		{State: "odd", Strategy: "rolling", Count: 9},
	}})
	m.RegisterPool(lazyPool(t).Stat)
	m.CallDone(rollout.CallDeploy, rollout.ResultRetry, time.Second)
	m.ProbeDone("http", healthcheck.Healthy, time.Millisecond)
	m.ProbeDone("my-own", "odd", time.Millisecond)
	m.DeploymentStarted("canary")
	m.DeploymentEnded("canary", rollout.StateRolledBack, 90*time.Minute)
	m.TakenOver()
	m.SaveFenced()
	m.SaveDone(time.Millisecond, 100, false)
	m.SaveDone(time.Millisecond, 1, true)
	return m
}

// known are kinds as a server knows them.
func known() Kinds {
	return Kinds{
		Strategies: []string{"rolling", "blue_green", "canary"}, Checks: []string{"http", "tcp", healthcheck.TypeNone},
		Routers: []string{"webhook", "haproxy"},
	}
}

func TestPage_ShowsWhatHappened(t *testing.T) {
	t.Parallel()
	wantLines(t, scrape(t, exercised(t)),
		`rollcall_target_calls_total{action="deploy",result="retry"} 1`,
		`rollcall_target_calls_total{action="rollback",result="lost"} 0`,
		`rollcall_target_call_duration_seconds_count{action="deploy"} 1`,
		`rollcall_checks_total{status="healthy",type="http"} 1`,
		`rollcall_check_duration_seconds_count{type="http"} 1`,
		`rollcall_deployments_started_total{strategy="canary"} 1`,
		`rollcall_deployments_total{outcome="rolled_back",strategy="canary"} 1`,
		`rollcall_deployments_total{outcome="failed",strategy="blue_green"} 0`,
		`rollcall_deployment_duration_seconds_bucket{outcome="rolled_back",strategy="canary",le="3600"} 0`,
		`rollcall_deployment_duration_seconds_bucket{outcome="rolled_back",strategy="canary",le="7200"} 1`,
		`rollcall_takeovers_total 1`, `rollcall_fenced_writes_total 1`,
		`rollcall_saves_total{result="ok"} 1`, `rollcall_saves_total{result="error"} 1`,
		`rollcall_save_targets_sum 101`, `rollcall_db_pool_max_connections 7`,
	)
}

func TestDeployments_AreReadFromDatabase(t *testing.T) {
	t.Parallel()
	page := scrape(t, exercised(t))
	wantLines(t, page,
		`rollcall_deployments{state="in_progress",strategy="rolling"} 2`,
		`rollcall_deployments{state="in_progress",strategy="canary"} 1`,
		`rollcall_deployments{state="completed",strategy="other"} 9`,
		`rollcall_deployments{state="paused",strategy="blue_green"} 0`,
		`rollcall_deployments_in_flight{state="in_progress"} 3`,
		`rollcall_deployments_in_flight{state="paused"} 0`,
		`rollcall_stuck_deployments 3`, `rollcall_database_up 1`,
	)
	if strings.Contains(page, `in_flight{state="completed"}`) || strings.Contains(page, `"odd"`) {
		t.Error("the page shows what is not in flight, or no state at all")
	}
}

func TestDeployments_ScrapeWorksWithoutDatabase(t *testing.T) {
	t.Parallel()
	m, db := New(known()), &tallies{}
	m.RegisterDatabase(db)
	db.away.Store(true)
	page := scrape(t, m)
	wantLines(t, page, `rollcall_database_up 0`, `rollcall_takeovers_total 0`)
	if strings.Contains(page, "rollcall_deployments{") || strings.Contains(page, "rollcall_stuck_deployments ") {
		t.Error("the page has counts of deployments that could not be read")
	}
	db.away.Store(false)
	wantLines(t, scrape(t, m), `rollcall_database_up 1`, `rollcall_stuck_deployments 3`)
}

func TestLabels_UnexpectedValuesShareOneSeries(t *testing.T) {
	t.Parallel()
	m := New(known())
	for _, s := range []string{"", "a", "d41d8cd9", "web-1"} {
		m.ProbeDone(s, healthcheck.Health(s), 0)
		m.CallDone(rollout.CallAction(s), rollout.ResultKind(s), 0)
		m.DeploymentEnded(s, rollout.State(s), 0)
		m.DeploymentStarted(s)
	}
	page := scrape(t, m)
	wantLines(t, page, `rollcall_checks_total{status="other",type="other"} 4`,
		`rollcall_target_calls_total{action="other",result="other"} 4`,
		`rollcall_deployments_total{outcome="other",strategy="other"} 4`)
	if strings.Contains(page, "d41d8cd9") || strings.Contains(page, "web-1") {
		t.Error("an id became a label")
	}
}

func TestRequests_AreCountedByRoute(t *testing.T) {
	t.Parallel()
	m := New(known())
	router := chi.NewRouter()
	router.Use(m.Middleware)
	router.Route("/deployments", func(r chi.Router) {
		r.Get("/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		r.Post("/", func(http.ResponseWriter, *http.Request) {})
	})
	router.Get("/events", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, ": ping\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("an event stream cannot flush: %v", err)
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
			t.Errorf("an event stream cannot lift its deadline: %v", err)
		}
	})
	s := httptest.NewServer(router)
	t.Cleanup(s.Close)
	for _, ask := range []string{
		"GET /deployments/1", "GET /deployments/2", "POST /deployments/", "GET /events", "GET /no/such/path",
		"GET /nor/this", "BREW /deployments/1",
	} {
		method, path, _ := strings.Cut(ask, " ")
		req, _ := http.NewRequestWithContext(t.Context(), method, s.URL+path, http.NoBody)
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	s.Close() // a request is counted just after its answer: closing waits for that
	wantLines(t, scrape(t, m),
		`rollcall_http_requests_total{code="418",method="GET",route="/deployments/{id}"} 2`,
		`rollcall_http_requests_total{code="200",method="POST",route="/deployments"} 1`,
		`rollcall_http_requests_total{code="200",method="GET",route="/events"} 1`,
		`rollcall_http_requests_total{code="404",method="GET",route="unmatched"} 2`,
		`rollcall_http_request_duration_seconds_count{method="GET",route="/deployments/{id}"} 2`,
	)
	if page := scrape(t, m); strings.Contains(page, "BREW") || strings.Contains(page, "/no/such") {
		t.Error("what a caller wrote became a label")
	}
}

func TestRequests_OutsideRouterAreUnmatched(t *testing.T) {
	t.Parallel()
	m := New(known())
	h := m.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", http.NoBody))
	wantLines(t, scrape(t, m), `rollcall_http_requests_total{code="200",method="GET",route="unmatched"} 1`)
}

func TestMetrics_FollowPrometheusConventions(t *testing.T) {
	t.Parallel()
	m := exercised(t)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "rollcall_") {
			ours = append(ours, f.GetName())
		}
	}
	problems, err := testutil.GatherAndLint(m.registry, ours...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if len(ours) < 25 {
		t.Errorf("only %d metrics: %v", len(ours), ours)
	}
}

func TestMetrics_IncludeRuntimeProcessAndBuild(t *testing.T) {
	t.Parallel()
	page := scrape(t, New(known()))
	for _, name := range []string{"go_goroutines ", "process_open_fds ", "rollcall_build_info{", "promhttp_metric_handler_errors_total{"} {
		if !strings.Contains(page, "\n"+name) {
			t.Errorf("the page has no %s", name)
		}
	}
}

func TestMetrics_HandlerCanBeBuiltTwice(t *testing.T) {
	t.Parallel()
	m := New(known())
	wantLines(t, scrape(t, m), `rollcall_takeovers_total 0`)
	wantLines(t, scrape(t, m), `rollcall_takeovers_total 0`)
	a, b := New(known()), New(known()) // a registry each
	a.TakenOver()
	wantLines(t, scrape(t, b), `rollcall_takeovers_total 0`)
}
