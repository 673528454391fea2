package engine

import (
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
)

// A database that takes a heartbeat and never answers must not hold the replica past the end of its own lease: others
// may take over then.
func TestLease_CallsEndBeforeItDespiteHungHeartbeat(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"batch_size":1}`, boxes(1, func(_ int, b *box) { b.hangs = "v2" })...)
		w.db.rows["d"].snap.Deployment.Spec.Deploy.Timeout = duration.Duration(time.Minute)
		p := w.start(0)
		time.Sleep(3 * time.Second) // the synthetic clock
		p.mu.Lock()
		p.mute = true
		p.mu.Unlock()
		time.Sleep(20 * time.Second)
		w.db.mu.Lock()
		expires := w.db.replicas[p.name]
		w.db.mu.Unlock()
		w.mu.Lock()
		left := w.targets["t0"].left
		w.mu.Unlock()
		if left.IsZero() || !left.Before(expires) {
			t.Errorf("the call was given up %s after the lease had ended", left.Sub(expires))
		}
		p.mu.Lock()
		p.mute = false
		p.mu.Unlock()
		w.db.update("d", func(d *rollout.Deployment) { d.Operator.Abort = true })
		w.await("d")
	})
}

func TestClock_DatabaseStepDoesNotStopTime(t *testing.T) {
	t.Parallel()
	inBubble(t, func(*world) {
		e := New(Config{})
		ours := time.Now()
		e.lease.renew(ours.Add(time.Minute), ours, ours, ours.Add(time.Hour))
		ahead := e.now()
		e.lease.renew(ours.Add(time.Minute), ours, ours, ours) // another server answers now, or its clock was set
		if before := e.now(); !before.Before(ahead) {
			t.Errorf("the clock stands still at %s for an hour", before)
		}
		before := e.now()
		e.lease.renew(ours.Add(time.Minute), ours, ours, ours.Add(-100*time.Millisecond)) // the answer took its time
		if now := e.now(); now.Before(before) {
			t.Errorf("the clock ran backwards by %s", before.Sub(now))
		}
	})
}
