package e2e

import (
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// takesNoWayBack has a target refuse every call for the version that it would go back to.
func takesNoWayBack(target *testtarget.Target, version string) {
	target.SetBehaviour(func(b *testtarget.Behaviour) { b.Status, b.OnVersion = http.StatusForbidden, version })
}

func (p *process) states(id string) map[string]string {
	p.t.Helper()
	states := map[string]string{}
	for _, r := range list[targetResult](p, "/deployments/"+id+"/targets") {
		states[r.ID] = r.State
	}
	return states
}

// assertLoud checks that a failure cannot be overlooked: the reason, the last event, the errors, and the metrics.
func assertLoud(t *testing.T, p *process, d deployment, target, says string) {
	t.Helper()
	assertEnd(p, d, "failed", false)
	if !strings.Contains(d.Reason, says) {
		t.Errorf("the reason is %q", d.Reason)
	}
	named := false
	for _, e := range d.Result.Errors {
		named = named || e.Target == target && strings.Contains(e.Message, "403")
	}
	if !named {
		t.Errorf("no error of %s in %+v", target, d.Result.Errors)
	}
	if n := p.count(d.ID, "deployment.failed"); n != 1 {
		t.Errorf("%d events say that it failed", n)
	}
	assertMetric(t, p, `rollcall_deployments_total{outcome="failed",strategy="rolling"} 1`)
	assertMetric(t, p, `rollcall_deployments{state="failed",strategy="rolling"} 1`)
}

func TestRollback_FailedOneCanBeRetried(t *testing.T) {
	t.Parallel()
	f := mixed(t, 4)
	p := serve(t, dbtest.New(t))
	done := p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling", "batch_size": 2})).ID)
	stuck := f.Targets[1]
	takesNoWayBack(stuck, own(1))

	failed := p.awaitEnd(p.ask("/deployments/"+done.ID+"/rollback", http.StatusAccepted).ID)
	assertLoud(t, p, failed, stuck.ID, stuck.ID)
	assertTruth(p, failed.ID, f)
	for id, state := range p.states(failed.ID) {
		if want := map[bool]string{true: "failed", false: "updated"}[id == stuck.ID]; state != want {
			t.Errorf("%s is %s, not %s", id, state, want)
		}
	}
	assertRuns(t, f, func(i int) string {
		if i == 1 {
			return "v2"
		}
		return own(i)
	})

	stuck.SetBehaviour(func(b *testtarget.Behaviour) { *b = testtarget.Behaviour{} })
	calls := len(f.Calls())
	retry := p.awaitEnd(p.ask("/deployments/"+failed.ID+"/retry", http.StatusAccepted).ID)
	assertEnd(p, retry, "rolled_back", true)
	assertRuns(t, f, own)
	if len(f.Calls()) != calls+1 {
		t.Errorf("the retry took %d calls", len(f.Calls())-calls)
	}
}

func TestRollback_FailedInPlaceCanBeRepeated(t *testing.T) {
	t.Parallel()
	f := mixed(t, 4)
	p := serve(t, dbtest.New(t))
	stuck := f.Targets[0]
	takesNoWayBack(stuck, own(0))
	f.Targets[2].SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v2" })
	body := request(f, "v2", object{"type": "rolling", "batch_size": 2})
	body["healthy_deadline"] = "1s"

	failed := p.awaitEnd(p.post(body).ID)
	assertLoud(t, p, failed, stuck.ID, "rollback failed")
	assertTruth(p, failed.ID, f)
	want := map[string]string{"web-1": "failed", "web-2": "rolled_back", "web-3": "rolled_back"}
	states := p.states(failed.ID)
	for id, state := range want {
		if states[id] != state {
			t.Errorf("%s is %s, not %s", id, states[id], state)
		}
	}

	stuck.SetBehaviour(func(b *testtarget.Behaviour) { *b = testtarget.Behaviour{} })
	again := p.awaitEnd(p.ask("/deployments/"+failed.ID+"/rollback", http.StatusAccepted).ID)
	assertEnd(p, again, "rolled_back", true)
	assertRuns(t, f, own)
}
