package api_test

import (
	"net/http"
	"reflect"
	"testing"

	"rollcall/internal/authz"
)

func TestDora_CoversRequestedTimeAndScopes(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	nothing := map[string]any{"count": 0.0, "p50_ms": nil, "p95_ms": nil}
	empty := c.get("/stats/dora").want(t, http.StatusOK).object(t)
	total, _ := empty["total"].(map[string]any)
	if !reflect.DeepEqual(empty["items"], []any{}) || total["change_fail_rate"] != nil || total["deployment_frequency"] != 0.0 ||
		!reflect.DeepEqual(total["lead_time"], nothing) || total["service"] != nil {
		t.Errorf("of nothing: %v", empty)
	}
	end := func(body, state, at string) {
		exec(t, s, `UPDATE deployments SET state = $2, created_at = $3::timestamptz, started_at = $3::timestamptz, counts = '{"updated": 1, "failed": 0, "unknown": 0, "rolled_back": 0}',
			finished_at = $3::timestamptz, result = jsonb_build_object('success', $2::text = 'completed') WHERE id = $1`, c.created(body), state, at)
	}
	end(with("labels", `{"commit_time": "2026-03-02T11:00:00+01:00"}`), "completed", "2026-03-02T12:00:00Z")
	end(with("version", `"v9"`), "failed", "2026-03-03T12:00:00Z")
	end(with("environment", `"staging"`), "completed", "2026-03-03T12:00:00Z")

	got := c.get("/stats/dora?since=2026-03-01T00:00:00Z&until=2026-03-05T00:00:00Z&service=checkout&environment=production").want(t, http.StatusOK).object(t)
	total, _ = got["total"].(map[string]any)
	want := map[string]any{
		"service": nil, "environment": nil, "changes": 2.0, "deployment_frequency": 0.25, "change_fail_rate": 0.5, "failed": 1.0, "unrecovered": 1.0,
		"failed_deployment_recovery_time": nothing, "lead_time": map[string]any{"count": 1.0, "p50_ms": 7.2e6, "p95_ms": 7.2e6},
	}
	if !reflect.DeepEqual(total, want) {
		t.Errorf("got  %v\nwant %v", total, want)
	}
	for query, count := range map[string]int{
		"?since=2026-03-01T00:00:00Z": 2, "?until=2026-03-02T12:00:00Z&window=3650d": 0, "?until=2026-03-02T12:00:01Z&window=1m": 1, "?window=1m": 0,
	} {
		items, _ := c.get("/stats/dora"+query).want(t, http.StatusOK).object(t)["items"].([]any)
		if len(items) != count {
			t.Errorf("%s: %v", query, items)
		}
	}
	for query, pointer := range map[string]string{
		"?window=soon": "/window", "?window=30d&since=2026-03-01T00:00:00Z": "/window", "?since=2026-03-01T00:00:00Z&until=2026-03-01T00:00:00Z": "/since",
		"?since=9000-01-01T00:00:00Z": "/since", "?since=yesterday": "/since", "?service=A%20b": "/service",
	} {
		c.get("/stats/dora"+query).wantProblem(t, http.StatusUnprocessableEntity, pointer)
	}
}

func TestDora_ExcludesOtherScopes(t *testing.T) {
	t.Parallel()
	operator, s := serveGuarded(t)
	operator.post(deploymentOf("checkout", "production")).want(t, http.StatusAccepted)
	exec(t, s, `UPDATE deployments SET state = 'completed', started_at = now(), finished_at = now(), result = '{"success": true}',
		counts = '{"updated": 1, "failed": 0, "unknown": 0, "rolled_back": 0}'`)
	for scope, want := range map[string]float64{"*/*": 1, "checkout/*": 1, "checkout/staging": 0, "other/*": 0} {
		who := operator.holder("who", authz.RoleViewer, scope)
		recent, _ := who.get("/stats/dora?until=2099-01-01T00:00:00Z&since=2026-01-01T00:00:00Z").want(t, http.StatusOK).object(t)["total"].(map[string]any)
		if recent["changes"] != want {
			t.Errorf("%s sees %v", scope, recent)
		}
	}
}

// Figures of days are read; what no server has read into them yet is counted one by one, as far as that is bounded.
func TestDora_MoreThanCanBeCountedWaitsForFigures(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	for hour := range 14 {
		exec(t, s, `INSERT INTO deployments (id, service, environment, kind, strategy, spec, state, direction, created_at, finished_at, next_run_at)
			SELECT gen_random_uuid(), 'checkout', 'production', 'deploy', 'rolling', '{}', 'completed', 'forward', at, at, at
			FROM generate_series(timestamptz '2026-03-02' + make_interval(hours => $1), timestamptz '2026-03-02' + make_interval(hours => $1, mins => 60), interval '1 second') at`, hour)
	}
	const day = "/stats/dora?until=2026-03-03T00:00:00Z&window=1d"
	c.get(day).want(t, http.StatusServiceUnavailable)
	for more := true; more; {
		var err error
		if more, err = s.RefreshFigures(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c.get(day).want(t, http.StatusOK)
}

func TestCreate_CommitTimeMustBeATime(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	for _, bad := range []string{"yesterday", "", "2026-03-02", "1772445600", "2026-02-31T00:00:00Z"} {
		c.post(with("labels", `{"commit_time": "`+bad+`"}`)).wantProblem(t, http.StatusUnprocessableEntity, "/labels/commit_time")
	}
	c.created(with("labels", `{"commit_time": "2026-03-02T11:00:00.5-08:00"}`))
}
