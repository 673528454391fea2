package e2e

import (
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// refused posts a request that must change nothing, and wants a pointer to what is wrong with it.
func (p *process) refused(body object, pointer string) {
	p.t.Helper()
	var problem struct{ Errors []struct{ Pointer string } }
	res, data := call(p.t, http.MethodPost, p.url+"/deployments", body, &problem)
	if res.StatusCode != http.StatusUnprocessableEntity || len(problem.Errors) == 0 || !strings.HasPrefix(problem.Errors[0].Pointer, pointer) {
		p.t.Errorf("answered %d %s, without a pointer to %s", res.StatusCode, data, pointer)
	}
	if all := list[deployment](p, "/deployments"); len(all) > 0 {
		p.t.Errorf("%d deployments were made", len(all))
	}
}

func TestCreate_StagesMustRiseTo100(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	p := serve(t, dbtest.New(t))
	for _, stages := range [][]int{{10, 50}, {50, 25, 100}, {10, 10, 100}, {0, 100}, {50, 101}, {}} {
		p.refused(request(f, "v2", object{"type": "canary", "stages": stages}), "/strategy/stages")
	}
}

func TestCreate_EmptyTargetListIsRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t))
	body := request(f, "v2", object{"type": "rolling"})
	body["targets"] = []object{}
	p.refused(body, "/targets")
}

func TestRolling_ToleratedFailureCountsOnce(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	for name, failing := range map[string]int{"one": 1, "two": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 6, "v1")
			for _, target := range f.Targets[1 : 1+failing] { // each fails in both of its attempts
				target.QueueBehaviours(testtarget.Behaviour{Status: http.StatusInternalServerError}, testtarget.Behaviour{Status: http.StatusInternalServerError})
			}
			body := request(f, "v2", object{"type": "rolling", "batch_size": 2, "max_failures": 1, "bake": "200ms"})
			body["service"] = name
			d := p.awaitEnd(p.post(body).ID)
			if failing == 1 {
				assertEnd(p, d, "completed", true)
				if d.Result.Failed != 1 || d.Result.Updated != 5 || len(d.Result.Errors) != 1 || d.Result.Errors[0].Target != f.Targets[1].ID {
					t.Errorf("%+v", d.Result)
				}
				return
			}
			assertEnd(p, d, "rolled_back", false)
			assertRuns(t, f, allRun("v1"))
		})
	}
}

func TestCanary_RepeatStaysWithinStage(t *testing.T) {
	t.Parallel()
	f := mixed(t, 10)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	strategy := object{"type": "canary", "stages": []any{object{"percent": 20, "promotion": "manual", "duration": "0s"}, 100}, "stage_duration": "0s"}
	for range 3 {
		d := p.post(routed(b, "v2", strategy))
		p.await(d.ID, "at its gate", func(d *deployment) bool { return d.State == "paused" })
		exposed := 0
		for _, target := range f.Targets {
			if target.Version() == "v2" {
				exposed++
			}
		}
		if now, _ := b.last(); exposed != 2 || len(f.Calls()) != 2 || now.NewWeight != 20 {
			t.Errorf("%d targets exposed by %d calls, with %d %% of traffic", exposed, len(f.Calls()), now.NewWeight)
		}
		p.ask("/deployments/"+d.ID+"/abort", http.StatusOK)
		assertEnd(p, p.awaitEnd(d.ID), "aborted", false)
	}
}

func TestRollback_WithoutPredecessorIsConflict(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v1")
	p := serve(t, dbtest.New(t))
	body := request(f, "v2", object{"type": "rolling"})
	body["health_checks"] = []object{{"type": "tcp"}} // what ran before is unknown
	done := p.awaitEnd(p.post(body).ID)
	assertEnd(p, done, "completed", true)
	calls := len(f.Calls())
	for _, path := range []string{"/deployments/" + done.ID + "/rollback", "/services/checkout/environments/production/rollback"} {
		var problem struct{ Detail string }
		res, data := call(t, http.MethodPost, p.url+path, nil, &problem)
		if res.StatusCode != http.StatusConflict || !strings.Contains(problem.Detail, "previous version") {
			t.Errorf("%s answered %d %s", path, res.StatusCode, data)
		}
	}
	if len(f.Calls()) != calls {
		t.Errorf("%d calls", len(f.Calls())-calls)
	}
}

func TestResult_KeepsVersionAndTargetOutcomes(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, "v1")
	f.Targets[1].QueueBehaviours(testtarget.Behaviour{Status: http.StatusForbidden})
	p := serve(t, dbtest.New(t))
	d := p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling", "batch_size": 3, "max_failures": 1})).ID)
	var shown struct{ Service, Environment, Version string }
	call(t, http.MethodGet, p.url+"/deployments/"+d.ID, nil, &shown)
	if shown.Service != "checkout" || shown.Environment != "production" || shown.Version != "v2" {
		t.Errorf("%+v", shown)
	}
	failed := f.Targets[1].ID
	if errors := d.Result.Errors; len(errors) != 1 || errors[0].Target != failed || !strings.Contains(errors[0].Message, "403") {
		t.Errorf("errors %+v", errors)
	}
	type outcome struct {
		ID, State string
		Version   *string
		Error     *string
	}
	for _, o := range list[outcome](p, "/deployments/"+d.ID+"/targets") {
		well := o.State == "updated" && o.Error == nil && *o.Version == "v2"
		unhealthy := o.State == "failed" && o.Error != nil && strings.Contains(*o.Error, "403")
		if o.ID == failed && !unhealthy || o.ID != failed && !well {
			t.Errorf("%s is %s: version %v, error %v", o.ID, o.State, o.Version, o.Error)
		}
	}
}

func TestCreate_PreviousVersionIsLookedUp(t *testing.T) {
	t.Parallel()
	f := mixed(t, 4) // the request names no version but the new one
	p := serve(t, dbtest.New(t))
	done := p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling", "batch_size": 2})).ID)
	assertEnd(p, done, "completed", true)
	for _, r := range list[targetResult](p, "/deployments/"+done.ID+"/targets") {
		if want := own(indexOf(f, r.ID)); r.PreviousVersion == nil || *r.PreviousVersion != want {
			t.Errorf("%s ran %v, not %s", r.ID, r.PreviousVersion, want)
		}
	}
	back := p.awaitEnd(p.ask("/deployments/"+done.ID+"/rollback", http.StatusAccepted).ID)
	assertEnd(p, back, "rolled_back", true)
	assertRuns(t, f, own)
}

func indexOf(f *testtarget.Fleet, id string) int {
	for i, target := range f.Targets {
		if target.ID == id {
			return i
		}
	}
	return -1
}
