package api_test

import (
	"net/http"
	"reflect"
	"testing"
)

func (c *client) plan(body string, headers ...string) answer {
	c.t.Helper()
	return c.do(http.MethodPost, "/deployments?dry_run=true", body, headers...)
}

func TestDryRun_ShowsPlan(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	remember(t, s, "d", "http://d", "v1", "unhealthy")
	c.put(`{"targets":[{"id":"a","address":"http://a"},{"id":"b","address":"http://b"},{"id":"c","address":"http://c"},
		{"id":"d","address":"http://d"},{"id":"e","address":"http://e"}],"strategy":{"type":"rolling","batch_size":[1,"40%"],
		"bake":"10s","batch_delay":"1m"},"health_checks":[{"type":"none"},{"type":"tcp","interval":"2s","initial_delay":"3s","healthy_threshold":3},
		{"type":"http"}]}`).want(t, http.StatusCreated)
	plan := c.plan(shortRequest).want(t, http.StatusOK).object(t)
	wave := func(n, weight float64, targets ...any) map[string]any {
		return map[string]any{"wave": n, "targets": targets, "traffic_weight": weight, "gate": nil, "bake": "10s"}
	}
	want := []any{wave(1, 20, "d"), wave(2, 60, "a", "b"), wave(3, 100, "c", "e")}
	if !reflect.DeepEqual(plan["waves"], want) {
		t.Errorf("%v", plan["waves"])
	}
	// three waves: 3 × (10s bake + 3s + 2 × 2s for the checks), and a minute after each of the first two
	if plan["least_capacity"] != 60.0 || plan["shortest_duration"] != "2m51s" {
		t.Errorf("%v", plan)
	}
	strategy, _ := plan["strategy"].(map[string]any)
	if !reflect.DeepEqual(strategy["batch_size"], []any{1.0, 2.0}) {
		t.Errorf("%v", strategy)
	}
	plan = c.plan(with("health_checks", `[{"type":"none"}]`)).want(t, http.StatusOK).object(t)
	if plan["least_capacity"] != 0.0 || plan["shortest_duration"] != "10s" {
		t.Errorf("one target: %v", plan)
	}
}

func TestDryRun_StoresNothing(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	c.plan(with("force", "true"), "Idempotency-Key", "k").want(t, http.StatusOK)
	if ids, _ := c.items("/deployments", "id"); len(ids) > 0 {
		t.Errorf("%v", ids)
	}
	a := c.post(with("force", "false"), "Idempotency-Key", "k").want(t, http.StatusAccepted) // the key is still free
	if a.Header.Get("Idempotency-Replayed") != "" {
		t.Error("the key was used")
	}
	c.plan(with("on_conflict", `"reject"`)).want(t, http.StatusOK) // others do not stand in the way of a plan
	c.do(http.MethodPost, "/deployments?dry_run=false", with("force", "true")).want(t, http.StatusAccepted)
}

func TestDryRun_RefusesLikeDeployment(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	for _, refused := range append(invalidBodies(), invalidStrategies()...) {
		c.plan(refused.body).wantProblem(t, refused.status, refused.pointer)
	}
	c.plan(shortRequest).wantProblem(t, http.StatusUnprocessableEntity, "/targets")
	c.plan(with("force", "true"), "Idempotency-Key", "").wantProblem(t, http.StatusBadRequest, noPointer)
}
