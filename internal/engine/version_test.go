package engine

import (
	"testing"
	"time"

	"rollcall/internal/healthcheck"
)

// TestProbe_ReportedVersionIsRecorded changes a target from outside in its bake, so shortly
// before the end that its health cannot follow.
func TestProbe_ReportedVersionIsRecorded(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"batch_size":2,"bake":"1m"}`, boxes(2, nil)...)
		w.db.rows["d"].snap.Deployment.Spec.Checks[0].UnhealthyThreshold = 100
		w.start(0)
		time.Sleep(30 * time.Second) // the synthetic clock
		w.mu.Lock()
		w.targets["t1"].version = "v9"
		w.mu.Unlock()
		snap, _ := w.await("d")
		if snap.Targets[0].Version != "v2" || snap.Targets[1].Version != "v9" || snap.Targets[1].Health != healthcheck.Healthy {
			t.Errorf("recorded as %s and %s, %s", snap.Targets[0].Version, snap.Targets[1].Version, snap.Targets[1].Health)
		}
	})
}
