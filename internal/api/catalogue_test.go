package api_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"testing"

	"rollcall/internal/store"
)

// atOnce runs do n times side by side and waits for all.
func atOnce(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

func exec(t *testing.T, s *store.Store, sql string, args ...any) {
	t.Helper()
	if _, err := s.Pool().Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// remember writes down what runs on a target of checkout in production.
func remember(t *testing.T, s *store.Store, target, address string, version any, health string) {
	t.Helper()
	exec(t, s, `INSERT INTO remembered_targets (service, environment, target_id, address, version, health, fence, deployment_id, updated_at)
		VALUES ('checkout', 'production', $1, $4, $2, $3, 1, gen_random_uuid(), now())
		ON CONFLICT (service, environment, target_id) DO UPDATE SET version = excluded.version, health = excluded.health`, target, version, health, address)
}

func TestServices_AreDefinedOrDeployed(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	if got, _ := c.items("/services", "service"); len(got) > 0 {
		t.Errorf("%v", got)
	}
	c.created(with("service", `"b"`))
	newest := c.created(with("service", `"b"`))
	c.created(with("service", `"d"`))
	for _, path := range []string{"/services/b/environments/production", "/services/a/environments/x", "/services/b/environments/a.b", "/services/z/environments/gone"} {
		c.do(http.MethodPut, path, defined).want(t, http.StatusCreated)
	}
	c.do(http.MethodDelete, "/services/z/environments/gone", "").want(t, http.StatusNoContent)
	want := []any{"a/x true <nil>", "b/a.b true <nil>", "b/production true " + newest, "d/production false"}
	items, _ := c.get("/services").want(t, http.StatusOK).object(t)["items"].([]any)
	var got []any
	for _, item := range items {
		o, _ := item.(map[string]any)
		last, _ := o["last_deployment"].(map[string]any)
		line := fmt.Sprintf("%v/%v %v", o["service"], o["environment"], o["defined"])
		if o["service"] != "d" {
			line += fmt.Sprintf(" %v", last["id"])
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if pages := c.pages("/services?", "environment"); !slices.Equal(pages, []any{"x", "a.b", "production", "production"}) {
		t.Errorf("pages %v", pages)
	}
	for _, cursor := range []string{"x", "AAAA", "czphIGIgYw", "czph"} {
		c.get("/services?cursor="+cursor).wantProblem(t, http.StatusUnprocessableEntity, "/cursor")
	}
}

func TestStatus_ShowsRunningVersions(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	const at = definitionAt + "/status"
	c.get(at).wantProblem(t, http.StatusNotFound, noPointer)
	want := func(version any, mixed bool, targets ...string) map[string]any {
		t.Helper()
		status := c.get(at).want(t, http.StatusOK).object(t)
		var got []string
		list, _ := status["targets"].([]any)
		for _, item := range list {
			target, _ := item.(map[string]any)
			got = append(got, fmt.Sprint(target["id"], " ", target["version"], " ", target["health"]))
		}
		if status["version"] != version || status["mixed"] != mixed || !slices.Equal(got, targets) {
			t.Errorf("%v, want %v %v %v", status, version, mixed, targets)
		}
		return status
	}
	c.created(with("version", `"v0"`))
	id := c.created(with("targets", `[{"id":"a","address":"http://10.0.0.1","version":"v1"},{"id":"b","address":"http://10.0.0.2"}]`))
	status := want(nil, true, "a v1 unknown", "b <nil> unknown")
	if last, _ := status["last_deployment"].(map[string]any); last["id"] != id || status["active_slot"] != nil {
		t.Errorf("%v", status)
	}
	remember(t, s, "a", "http://10.0.0.1", nil, "unhealthy")
	want(nil, false, "a <nil> unhealthy", "b <nil> unknown")
	remember(t, s, "a", "http://10.0.0.1", "v2", "healthy")
	remember(t, s, "b", "http://10.0.0.2:80/", "v2", "degraded")
	want("v2", false, "a v2 healthy", "b v2 degraded")

	c.put(`{"targets":[{"id":"c","address":"http://10.0.0.3","version":"v1"},{"id":"a","address":"http://10.0.0.1"}]}`).want(t, http.StatusCreated)
	want(nil, true, "c v1 unknown", "a v2 healthy")
	remember(t, s, "c", "http://10.0.0.3", "v2", "healthy")
	want("v2", false, "c v2 healthy", "a v2 healthy")

	c.do(http.MethodPut, "/services/new/environments/e", defined).want(t, http.StatusCreated)
	status = c.get("/services/new/environments/e/status").want(t, http.StatusOK).object(t)
	if status["last_deployment"] != nil || status["version"] != nil || status["mixed"] != false {
		t.Errorf("%v", status)
	}
}

func TestSummary_CountsDeployments(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	empty := c.get("/summary").want(t, http.StatusOK).object(t)
	nothing := map[string]any{"window": "720h0m0s", "count": 0.0, "success_rate": nil, "p50_ms": nil, "p95_ms": nil}
	if !reflect.DeepEqual(empty["durations"], nothing) || !reflect.DeepEqual(empty["by_service"], []any{}) {
		t.Errorf("%v", empty)
	}
	finish := func(id, state string, seconds int, success bool, age string) {
		exec(t, s, `UPDATE deployments SET state = $2, created_at = now() - $5::interval, started_at = now() - $5::interval,
			finished_at = now() - $5::interval + make_interval(secs => $3), result = jsonb_build_object('success', $4::bool)
			WHERE id = $1`, id, state, seconds, success, age)
	}
	for i, seconds := range []int{10, 20, 30} {
		finish(c.created(with("environment", fmt.Sprintf(`"e%d"`, i))), "completed", seconds, true, "1 hour")
	}
	finish(c.created(with("service", `"b"`)), "failed", 40, false, "1 hour")
	finish(c.created(with("service", `"b"`)), "completed", 1000, true, "40 days")
	c.created(with("service", `"b"`)) // superseded by the next: it took no time
	c.created(with("service", `"b"`))

	got := c.get("/summary?window=30d").want(t, http.StatusOK).object(t)
	states, _ := got["by_state"].(map[string]any)
	if len(states) != 9 || states["completed"] != 4.0 || states["failed"] != 1.0 || states["superseded"] != 1.0 || states["pending"] != 1.0 || states["aborted"] != 0.0 {
		t.Errorf("%v", states)
	}
	services, _ := got["by_service"].([]any)
	first, _ := services[0].(map[string]any)
	second, _ := services[1].(map[string]any)
	if len(services) != 2 || first["service"] != "b" || first["total"] != 4.0 || second["service"] != "checkout" || second["total"] != 3.0 {
		t.Errorf("%v", services)
	}
	want := map[string]any{"window": "720h0m0s", "count": 4.0, "success_rate": 0.75, "p50_ms": 25000.0, "p95_ms": 38500.0}
	if !reflect.DeepEqual(got["durations"], want) {
		t.Errorf("%v", got["durations"])
	}
	for window, count := range map[string]float64{"41d": 5, "3650d": 5, "1m": 0, "90m": 4} {
		durations, _ := c.get("/summary?window="+window).want(t, http.StatusOK).object(t)["durations"].(map[string]any)
		if durations["count"] != count {
			t.Errorf("%s: %v", window, durations)
		}
	}
	for _, window := range []string{"soon", "-1h", "59s", "0d", "3651d", "99999d", "d", "1.5d", "", "-1d"} {
		c.get("/summary?window="+window).wantProblem(t, http.StatusUnprocessableEntity, "/window")
	}
}
