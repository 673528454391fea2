package engine

import (
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/duration"
)

// A session that is in the middle of a step when the engine is stopped must not go to sleep afterwards.
func TestDrain_BusySessionHandsOver(t *testing.T) {
	t.Parallel()
	for at := int32(1); at <= 4; at++ {
		inBubble(t, func(w *world) {
			w.deployment("d", `{"batch_size":1}`, boxes(1, func(_ int, b *box) { b.takes = 0 })...)
			w.db.rows["d"].snap.Deployment.Spec.Checks[0].Interval = duration.Duration(4 * time.Second)
			p := w.start(0)
			var saves atomic.Int32
			p.mu.Lock()
			p.saved = func() {
				if saves.Add(1) == at {
					p.stop()
					time.Sleep(100 * time.Millisecond) // the synthetic clock: the answer of this save is slow
				}
			}
			p.mu.Unlock()
			for saves.Load() < at {
				time.Sleep(time.Millisecond)
			}
			stopped := time.Now()
			if took := (<-p.ended).Sub(stopped); took > time.Second {
				t.Errorf("stopped during save %d, it took %s", at, took)
			}
			if snap, _ := w.db.read("d"); snap.Deployment.Owner != "" {
				t.Errorf("stopped during save %d, it left the deployment to %s", at, snap.Deployment.Owner)
			}
			w.start(0)
			w.await("d")
		})
	}
}

// The connection that a pool hands out may have been cut while it was idle.
func TestDrain_HandsOverAfterLostConnections(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"batch_size":1,"bake":"1h"}`, boxes(2, func(_ int, _ *box) {})...)
		p := w.start(0)
		for {
			if snap, _ := w.db.read("d"); snap.Deployment.Counts.Updated == 1 {
				break
			}
			time.Sleep(time.Millisecond) // the synthetic clock
		}
		p.mu.Lock()
		p.cut = 3
		p.mu.Unlock()
		stopped := time.Now()
		p.stop()
		if took := (<-p.ended).Sub(stopped); took > releaseTimeout {
			t.Errorf("it took %s", took)
		}
		if p.failed != nil {
			t.Errorf("it did not sign off: %v", p.failed)
		}
		if snap, _ := w.db.read("d"); snap.Deployment.Owner != "" {
			t.Errorf("it left the deployment to %s", snap.Deployment.Owner)
		}
	})
}
