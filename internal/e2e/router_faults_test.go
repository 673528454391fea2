package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"rollcall/internal/dbtest"
)

func TestRouter_WithoutEffectNoTargetIsCalled(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	for i, strategy := range []object{{"type": "rolling", "batch_size": 2}, stages("50ms"), blueGreen(nil)} {
		strategy["progress_deadline"] = "3s"
		for j, how := range []fault{refuses, fails, hangs} {
			t.Run(fmt.Sprint(strategy["type"], " ", how), func(t *testing.T) {
				t.Parallel()
				f := mixed(t, 4)
				b := newBalancer(t, f, twoSides)
				b.faulty(func(routerWrite) fault { return how })
				body := inSlots(routed(b, "v2", strategy))
				body["service"] = fmt.Sprintf("deaf-%d-%d", i, j)
				part[object](body, "traffic")["timeout"] = "200ms"
				d := p.awaitEnd(p.post(body).ID)
				if d.Result.Success || d.State != "failed" && d.State != "rolled_back" {
					t.Errorf("ended %s (%s): %+v", d.State, d.Reason, d.Result)
				}
				if !strings.Contains(d.Reason, "the router did not move traffic") || strings.Contains(d.Reason, "rollback failed") {
					t.Errorf("the reason is %q", d.Reason)
				}
				if len(d.Result.Errors) != 1 || d.Result.Errors[0].Target != "" || d.Result.Errors[0].Message == "" {
					t.Errorf("the errors are %+v", d.Result.Errors)
				}
				if calls := len(f.Calls()); calls > 0 {
					t.Errorf("%d calls", calls)
				}
				assertRuns(t, f, own)
			})
		}
	}
}

func TestRouter_RefusedStageRollsCanaryBack(t *testing.T) {
	t.Parallel()
	f := mixed(t, 4)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	b.faulty(func(w routerWrite) fault {
		if w.NewWeight > 10 {
			return refuses
		}
		return obeys
	})
	d := p.awaitEnd(p.post(routed(b, "v2", stages("50ms"))).ID)
	assertEnd(p, d, "rolled_back", false)
	assertShares(t, b, 0, 10, 0)
	assertRuns(t, f, own)
	b.assertSettled(p, d.ID, 0)
	b.assertDrained(t)
	assertTruth(p, d.ID, f)
	assertAllServe(t, b)
}

func TestRouter_DownDuringRollbackFailsDeployment(t *testing.T) {
	t.Parallel()
	f := mixed(t, 4)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	d := p.post(routed(b, "v2", object{
		"type": "canary", "stages": []any{object{"percent": 50, "duration": "10m"}, 100}, "progress_deadline": "2s",
	}))
	p.await(d.ID, "in the bake", func(d *deployment) bool { return d.Progress.Weight == 50 })
	b.faulty(func(routerWrite) fault { return fails })
	calls := len(f.Calls())
	p.ask("/deployments/"+d.ID+"/rollback", http.StatusOK)
	end := p.awaitEnd(d.ID)
	assertEnd(p, end, "failed", false)
	if now, _ := b.last(); now.NewWeight != 50 || len(f.Calls()) != calls {
		t.Errorf("left at %d, %d calls on the way back", now.NewWeight, len(f.Calls())-calls)
	}
	b.assertDrained(t)
	assertTruth(p, d.ID, f)
}

func TestRouter_LateWriteOfFrozenServerIsFenced(t *testing.T) {
	t.Parallel()
	f := mixed(t, 6)
	b := newBalancer(t, f, twoSides)
	database := dbtest.New(t)
	first := serve(t, database)
	d := first.post(routed(b, "v2", stages("200ms")))
	first.await(d.ID, "in its second stage", func(d *deployment) bool { return d.Progress.Weight == 10 })
	first.signal(syscall.SIGSTOP)
	second := serve(t, database)
	end := second.awaitEnd(d.ID)
	assertEnd(second, end, "completed", true)
	first.signal(syscall.SIGCONT)
	if res, _ := call(t, http.MethodGet, first.url+"/deployments/"+d.ID, nil, nil); res.StatusCode != http.StatusOK {
		t.Errorf("the server that woke answers %d", res.StatusCode)
	}
	next := first.awaitEnd(second.post(routed(b, "v3", stages("50ms"))).ID)
	assertEnd(second, next, "completed", true)
	assertShares(t, b, 0, 10, 50, 100, 0, 10, 50, 100)
	b.assertSettled(second, d.ID, 100)
	b.assertDrained(t)
	assertAllServe(t, b)
}
