package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
)

// hangsOn makes the target at a place never answer a call for v2, and its calls have a minute.
func hangsOn(w *world, n, hanging int, strategyJSON string) {
	w.deployment("d", strategyJSON, boxes(n, func(i int, b *box) {
		if b.version = "v1"; i == hanging {
			b.hangs = "v2"
		}
	})...)
	w.db.rows["d"].snap.Deployment.Spec.Deploy.Timeout = duration.Duration(time.Minute)
}

func TestRollback_HangingCallDelaysNoOtherTarget(t *testing.T) {
	t.Parallel()
	for batch, hanging := range map[int]int{1: 1, 2: 1, 3: 2} {
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w *world) {
				hangsOn(w, 3, hanging, fmt.Sprintf(`{"batch_size":%d,"progress_deadline":"10s"}`, batch))
				w.start(0)
				snap, events := w.await("d")
				var turned, back time.Time
				for _, e := range events {
					switch {
					case e.Type == rollout.EventRollbackStarted:
						turned = e.At
					case e.Type == rollout.EventTargetVerified && e.To == string(rollout.TargetRolledBack):
						back = e.At
					}
				}
				if turned.IsZero() || back.IsZero() || back.Sub(turned) > 5*time.Second {
					t.Errorf("turned at %s, the last was back at %s", turned, back)
				}
				for i := range snap.Targets {
					target := &snap.Targets[i]
					switch {
					case i == hanging:
						if target.State != rollout.TargetUnknown || !strings.Contains(target.Error, "may still be running until") || !target.History.InDoubt ||
							target.History.MayRunUntil.Before(target.StartedAt.Add(time.Minute)) {
							t.Errorf("%s is %s: %s; %+v", target.ID, target.State, target.Error, target.History)
						}
					case target.Touched() && target.State != rollout.TargetRolledBack:
						t.Errorf("%s is %s: %s", target.ID, target.State, target.Error)
					}
				}
				if took := snap.Deployment.FinishedAt.Sub(back); snap.Deployment.State != rollout.StateFailed || took > 15*time.Second {
					t.Errorf("ended %s, %s after the last target was back: %s", snap.Deployment.State, took, snap.Deployment.Reason)
				}
			})
		})
	}
}

func TestRollback_HangingCallBackDelaysNoOther(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		hangsOn(w, 3, 0, `{"batch_size":1,"progress_deadline":"10s"}`)
		w.targets["t0"].hangs = "v1"
		w.targets["t2"].fails = "v2"
		w.start(0)
		snap, _ := w.await("d")
		for i, want := range []rollout.TargetState{rollout.TargetUnknown, rollout.TargetRolledBack, rollout.TargetRolledBack} {
			if target := &snap.Targets[i]; target.State != want {
				t.Errorf("%s is %s: %s", target.ID, target.State, target.Error)
			}
		}
	})
}
