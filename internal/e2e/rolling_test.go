package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/slowtest"
	"rollcall/internal/testtarget"
)

func TestRolling_TenTargetsComplete(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 10, "v1")
	p := serve(t, dbtest.New(t))
	d := p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling", "batch_size": 3})).ID)
	if d.State != "completed" || !d.Result.Success || d.Result.Updated != 10 {
		t.Fatalf("ended %s: %+v", d.State, d.Result)
	}
	for id, version := range f.Versions() {
		if version != "v2" {
			t.Errorf("%s runs %s", id, version)
		}
	}
	if len(f.Calls()) != 10 || f.MaxOpen() > 3 {
		t.Errorf("%d calls, %d at once", len(f.Calls()), f.MaxOpen())
	}
	assertTruth(p, d.ID, f)
	assertMetric(t, p, `rollcall_deployments{state="completed",strategy="rolling"} 1`)
	assertMetric(t, p, `rollcall_deployments_total{outcome="completed",strategy="rolling"} 1`)
	assertMetric(t, p, `rollcall_stuck_deployments 0`)
}

// onDifferentVersions is a fleet in which each target has a past of its own, and the fifth refuses v2.
func onDifferentVersions(t *testing.T) *testtarget.Fleet {
	f := newFleet(t, 8, "v1")
	for i, target := range f.Targets {
		target.SetVersion(fmt.Sprintf("old-%d", i))
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay, b.Fenced = 200*time.Millisecond, true })
	}
	f.Targets[4].QueueBehaviours(testtarget.Behaviour{Status: 500, Delay: 200 * time.Millisecond}, testtarget.Behaviour{Status: 500, Delay: 200 * time.Millisecond})
	return f
}

func assertRolledBack(p *process, id string, f *testtarget.Fleet) {
	p.t.Helper()
	d := p.awaitEnd(id)
	if d.State != "rolled_back" || d.Result.Success || len(d.Result.Errors) == 0 {
		p.t.Errorf("ended %s (%s): %+v", d.State, d.Reason, d.Result)
	}
	for i, target := range f.Targets {
		if target.Version() != fmt.Sprintf("old-%d", i) {
			p.t.Errorf("%s runs %s", target.ID, target.Version())
		}
	}
	states := map[string]int{}
	for _, target := range list[targetResult](p, "/deployments/"+id+"/targets") {
		states[target.State]++
	}
	if states["rolled_back"] != 6 || states["unchanged"] != 2 {
		p.t.Errorf("the targets ended as %v", states)
	}
	assertTruth(p, id, f)
}

func TestRolling_FailureRestoresTouchedTargets(t *testing.T) {
	t.Parallel()
	f := onDifferentVersions(t)
	p := serve(t, dbtest.New(t))
	d := p.post(request(f, "v2", object{"type": "rolling", "batch_size": 2}))
	assertRolledBack(p, d.ID, f)
}

func TestRolling_RestartAfterKillEndsTheSame(t *testing.T) {
	t.Parallel()
	f := onDifferentVersions(t)
	database, state := dbtest.New(t), "--state-dir="+t.TempDir()
	p := serve(t, database, state)
	d := p.post(request(f, "v2", object{"type": "rolling", "batch_size": 2}))
	p.await(d.ID, "in the second wave with calls in flight", func(d *deployment) bool {
		return d.Progress.Wave == 2 && d.Progress.InFlight > 0
	})
	p.kill()
	p = serve(t, database, state)
	began := time.Now()
	p.await(d.ID, "taken over", func(d *deployment) bool { return d.Epoch > 1 })
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("a sole server went on only after %s", took)
	}
	assertRolledBack(p, d.ID, f)
}

func TestRolling_FrozenServersLateCallsAreFenced(t *testing.T) {
	t.Parallel()
	f := onDifferentVersions(t)
	database := dbtest.New(t)
	first := serve(t, database)
	d := first.post(request(f, "v2", object{"type": "rolling", "batch_size": 2}))
	first.await(d.ID, "in the second wave with calls in flight", func(d *deployment) bool {
		return d.Progress.Wave == 2 && d.Progress.InFlight > 0
	})
	first.signal(syscall.SIGSTOP)
	second := serve(t, database)
	began := time.Now()
	second.await(d.ID, "taken over", func(d *deployment) bool { return d.Epoch > 1 })
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the takeover took %s", took)
	}
	assertRolledBack(second, d.ID, f)
	before := len(f.Calls())
	first.signal(syscall.SIGCONT)
	res, _ := call(t, http.MethodGet, first.url+"/deployments/"+d.ID, nil, nil)
	if res.StatusCode != http.StatusOK {
		t.Errorf("the server that woke answers %d", res.StatusCode)
	}
	again := first.awaitEnd(second.post(request(f, "v3", object{"type": "rolling", "batch_size": 8, "max_failures": 0})).ID)
	if again.State != "completed" {
		t.Errorf("the next deployment ended %s: %s", again.State, again.Reason)
	}
	if made := len(f.Calls()) - before; made != len(f.Targets) {
		t.Errorf("%d calls were made for the next deployment of %d targets", made, len(f.Targets))
	}
}

func TestHandover_StopTakesUnderTwoSeconds(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 6, "v1")
	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 300 * time.Millisecond })
	}
	database := dbtest.New(t)
	first, second := serve(t, database), serve(t, database)
	d := first.post(request(f, "v2", object{"type": "rolling"}))
	second.await(d.ID, "under way", func(d *deployment) bool { return d.Progress.Updated > 0 })
	if took := first.stop(); took > 2500*time.Millisecond {
		t.Errorf("stopping took %s", took)
	}
	if code := first.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the server left with code %d", code)
	}
	if d := second.awaitEnd(d.ID); d.State != "completed" {
		t.Errorf("ended %s: %s", d.State, d.Reason)
	}
	if len(f.Calls()) != len(f.Targets) {
		t.Errorf("%d calls for %d targets", len(f.Calls()), len(f.Targets))
	}
}

func TestPrivatePostgres_RolloutResumesAfterKill(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	f := onDifferentVersions(t)
	state := "--state-dir=" + privateFolder(t)
	p := serve(t, "", state)
	d := p.post(request(f, "v2", object{"type": "rolling", "batch_size": 2}))
	p.await(d.ID, "in the second wave", func(d *deployment) bool { return d.Progress.Wave == 2 })
	p.kill()
	p = serve(t, "", state)
	assertRolledBack(p, d.ID, f)
	p.stop()
}

// assertTruth checks what the API says against what the targets saw.
func assertTruth(p *process, id string, f *testtarget.Fleet) {
	p.t.Helper()
	for _, r := range list[targetResult](p, "/deployments/"+id+"/targets") {
		actual := f.Target(r.ID).Version()
		if r.Version != nil && *r.Version != actual || r.Version == nil && r.State != "unchanged" && r.State != "unknown" {
			p.t.Errorf("%s runs %s; the API says %v", r.ID, actual, r.Version)
		}
	}
	written := map[string]bool{}
	for i, e := range list[event](p, "/deployments/"+id+"/events") {
		if e.Seq != i+1 {
			p.t.Fatalf("event %d has number %d", i+1, e.Seq)
		}
		if e.Type == "target.intent" {
			written[fmt.Sprint(e.Call.WebhookID, e.Call.Attempt, e.Call.Fence)] = true
		}
	}
	seen, ids := map[string]int{}, map[string]string{}
	for _, c := range f.Calls() {
		if c.DeploymentID != id {
			continue
		}
		if was := ids[c.Target+" "+c.Action]; was != "" && was != c.WebhookID {
			p.t.Errorf("%s was called again to %s with id %s after %s", c.Target, c.Action, c.WebhookID, was)
		}
		ids[c.Target+" "+c.Action] = c.WebhookID
		if !written[fmt.Sprint(c.WebhookID, c.Attempt, c.Fence)] {
			p.t.Errorf("a call of %s was never written down: %s, attempt %d, fence %d", c.Target, c.WebhookID, c.Attempt, c.Fence)
		}
		if c.Attempt <= seen[c.WebhookID] {
			p.t.Errorf("%s was called again with attempt %d after %d", c.Target, c.Attempt, seen[c.WebhookID])
		}
		seen[c.WebhookID] = c.Attempt
	}
	for _, t := range f.Targets {
		if t.MaxOpen() > 1 {
			p.t.Errorf("%s had %d calls open at once", t.ID, t.MaxOpen())
		}
	}
}

// assertMetric demands that /metrics has a line soon: a server counts an end just after it has saved it.
func assertMetric(t *testing.T, p *process, want string) {
	t.Helper()
	awaitFact(t, "/metrics has "+want, func() bool { return strings.Contains(p.metrics(), want+"\n") })
}
