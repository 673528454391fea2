package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
)

// weightOf is what the newest setting gives a target.
func (w *world) weightOf(target string) int {
	for _, b := range w.last().Backends {
		if b.Target == target {
			return b.Weight
		}
	}
	return 0
}

func TestRouter_UnhealthyAtGateLosesTraffic(t *testing.T) {
	t.Parallel()
	for name, strategyJSON := range map[string]string{
		"at a gate that tolerates it": `{"type":"canary","stages":[{"percent":50,"promotion":"manual"},100],"stage_duration":"1s","success_threshold":0.5}`,
		"by the failure itself":       `{"type":"canary","stages":[{"percent":50,"promotion":"manual"},100],"stage_duration":"1s","on_failure":"pause"}`,
	} {
		inBubble(t, func(w *world) {
			w.deployment("d", strategyJSON, boxes(4, nil)...)
			w.withTraffic(false)
			w.start(0)
			time.Sleep(time.Minute) // the synthetic clock
			if w.weightOf("t0") == 0 || w.last().NewWeight != 50 {
				t.Fatalf("%s: before that the router does %+v", name, w.last())
			}
			w.becomesUnhealthy("t0")
			time.Sleep(time.Minute)
			snap, _ := w.db.read("d")
			if w.weightOf("t0") != 0 || w.weightOf("t1") == 0 || w.last().NewWeight != 50 || snap.Deployment.State != rollout.StatePaused {
				t.Errorf("%s: %s, and the router does %+v", name, snap.Deployment.Reason, w.last())
			}
			if !strings.Contains(snap.Deployment.Reason, "failed") {
				t.Errorf("%s: the reason does not name the unhealthy target: %s", name, snap.Deployment.Reason)
			}
		})
	}
}

// waitsAtGate brings half of four targets to the new version; that one of them becomes unhealthy is tolerated.
func (w *world) waitsAtGate() {
	w.deployment("d", `{"type":"canary","stages":[{"percent":50,"promotion":"manual"},100],"stage_duration":"1s","success_threshold":0.5}`, boxes(4, nil)...)
	w.withTraffic(false)
	w.start(0)
	time.Sleep(time.Minute) // the synthetic clock
}

func TestRouter_NoWriteWhilePaused(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.waitsAtGate()
		w.db.update("d", func(d *rollout.Deployment) { d.Operator.Pause = true })
		w.becomesUnhealthy("t0")
		writes := len(w.router.writes)
		time.Sleep(time.Minute)
		if n := len(w.router.writes); n != writes {
			t.Errorf("%d writes more", n-writes)
		}
		w.db.update("d", func(d *rollout.Deployment) { d.Operator.Pause = false })
		time.Sleep(time.Minute)
		if w.weightOf("t0") != 0 {
			t.Errorf("after the pause the router does %+v", w.last())
		}
	})
}

func TestRouter_RefusalAtGateRevertsNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.waitsAtGate()
		w.routerGoesAway()
		w.becomesUnhealthy("t0")
		time.Sleep(time.Minute)
		if snap, _ := w.db.read("d"); snap.Deployment.Progress.Gate != 1 || snap.Deployment.Direction != rollout.Forward ||
			!strings.Contains(snap.Deployment.Reason, "the router did not move traffic: ") {
			t.Errorf("%s: %s", snap.Deployment.State, snap.Deployment.Reason)
		}
	})
}

func TestRouter_SwitchConfirmedDuringPauseIsReverted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"blue_green","keep_old_for":"1h"}`, boxes(4, nil)...)
		w.withTraffic(true)
		w.router.meets = func(write int) {
			if w.last().NewWeight == 100 {
				w.db.update("d", func(d *rollout.Deployment) { d.Operator.Pause = true })
				time.Sleep(time.Second) // and the engine has seen it before the router's answer
			}
		}
		w.start(0)
		time.Sleep(time.Minute)
		calls, writes := len(w.calls), len(w.router.writes)
		w.db.update("d", func(d *rollout.Deployment) { d.Operator.Pause, d.Operator.Rollback = false, true })
		snap, _ := w.await("d")
		if snap.Deployment.State != rollout.StateRolledBack || len(w.calls) != calls || len(w.router.writes) != writes+1 {
			t.Errorf("ended %s: %s; %d calls and %d writes more", snap.Deployment.State, snap.Deployment.Reason,
				len(w.calls)-calls, len(w.router.writes)-writes)
		}
	})
}

func TestRouter_SwitchToUnhealthySlotIsReverted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tolerated int
		paused    bool
	}{"in a pause": {1, true}, "and is not tolerated": {0, false}} {
		inBubble(t, func(w *world) {
			w.deployment("d", fmt.Sprintf(`{"type":"blue_green","keep_old_for":"1h","max_failures":%d}`, c.tolerated), boxes(4, nil)...)
			w.withTraffic(true)
			w.db.rows["d"].snap.Deployment.Spec.Traffic.Timeout = duration.Duration(time.Minute)
			w.router.meets = func(int) {
				if w.last().NewWeight == 100 {
					w.db.update("d", func(d *rollout.Deployment) { d.Operator.Pause = c.paused })
					w.becomesUnhealthy("t0")
					time.Sleep(10 * time.Second)
				}
			}
			w.start(0)
			time.Sleep(30 * time.Second)
			if c.paused {
				w.db.update("d", func(d *rollout.Deployment) { d.Operator.Pause, d.Operator.Rollback = false, true })
			}
			snap, _ := w.await("d")
			if snap.Deployment.State != rollout.StateRolledBack || w.callCount() != 2 || w.last().NewWeight != 0 {
				t.Errorf("%s: ended %s: %s; %d calls, and the router does %+v", name, snap.Deployment.State, snap.Deployment.Reason,
					w.callCount(), w.last())
			}
		})
	}
}

func TestRouter_WrittenOnceReachableAtGate(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.waitsAtGate()
		w.routerGoesAway()
		w.becomesUnhealthy("t0")
		time.Sleep(time.Hour)
		w.mu.Lock()
		tries := 10_000 - len(w.router.answers)
		w.router.answers = nil
		w.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if w.weightOf("t0") != 0 || w.weightOf("t1") == 0 || tries > 70 {
			t.Errorf("after %d tries the router does %+v", tries, w.last())
		}
	})
}

func TestRouter_UnhealthyCheckOnlyTargetLosesTraffic(t *testing.T) {
	t.Parallel()
	for name, strategyJSON := range map[string]string{
		"in a bake":       `{"type":"rolling","batch_size":2,"bake":"1m","max_failures":1}`,
		"by on_failure":   `{"type":"rolling","batch_size":2,"bake":"1m","on_failure":"pause"}`,
		"at a gate":       `{"type":"canary","stages":[{"percent":50,"promotion":"manual"},100],"stage_duration":"1s","success_threshold":0.5}`,
		"in a blue-green": `{"type":"blue_green","keep_old_for":"1h","max_failures":1}`,
	} {
		inBubble(t, func(w *world) {
			w.deployment("d", strategyJSON, boxes(4, func(i int, b *box) {
				if i == 0 {
					b.version = "v2"
				}
			})...)
			w.withTraffic(false)
			w.start(0)
			time.Sleep(30 * time.Second)
			w.becomesUnhealthy("t0")
			time.Sleep(20 * time.Second)
			snap, _ := w.db.read("d")
			if snap.Targets[0].State != rollout.TargetFailed || w.weightOf("t0") != 0 || w.weightOf("t1") == 0 {
				t.Errorf("%s: t0 is %s, and the router does %+v", name, snap.Targets[0].State, w.last())
			}
		})
	}
}
