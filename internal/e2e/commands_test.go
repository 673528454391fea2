package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// ask posts a command, or any other request whose answer is a deployment.
func (p *process) ask(path string, want int) deployment {
	p.t.Helper()
	var d deployment
	if res, data := call(p.t, http.MethodPost, p.url+path, nil, &d); res.StatusCode != want {
		p.t.Fatalf("%s answered %d %s", path, res.StatusCode, data)
	}
	return d
}

func assertRuns(t *testing.T, f *testtarget.Fleet, want func(i int) string) {
	t.Helper()
	for i, target := range f.Targets {
		if target.Version() != want(i) {
			t.Errorf("%s runs %s, not %s", target.ID, target.Version(), want(i))
		}
	}
}

func TestRollback_OfFinishedAndForwardAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 6, "v1")
	for i, target := range f.Targets {
		target.SetVersion(fmt.Sprintf("old-%d", i))
	}
	p := serve(t, dbtest.New(t))
	done := p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling", "batch_size": 2})).ID)

	undoing := p.awaitEnd(p.ask("/deployments/"+done.ID+"/rollback", http.StatusAccepted).ID)
	if undoing.State != "rolled_back" || !undoing.Result.Success || f.MaxOpen() > 2 {
		t.Errorf("ended %s: %s; %d at once", undoing.State, undoing.Reason, f.MaxOpen())
	}
	assertRuns(t, f, func(i int) string { return fmt.Sprintf("old-%d", i) })
	calls := len(f.Calls())
	if again := p.ask("/deployments/"+done.ID+"/rollback", http.StatusAccepted); again.ID != undoing.ID || len(f.Calls()) != calls {
		t.Errorf("asked again: %s, %d calls more", again.ID, len(f.Calls())-calls)
	}

	forward := p.awaitEnd(p.ask("/services/checkout/environments/production/rollback", http.StatusAccepted).ID)
	if forward.State != "rolled_back" || !forward.Result.Success {
		t.Errorf("ended %s: %s", forward.State, forward.Reason)
	}
	assertRuns(t, f, func(int) string { return "v2" })
}

func TestPause_StartsNoCallAndCanRollBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 6, "v1")
	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 100 * time.Millisecond })
	}
	p := serve(t, dbtest.New(t))
	d := p.post(request(f, "v2", object{"type": "rolling", "batch_size": 1}))
	p.await(d.ID, "past its first target", func(d *deployment) bool { return d.Progress.Updated > 0 })
	if paused := p.ask("/deployments/"+d.ID+"/pause", http.StatusOK); paused.State != "paused" {
		t.Errorf("paused: %s", paused.State)
	}
	calls := len(f.Calls())
	still := p.await(d.ID, "still", func(d *deployment) bool { return d.Progress.InFlight == 0 })
	if now := len(f.Calls()); now > calls+1 || still.State != "paused" {
		t.Errorf("%s, %d calls more", still.State, now-calls) // one whose intent was stored may be on its way
	}
	queued := p.post(request(f, "v3", object{"type": "rolling"}))
	if called := p.ask("/deployments/"+queued.ID+"/abort", http.StatusOK); called.State != "aborted" {
		t.Errorf("queued, and aborted: %s", called.State)
	}
	if back := p.ask("/services/checkout/environments/production/rollback", http.StatusOK); back.ID != d.ID || back.State != "rolling_back" {
		t.Errorf("rolled back: %s %s", back.ID, back.State)
	}
	if end := p.awaitEnd(d.ID); end.State != "rolled_back" || !strings.Contains(end.Reason, "rollback requested") {
		t.Errorf("ended %s: %s", end.State, end.Reason)
	}
	assertRuns(t, f, func(int) string { return "v1" })
}

func TestPromote_ManyOfOneGateMoveOneStep(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	p := serve(t, dbtest.New(t))
	stage := func(percent int) object { return object{"percent": percent, "duration": "0s", "promotion": "manual"} }
	d := p.post(request(f, "v2", object{"type": "canary", "stages": []any{stage(25), stage(50), 100}, "stage_duration": "0s"}))
	gate := func(wave int) func(*deployment) bool {
		return func(d *deployment) bool { return d.State == "paused" && d.Progress.Wave == wave }
	}
	p.await(d.ID, "at the first gate", gate(1))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			res, data := call(t, http.MethodPost, p.url+"/deployments/"+d.ID+"/promote", object{"wave": 1}, nil)
			if res.StatusCode != http.StatusOK {
				t.Errorf("promote answered %d %s", res.StatusCode, data)
			}
		})
	}
	all.Wait()
	p.await(d.ID, "at the second gate", gate(2))
	promoted := 0
	for _, e := range list[event](p, "/deployments/"+d.ID+"/events") {
		if e.Type == "deployment.promoted" {
			promoted++
		}
	}
	if promoted != 1 || len(f.Calls()) != 2 {
		t.Errorf("promoted %d times, %d calls", promoted, len(f.Calls()))
	}
	if res, data := call(t, http.MethodPost, p.url+"/deployments/"+d.ID+"/promote", object{"full": true}, nil); res.StatusCode != http.StatusOK {
		t.Errorf("promote in full answered %d %s", res.StatusCode, data)
	}
	if end := p.awaitEnd(d.ID); end.State != "completed" {
		t.Errorf("ended %s: %s", end.State, end.Reason)
	}
}

// TestPromote_ManyPlainMoveOneGate: the second gate is reached only after all promotes were answered, for one
// that comes later cannot be distinguished from one that is meant for it.
func TestPromote_ManyPlainMoveOneGate(t *testing.T) {
	t.Parallel()
	database := dbtest.New(t)
	replicas := []*process{serve(t, database), serve(t, database)}
	f := newFleet(t, 4, "v1")
	for _, target := range f.Targets[1:] {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 5 * time.Second })
	}
	p := replicas[0]
	stage := func(percent int) object { return object{"percent": percent, "duration": "0s", "promotion": "manual"} }
	body := request(f, "v2", object{"type": "canary", "stages": []any{stage(10), stage(50), 100}, "stage_duration": "0s"})
	part[object](body, "deploy")["timeout"] = "30s" // a call answered in time is a single call
	d := p.post(body)
	p.await(d.ID, "at the first gate", func(d *deployment) bool { return d.State == "paused" && d.Progress.Wave == 1 })
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			res, data := call(t, http.MethodPost, replicas[i%2].url+"/deployments/"+d.ID+"/promote", nil, nil)
			if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusConflict { // between the gates there is none to pass
				t.Errorf("promote answered %d %s", res.StatusCode, data)
			}
		})
	}
	all.Wait()
	p.await(d.ID, "at the second gate", func(d *deployment) bool { return d.State == "paused" && d.Progress.Wave == 2 })
	if n := p.count(d.ID, "deployment.promoted"); n != 1 || len(f.Calls()) != 2 {
		t.Errorf("promoted %d times, %d calls", n, len(f.Calls()))
	}
	p.ask("/deployments/"+d.ID+"/promote", http.StatusOK)
	assertEnd(p, p.awaitEnd(d.ID), "completed", true)
}

// count returns how many events of a type a deployment has.
func (p *process) count(id, kind string) (n int) {
	p.t.Helper()
	for _, e := range list[event](p, "/deployments/"+id+"/events") {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func TestRetry_FinishesWhatAbortLeft(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 100 * time.Millisecond })
	}
	p := serve(t, dbtest.New(t))
	d := p.post(request(f, "v2", object{"type": "rolling", "batch_size": 1}))
	p.await(d.ID, "past its first target", func(d *deployment) bool { return d.Progress.Updated > 0 })
	p.ask("/deployments/"+d.ID+"/abort", http.StatusOK)
	if end := p.awaitEnd(d.ID); end.State != "aborted" {
		t.Errorf("ended %s: %s", end.State, end.Reason)
	}
	retry := p.awaitEnd(p.ask("/deployments/"+d.ID+"/retry", http.StatusAccepted).ID)
	if retry.State != "completed" || retry.Result.Updated != 4-p.updated(d.ID) {
		t.Errorf("ended %s: %+v", retry.State, retry.Result)
	}
	assertRuns(t, f, func(int) string { return "v2" })
}

// updated counts a deployment's targets that arrived.
func (p *process) updated(id string) (n int) {
	for _, t := range list[targetResult](p, "/deployments/"+id+"/targets") {
		if t.State == "updated" {
			n++
		}
	}
	return n
}
