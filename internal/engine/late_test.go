package engine

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
)

// seldomChecked is a deployment that is given up between the checks of its targets, which are half a minute apart.
func seldomChecked(w *world, strategyJSON string) {
	w.deployment("d", strategyJSON, boxes(2, nil)...)
	spec := &w.db.rows["d"].snap.Deployment.Spec
	spec.Checks[0].Interval, spec.HealthyDeadline = duration.Duration(30*time.Second), duration.Duration(2*time.Minute)
}

func TestDeadline_ExcludesTimeWithoutOwner(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		seldomChecked(w, `{"batch_size":2,"progress_deadline":"1h"}`)
		first := w.start(0)
		time.Sleep(10 * time.Second) // the synthetic clock
		first.stop()
		if snap, _ := w.db.read("d"); snap.Deployment.Owner != "" {
			t.Fatalf("it waits for its next check and is still owned by %s", snap.Deployment.Owner)
		}
		time.Sleep(10 * time.Minute)
		w.start(0)
		if snap, _ := w.await("d"); snap.Deployment.State != rollout.StateCompleted {
			t.Errorf("ended %s: %s", snap.Deployment.State, snap.Deployment.Reason)
		}
	})
}

func TestBake_UnwatchedTimeIsRepeated(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		seldomChecked(w, `{"batch_size":2,"bake":"10m"}`)
		first := w.start(0)
		time.Sleep(2 * time.Minute) // the synthetic clock
		first.stop()
		time.Sleep(20 * time.Minute)
		again := time.Now()
		w.start(0)
		snap, _ := w.await("d")
		if snap.Deployment.State != rollout.StateCompleted {
			t.Errorf("ended %s: %s", snap.Deployment.State, snap.Deployment.Reason)
		}
		if watched := snap.Deployment.FinishedAt.Sub(again); watched < 8*time.Minute {
			t.Errorf("it was watched for %s more after 2 of 10 minutes", watched)
		}
	})
}

// What a dead replica leaves may be more than can be loaded at once in the time for one look.
func TestClaim_TakesLargeBacklogInParts(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		const backlog = 7
		for i := range backlog {
			w.deployment(fmt.Sprintf("d%d", i), `{"batch_size":1}`, boxes(1, nil)...)
		}
		w.targets["t0"].shared = true
		p := w.start(0)
		p.mu.Lock()
		p.most = 2
		p.mu.Unlock()
		for i := range backlog {
			if snap, _ := w.await(fmt.Sprintf("d%d", i)); snap.Deployment.State != rollout.StateCompleted {
				t.Errorf("ended %s: %s", snap.Deployment.State, snap.Deployment.Reason)
			}
		}
	})
}
