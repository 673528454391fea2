package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// atGate is a canary that waits at the gate of its first stage.
func (p *process) atGate(f *testtarget.Fleet, version string) deployment {
	p.t.Helper()
	stage := object{"percent": 25, "duration": "0s", "promotion": "manual"}
	d := p.post(request(f, version, object{"type": "canary", "stages": []any{stage, 100}, "stage_duration": "0s"}))
	return p.await(d.ID, "at its gate", func(d *deployment) bool { return d.State == "paused" })
}

func TestQueue_RefusalNamesDeploymentAhead(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	p := serve(t, dbtest.New(t))
	active := p.atGate(f, "v2")
	impatient := request(f, "v3", object{"type": "rolling"})
	impatient["on_conflict"] = "reject"
	var problem struct {
		Detail string
		ID     string `json:"deployment_id"`
	}
	res, data := call(t, http.MethodPost, p.url+"/deployments", impatient, &problem)
	if res.StatusCode != http.StatusConflict || problem.ID != active.ID {
		t.Errorf("answered %d %s", res.StatusCode, data)
	}
	if n := len(list[deployment](p, "/deployments")); n != 1 {
		t.Errorf("%d deployments", n)
	}
	impatient["environment"] = "staging" // nothing is in the way there
	impatient["targets"] = part[[]object](request(newFleet(t, 1, "v1"), "", nil), "targets")
	assertEnd(p, p.awaitEnd(p.post(impatient).ID), "completed", true)
}

func TestQueue_OlderWaitingIsSuperseded(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	p := serve(t, dbtest.New(t))
	active := p.atGate(f, "v2")
	older, newer := p.post(request(f, "v3", object{"type": "rolling"})), p.post(request(f, "v4", object{"type": "rolling"}))
	if want := "waiting for deployment " + active.ID + " to end"; newer.State != "pending" || newer.Reason != want {
		t.Errorf("the newer is %s: %q, not %q", newer.State, newer.Reason, want)
	}
	end := p.awaitEnd(older.ID)
	assertEnd(p, end, "superseded", false)
	if !strings.Contains(end.Reason, newer.ID) || p.count(older.ID, "deployment.superseded") != 1 {
		t.Errorf("the older: %q", end.Reason)
	}
	p.ask("/deployments/"+active.ID+"/abort", http.StatusOK)
	assertEnd(p, p.awaitEnd(newer.ID), "completed", true)
	assertRuns(t, f, allRun("v4"))
}

func TestReason_NamesWaitAndTime(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	until := func(d *deployment) string {
		_, at, _ := strings.Cut(d.Reason, " until ")
		at, _, _ = strings.Cut(at, ";")
		return at
	}
	soon := func(t *testing.T, d *deployment) {
		t.Helper()
		if at, err := time.Parse(time.RFC3339, until(d)); err != nil || time.Until(at) < 8*time.Minute || time.Until(at) > 11*time.Minute {
			t.Errorf("%q does not say until when: %v", d.Reason, err)
		}
	}
	for name, c := range map[string]struct {
		strategy object
		begins   string
		timed    bool
	}{
		"a-bake":        {object{"type": "rolling", "bake": "10m"}, "wave 1 of 2 verified; baking until ", true},
		"a-delay":       {object{"type": "rolling", "batch_delay": "10m"}, "wave 1 of 2 verified; baking until ", true},
		"a-stage":       {object{"type": "canary", "stages": []int{50, 100}, "stage_duration": "10m"}, "stage 1 of 2 (50%) verified; baking until ", true},
		"the-old-side":  {blueGreen(object{"keep_old_for": "10m"}), "wave 1 of 1 verified; baking until ", true},
		"a-person":      {object{"type": "canary", "stages": []any{object{"percent": 50, "duration": "0s", "promotion": "manual"}, 100}}, "stage 1 of 2 (50%) verified; waiting for promotion", false},
		"a-slow-target": {object{"type": "rolling", "batch_size": 2}, "wave 1 of 1: 0 of 2 targets verified", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2, "v1")
			if name == "a-slow-target" {
				f.Targets[0].SetBehaviour(func(b *testtarget.Behaviour) { b.Hang = true })
				f.Targets[1].SetBehaviour(func(b *testtarget.Behaviour) { b.Hang = true })
			}
			body := request(f, "v2", c.strategy)
			body["service"] = name
			d := p.post(body)
			at := p.await(d.ID, "waiting as it should", func(d *deployment) bool { return strings.HasPrefix(d.Reason, c.begins) })
			if c.timed {
				soon(t, &at)
			}
			if paused := p.ask("/deployments/"+d.ID+"/pause", http.StatusOK); paused.Reason != "paused by an operator; resume to continue" {
				t.Errorf("paused: %q", paused.Reason)
			}
			p.ask("/deployments/"+d.ID+"/abort", http.StatusOK)
			if end := p.awaitEnd(d.ID); end.Reason != "aborted by an operator" {
				t.Errorf("ended: %q", end.Reason)
			}
		})
	}
}

// TestCommands_AnswerAsStateTableSays walks a deployment through the states and asks each for all commands that
// change nothing there; those that do are asked on the way.
func TestCommands_AnswerAsStateTableSays(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	p := serve(t, dbtest.New(t))
	refused := func(id, state string, commands ...string) {
		t.Helper()
		calls := len(f.Calls())
		for _, command := range commands {
			if res, data := call(t, http.MethodPost, p.url+"/deployments/"+id+"/"+command, nil, nil); res.StatusCode != http.StatusConflict {
				t.Errorf("%s while %s answered %d %s", command, state, res.StatusCode, data)
			}
		}
		if now := p.await(id, "as it was", func(*deployment) bool { return true }); now.State != state || state != "rolling_back" && len(f.Calls()) != calls {
			t.Errorf("it was %s and is %s after %d calls", state, now.State, len(f.Calls())-calls)
		}
	}
	taken := func(id, command, state string) {
		t.Helper()
		if d := p.ask(fmt.Sprintf("/deployments/%s/%s", id, command), http.StatusOK); d.State != state {
			t.Errorf("%s answers with %s, not %s", command, d.State, state)
		}
	}
	active := p.atGate(f, "v2")
	over := p.post(request(f, "v3", object{"type": "rolling"}))
	waits := p.post(request(f, "v4", object{"type": "rolling"}))
	refused(over.ID, "superseded", "pause", "resume", "promote", "abort", "rollback", "retry")
	refused(waits.ID, "pending", "promote", "rollback", "retry")
	taken(waits.ID, "pause", "paused")
	taken(waits.ID, "resume", "pending")
	taken(waits.ID, "abort", "aborted")
	refused(waits.ID, "aborted", "pause", "resume", "promote", "rollback")
	taken(waits.ID, "abort", "aborted")

	taken(active.ID, "pause", "paused")
	taken(active.ID, "resume", "paused") // the gate still waits
	refused(active.ID, "paused", "retry")
	f.Targets[2].SetBehaviour(func(b *testtarget.Behaviour) { b.Hang, b.OnVersion = true, "v2" })
	taken(active.ID, "promote", "in_progress")
	p.await(active.ID, "past its gate", func(d *deployment) bool {
		return d.Progress.Wave == 2 && d.Progress.InFlight == 1 && d.Progress.Updated == 3
	})
	refused(active.ID, "in_progress", "promote", "retry")
	taken(active.ID, "resume", "in_progress")
	taken(active.ID, "rollback", "rolling_back")
	refused(active.ID, "rolling_back", "promote", "retry")
	taken(active.ID, "pause", "paused")
	taken(active.ID, "rollback", "rolling_back")
	assertEnd(p, p.awaitEnd(active.ID), "rolled_back", false)
	refused(active.ID, "rolled_back", "pause", "resume", "promote", "abort")
	f.Targets[2].SetBehaviour(func(b *testtarget.Behaviour) { *b = testtarget.Behaviour{} })

	retry := p.ask("/deployments/"+active.ID+"/retry", http.StatusAccepted)
	p.await(retry.ID, "at its gate", func(d *deployment) bool { return d.State == "paused" })
	taken(retry.ID, "promote", "in_progress")
	assertEnd(p, p.awaitEnd(retry.ID), "completed", true)
	assertRuns(t, f, allRun("v2"))
	refused(retry.ID, "completed", "pause", "resume", "promote", "abort", "retry")
}
