package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

const definedAt = "/services/checkout/environments/production"

// registered is what a request has that a definition takes.
func registered(f *testtarget.Fleet, strategy object) object {
	body := request(f, "", strategy)
	for _, field := range []string{"service", "environment", "version"} {
		delete(body, field)
	}
	return body
}

// change sends a definition's request under a precondition, and answers with the status and the definition's revision.
func (p *process) change(method string, body any, ifMatch string) (status int, etag string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+definedAt, payload(p.t, body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if ifMatch != "" {
		req.Header.Set("If-Match", ifMatch)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode, res.Header.Get("ETag")
}

func (p *process) defined() (keys []string) {
	p.t.Helper()
	for _, s := range list[struct {
		Service, Environment string
		Defined              bool
	}](p, "/services") {
		if s.Defined {
			keys = append(keys, s.Service+"/"+s.Environment)
		}
	}
	return keys
}

func TestDefinition_ChangeNeedsCurrentETag(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v1")
	p := serve(t, dbtest.New(t))
	body := registered(f, object{"type": "rolling"})
	_, first := p.change(http.MethodPut, body, "")
	status, second := p.change(http.MethodPut, registered(f, object{"type": "rolling", "batch_size": 2}), first)
	if status != http.StatusOK || second == first || second == "" {
		t.Errorf("a change answered %d, from %s to %s", status, first, second)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		if status, _ := p.change(method, body, first); status != http.StatusPreconditionFailed {
			t.Errorf("%s at an old revision answered %d", method, status)
		}
	}
	var got struct {
		Strategy struct {
			BatchSize int `json:"batch_size"`
		}
	}
	call(t, http.MethodGet, p.url+definedAt, nil, &got)
	if got.Strategy.BatchSize != 2 || !slices.Equal(p.defined(), []string{"checkout/production"}) {
		t.Errorf("after changes that were refused: %+v, defined %v", got, p.defined())
	}
	if status, _ := p.change(http.MethodDelete, nil, second); status != http.StatusNoContent {
		t.Errorf("DELETE answered %d", status)
	}
	if res, _ := call(t, http.MethodGet, p.url+definedAt, nil, nil); res.StatusCode != http.StatusNotFound || len(p.defined()) > 0 {
		t.Errorf("gone, and GET answers %d, defined %v", res.StatusCode, p.defined())
	}
}

func TestDefinition_SuppliesTheRest(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	p := serve(t, dbtest.New(t))
	short := func(version string) object {
		return object{"service": "checkout", "environment": "production", "version": version}
	}
	p.refused(short("v2"), "/targets")
	p.change(http.MethodPut, registered(f, object{"type": "rolling", "batch_size": 2}), "")
	assertEnd(p, p.awaitEnd(p.post(short("v2")).ID), "completed", true)
	assertRuns(t, f, allRun("v2"))
	if f.MaxOpen() > 2 {
		t.Errorf("%d calls at once", f.MaxOpen())
	}

	overridden := short("v3")
	overridden["targets"] = part[[]object](request(f, "", nil), "targets")[:1]
	assertEnd(p, p.awaitEnd(p.post(overridden).ID), "completed", true)
	assertRuns(t, f, half(allRun("v3"), allRun("v2"), 2)) // the first of four
	if status := p.status("checkout"); status.Version != nil || !status.Mixed || len(status.Targets) != 4 {
		t.Errorf("with one target ahead: %+v", status)
	}

	assertEnd(p, p.awaitEnd(p.post(short("v3")).ID), "completed", true)
	assertRuns(t, f, allRun("v3"))
}

// serviceStatus is what the tests read of a service's status.
type serviceStatus struct {
	Version *string
	Mixed   bool
	Targets []struct {
		ID, Health string
		Version    *string
	}
	Last *deployment `json:"last_deployment"`
	Slot *string     `json:"active_slot"`
}

func (p *process) status(service string) serviceStatus {
	p.t.Helper()
	var s serviceStatus
	res, data := call(p.t, http.MethodGet, p.url+"/services/"+service+"/environments/production/status", nil, &s)
	if res.StatusCode != http.StatusOK {
		p.t.Fatalf("the status answered %d %s", res.StatusCode, data)
	}
	return s
}

func TestStatus_FollowsTargetVersions(t *testing.T) {
	t.Parallel()
	f := mixed(t, 4)
	p := serve(t, dbtest.New(t))
	stage := object{"percent": 50, "duration": "0s", "promotion": "manual"}
	d := p.post(request(f, "v2", object{"type": "canary", "stages": []any{stage, 100}, "stage_duration": "0s"}))
	p.await(d.ID, "at its gate", func(d *deployment) bool { return d.State == "paused" })
	if s := p.status("checkout"); s.Version != nil || !s.Mixed || s.Last == nil || s.Last.ID != d.ID || s.Last.State != "paused" || s.Slot != nil {
		t.Errorf("half way: %+v", s)
	}
	p.ask("/deployments/"+d.ID+"/promote", http.StatusOK)
	p.awaitEnd(d.ID)
	assertStatus(t, p, d.ID, "completed", f)
	back := p.awaitEnd(p.ask("/deployments/"+d.ID+"/rollback", http.StatusAccepted).ID)
	assertStatus(t, p, back.ID, "rolled_back", f)
}

// assertStatus checks the status against the newest deployment and against what each target runs.
func assertStatus(t *testing.T, p *process, id, state string, f *testtarget.Fleet) {
	t.Helper()
	s := p.status("checkout")
	versions := map[string]bool{}
	for i, target := range s.Targets {
		runs := f.Targets[i].Version()
		versions[runs] = true
		if target.ID != f.Targets[i].ID || target.Version == nil || *target.Version != runs || target.Health != "healthy" {
			t.Errorf("%s runs %s; the status says %+v", f.Targets[i].ID, runs, target)
		}
	}
	if s.Mixed != (len(versions) > 1) || s.Mixed != (s.Version == nil) || s.Last == nil || s.Last.ID != id || s.Last.State != state {
		t.Errorf("%s: %+v, with versions %v", state, s, versions)
	}
}

func TestStats_SummaryCountsDeployments(t *testing.T) {
	t.Parallel()
	f, unhealthy := newFleet(t, 2, "v1"), newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t))
	assertEnd(p, p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID), "completed", true)
	unhealthy.Targets[0].SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v2" })
	body := request(unhealthy, "v2", object{"type": "rolling"})
	body["service"], body["healthy_deadline"] = "unhealthy", "500ms"
	assertEnd(p, p.awaitEnd(p.post(body).ID), "rolled_back", false)
	var summary struct {
		ByState   map[string]int `json:"by_state"`
		ByService []struct {
			Service string
			Total   int
			ByState map[string]int `json:"by_state"`
		} `json:"by_service"`
		Durations struct {
			Count   int
			Success *float64 `json:"success_rate"`
			P50     *float64 `json:"p50_ms"`
		}
	}
	call(t, http.MethodGet, p.url+"/summary", nil, &summary)
	if summary.ByState["completed"] != 1 || summary.ByState["rolled_back"] != 1 || summary.ByState["in_progress"] != 0 || len(summary.ByService) != 2 {
		t.Errorf("%+v", summary)
	}
	for _, s := range summary.ByService {
		if ended := map[string]string{"checkout": "completed", "unhealthy": "rolled_back"}[s.Service]; s.Total != 1 || s.ByState[ended] != 1 {
			t.Errorf("%+v", s)
		}
	}
	if d := summary.Durations; d.Count != 2 || d.Success == nil || *d.Success != 0.5 || d.P50 == nil || *d.P50 <= 0 {
		t.Errorf("%+v", d)
	}
}

func TestDryRun_PredictsDeployment(t *testing.T) {
	t.Parallel()
	f := mixed(t, 5)
	p := serve(t, dbtest.New(t))
	body := request(f, "v2", object{"type": "canary", "stages": []any{20, object{"percent": 60, "duration": "0s", "promotion": "manual"}, 100}, "stage_duration": "0s"})
	var plan struct {
		Waves []struct {
			Wave    int
			Targets []string
			Weight  int `json:"traffic_weight"`
			Gate    *string
		}
	}
	res, data := call(t, http.MethodPost, p.url+"/deployments?dry_run=true", body, &plan)
	if res.StatusCode != http.StatusOK || len(plan.Waves) != 3 || plan.Waves[1].Gate == nil || plan.Waves[0].Gate != nil || plan.Waves[1].Weight != 60 {
		t.Fatalf("answered %d %s", res.StatusCode, data)
	}
	if all := list[deployment](p, "/deployments"); len(all) > 0 || len(f.Calls()) > 0 || f.Targets[0].Probes() > 0 {
		t.Errorf("a dry run made %d deployments and %d calls", len(all), len(f.Calls()))
	}
	d := p.post(body)
	p.await(d.ID, "at the gate that was announced", func(d *deployment) bool { return d.State == "paused" && d.Progress.Wave == 2 })
	p.ask("/deployments/"+d.ID+"/promote", http.StatusOK)
	assertEnd(p, p.awaitEnd(d.ID), "completed", true)
	var announced []string
	for _, wave := range plan.Waves {
		announced = append(announced, slices.Sorted(slices.Values(wave.Targets))...)
	}
	var called []string
	for _, c := range f.Calls() {
		called = append(called, c.Target)
	}
	if !slices.Equal(slices.Sorted(slices.Values(called)), slices.Sorted(slices.Values(announced))) || !slices.Equal(called[:1], plan.Waves[0].Targets) {
		t.Errorf("announced %s, called %s", strings.Join(announced, " "), strings.Join(called, " "))
	}
}
