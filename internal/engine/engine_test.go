package engine

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/command"
)

func boxes(n int, change func(i int, b *box)) []*box {
	var list []*box
	for i := range n {
		b := &box{version: "v1", takes: 300 * time.Millisecond}
		if change != nil {
			change(i, b)
		}
		list = append(list, b)
	}
	return list
}

func TestRolling_UpdatesEveryTarget(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"rolling","batch_size":2}`, boxes(5, nil)...)
		w.start(0)
		snap, events := w.await("d")
		if snap.Deployment.State != rollout.StateCompleted || snap.Deployment.Counts.Updated != 5 {
			t.Fatalf("ended %s: %+v", snap.Deployment.State, snap.Deployment.Counts)
		}
		if len(w.calls) != 5 {
			t.Fatalf("%d calls were made for 5 targets", len(w.calls))
		}
		numbered(t, events)
	})
}

func TestRolling_FailureBeyondBudgetRollsBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"batch_size":2}`, boxes(6, func(i int, b *box) {
			b.version = fmt.Sprintf("old-%d", i)
			if i == 3 {
				b.fails = "v2"
			}
		})...)
		w.start(0)
		snap, _ := w.await("d")
		w.assertRestored(snap)
	})
}

func (w *world) assertRestored(snap rollout.Snapshot) {
	w.t.Helper()
	if snap.Deployment.State != rollout.StateRolledBack {
		w.t.Errorf("ended %s: %s", snap.Deployment.State, snap.Deployment.Reason)
	}
	for i, target := range snap.Targets {
		want := rollout.TargetRolledBack
		if i >= 4 {
			want = rollout.TargetUnchanged
		}
		if target.State != want || w.targets[target.ID].version != fmt.Sprintf("old-%d", i) {
			w.t.Errorf("%s is %s and runs %s", target.ID, target.State, w.targets[target.ID].version)
		}
	}
}

// killedAtEachStep plays a deployment again and again. Every step of the engine is a save or a call, each with a before and
// an after; the process dies at each in turn, and another continues.
func killedAtEachStep(t *testing.T, prepare func(w *world), ended func(w *world, snap rollout.Snapshot)) {
	t.Helper()
	for kill := 1; ; kill++ {
		happened := false
		inBubble(t, func(w *world) {
			prepare(w)
			first := w.start(kill)
			time.Sleep(50 * time.Millisecond) // the synthetic clock: the first has claimed it
			w.start(0)
			snap, events := w.await("d")
			ended(w, snap)
			numbered(t, events)
			w.assertResendsAreMarked()
			happened = first.isDead()
		})
		if t.Failed() {
			t.Fatalf("with a kill at step %d", kill)
		}
		if !happened {
			if kill < 20 {
				t.Fatalf("only %d steps", kill)
			}
			t.Logf("killed at each of %d steps", kill-1)
			return
		}
	}
}

func TestKill_BetweenStepsEndsTheSameWay(t *testing.T) {
	t.Parallel()
	killedAtEachStep(t, func(w *world) {
		w.deployment("d", `{"batch_size":2}`, boxes(6, func(i int, b *box) {
			b.version = fmt.Sprintf("old-%d", i)
			if i == 3 {
				b.fails = "v2"
			}
		})...)
	}, (*world).assertRestored)
}

func TestKill_BetweenStepsLosesNoTarget(t *testing.T) {
	t.Parallel()
	killedAtEachStep(t, func(w *world) {
		w.deployment("d", `{"batch_size":2}`, boxes(4, func(_ int, b *box) { b.loses = true })...)
	}, func(w *world, snap rollout.Snapshot) {
		if d := snap.Deployment; d.State != rollout.StateCompleted || d.Counts.Updated != 4 {
			w.t.Errorf("ended %s: %s", d.State, d.Reason)
		}
		for name, b := range w.targets {
			if b.version != "v2" {
				w.t.Errorf("%s runs %s", name, b.version)
			}
		}
	})
}

func (w *world) assertResendsAreMarked() {
	w.t.Helper()
	attempts := map[string]int{}
	for _, c := range w.calls {
		if c.call.Attempt <= attempts[c.call.WebhookID] {
			w.t.Errorf("%s was called again with attempt %d", c.target, c.call.Attempt)
		}
		attempts[c.call.WebhookID] = c.call.Attempt
	}
}

func TestDoubt_UpdatedTargetIsNotCalledAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"batch_size":1}`, boxes(3, func(_ int, b *box) { b.mumbles = true })...)
		w.start(0)
		snap, _ := w.await("d")
		if snap.Deployment.State != rollout.StateCompleted || snap.Deployment.Counts.Updated != 3 || len(w.calls) != 3 {
			t.Errorf("ended %s after %d calls: %s", snap.Deployment.State, len(w.calls), snap.Deployment.Reason)
		}
	})
}

func TestDoubt_HangingTargetIsUnknownRestRollsBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"batch_size":3}`, boxes(3, func(i int, b *box) {
			if i == 1 {
				b.hangs = "v2"
			}
		})...)
		w.start(0)
		snap, _ := w.await("d")
		if snap.Deployment.State != rollout.StateRolledBack {
			t.Fatalf("ended %s: %s", snap.Deployment.State, snap.Deployment.Reason)
		}
	})
}

func TestPause_StartsNoCallUntilResume(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"batch_size":1}`, boxes(4, nil)...)
		w.start(0)
		time.Sleep(time.Second) // the synthetic clock
		w.db.update("d", func(d *rollout.Deployment) { d.Operator.Pause, d.State = true, rollout.StatePaused })
		w.mu.Lock()
		before := len(w.calls)
		w.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if before == 0 || before == 4 || len(w.calls) != before {
			t.Fatalf("%d calls before the pause, %d after", before, len(w.calls))
		}
		w.db.update("d", func(d *rollout.Deployment) {
			d.Operator.Pause = false
			d.Operator.Resumes++
			d.State = rollout.StateInProgress
		})
		if snap, _ := w.await("d"); snap.Deployment.State != rollout.StateCompleted {
			t.Fatalf("ended %s: %s", snap.Deployment.State, snap.Deployment.Reason)
		}
	})
}

func TestAbort_EndsWithoutFurtherCalls(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"batch_size":1}`, boxes(4, nil)...)
		w.start(0)
		time.Sleep(time.Second) // the synthetic clock
		w.db.update("d", func(d *rollout.Deployment) { d.Operator.Abort = true })
		snap, _ := w.await("d")
		if snap.Deployment.State != rollout.StateAborted || len(w.calls) > 2 {
			t.Fatalf("ended %s after %d calls", snap.Deployment.State, len(w.calls))
		}
	})
}

// Whenever the last look at the database was, and though nothing is heard from it.
func TestCommand_WithoutNotifyTakesOneSecond(t *testing.T) {
	t.Parallel()
	for phase := range 8 {
		inBubble(t, func(w *world) {
			w.db.mute = true
			w.deployment("d", `{"batch_size":2,"bake":"10m"}`, boxes(2, nil)...)
			w.db.rows["d"].snap.Deployment.Spec.Checks[0].Interval = duration.Duration(15 * time.Second)
			w.start(0)
			time.Sleep(time.Minute + time.Duration(phase)*250*time.Millisecond) // the synthetic clock
			w.mu.Lock()
			before := len(w.calls)
			w.mu.Unlock()
			w.db.update("d", func(d *rollout.Deployment) { d.Operator.Rollback = true })
			time.Sleep(time.Second)
			w.mu.Lock()
			after := len(w.calls)
			w.mu.Unlock()
			if before != 2 || after != 4 {
				t.Errorf("phase %d: %d calls before the rollback was asked for, %d a second later", phase, before, after)
			}
			w.await("d")
		})
	}
}

func TestSession_ReleasesWaitingDeployment(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"batch_size":1}`, boxes(2, nil)...)
		w.db.rows["d"].snap.Deployment.Spec.Checks[0].Interval = duration.Duration(30 * time.Second)
		w.start(0)
		time.Sleep(5 * time.Second) // the synthetic clock
		if snap, _ := w.db.read("d"); snap.Deployment.Owner != "" {
			t.Errorf("a deployment whose next check is in half a minute is still owned by %s", snap.Deployment.Owner)
		}
		if snap, _ := w.await("d"); snap.Deployment.State != rollout.StateFailed && snap.Deployment.State != rollout.StateRolledBack {
			t.Fatalf("ended %s: %s", snap.Deployment.State, snap.Deployment.Reason)
		}
	})
}

func TestDrain_HandsOver(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"batch_size":1}`, boxes(4, nil)...)
		first := w.start(0)
		time.Sleep(time.Second) // the synthetic clock
		first.stop()
		w.start(0)
		snap, events := w.await("d")
		if snap.Deployment.State != rollout.StateCompleted || len(w.calls) != 4 {
			t.Fatalf("ended %s after %d calls", snap.Deployment.State, len(w.calls))
		}
		for _, e := range events {
			if e.Type == rollout.EventTakenOver {
				t.Error("a clean stop is no takeover")
			}
		}
	})
}

func numbered(t *testing.T, events []rollout.Event) {
	t.Helper()
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has number %d", i+1, e.Seq)
		}
	}
}

// A standby that took over as the database may not have got the last command that its owner heard of.
func TestCommand_LostRevisionDoesNotSpin(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"rolling"}`, boxes(1, func(_ int, b *box) { b.takes = 4 * time.Second })...)
		p := w.start(0)
		p.raised = 1
		if snap, _ := w.await("d"); snap.Deployment.State != rollout.StateCompleted || p.reads > 100 {
			t.Errorf("ended %s, and read the deployment again %d times", snap.Deployment.State, p.reads)
		}
	})
}

// The pause writes what the engine was about to: nothing is left to save, and the probe is still under way.
func TestCommand_ConcurrentRevisionDoesNotSpin(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		asked := false
		w.deployment("d", `{"type":"rolling"}`, boxes(1, func(_ int, b *box) {
			b.mumbles = true
			b.probed = func() {
				if w.callCount() == 0 || asked {
					return
				}
				asked = true
				time.Sleep(50 * time.Millisecond)
				w.asks(command.Pause)
				time.Sleep(time.Second)
			}
		})...)
		w.start(0)
		time.Sleep(time.Minute)
		snap, _ := w.db.read("d")
		if !asked || snap.Deployment.State != rollout.StatePaused {
			t.Errorf("paused: %t; it is %s: %s", asked, snap.Deployment.State, snap.Deployment.Reason)
		}
		w.asks(command.Resume)
		w.await("d")
	})
}

func (w *world) asks(kind command.Kind) {
	w.db.update("d", func(d *rollout.Deployment) {
		if _, err := command.Apply(d, command.Command{Kind: kind, Actor: "ann"}, time.Now()); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) callCount() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls)
}
