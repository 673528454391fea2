package e2e

import (
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// The worst that can be in flight is a call to a target that never answers: the time for it is bounded, and the next
// owner learns that its outcome is unknown.
func TestHandover_HangingTargetDelaysNoStop(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, "v1")
	f.Targets[0].QueueBehaviours(testtarget.Behaviour{Hang: true})
	database := dbtest.New(t)
	servers := []*process{serve(t, database), serve(t, database)}
	body := request(f, "v2", object{"type": "rolling"})
	body["deploy"] = object{"timeout": "15s", "retries": 1, "backoff": "50ms"}
	d := servers[0].post(body)
	servers[0].awaitTargets(f, 1)
	owner, other := servers[0], servers[1]
	if other.owns(d.ID) {
		owner, other = other, owner
	}
	stopping := time.Now()
	stopped := make(chan time.Duration, 1)
	go func() { stopped <- owner.stop() }()
	other.await(d.ID, "handed over", func(d *deployment) bool { return d.Owner != nil && d.Epoch > 1 })
	if took := time.Since(stopping); took > 2*time.Second+slack {
		t.Errorf("the other had it after %s", took)
	} else {
		t.Logf("the other had it after %s", took)
	}
	if took := <-stopped; took > 2*time.Second+slack || owner.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("it ended after %s with code %d", took, owner.cmd.ProcessState.ExitCode())
	}
	if end := other.awaitEnd(d.ID); end.State != "completed" || end.Result.Updated != 3 {
		t.Errorf("ended %s (%s): %+v", end.State, end.Reason, end.Result)
	}
	assertTruth(other, d.ID, f)
	if calls := len(f.Targets[0].Calls()); calls != 2 {
		t.Errorf("the target that hung was called %d times", calls)
	}
}
