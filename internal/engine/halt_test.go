package engine

import (
	"slices"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
)

// becomesUnhealthy makes a target run something else than it was given.
func (w *world) becomesUnhealthy(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.targets[target].version, w.targets[target].unhealthy = "something else", true
}

func (w *world) routerGoesAway() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.router.answers = slices.Repeat([]rollout.ResultKind{rollout.ResultNotSent}, 10_000)
}

func TestHalt_AtGateReturnsTraffic(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"canary","stages":[{"percent":50,"promotion":"manual"},100],"stage_duration":"1s","on_failure":"halt"}`,
			boxes(4, nil)...)
		w.withTraffic(false)
		w.start(0)
		time.Sleep(time.Minute) // the synthetic clock
		if d, _ := w.db.read("d"); d.Deployment.Progress.Gate != 1 {
			t.Fatalf("it does not wait at its gate: %s", d.Deployment.Reason)
		}
		w.becomesUnhealthy("t0")
		if snap, _ := w.await("d"); snap.Deployment.State != rollout.StateFailed || w.last().NewWeight != 0 {
			t.Errorf("ended %s: %s; the new side has %d %%", snap.Deployment.State, snap.Deployment.Reason, w.last().NewWeight)
		}
	})
}

func TestHalt_UnconfirmedEndComesAtDeadline(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(w *world){
		"abort": func(w *world) { w.db.update("d", func(d *rollout.Deployment) { d.Operator.Abort = true }) },
		"halt":  func(w *world) { w.becomesUnhealthy("t0") },
	} {
		for where, stages := range map[string]string{
			"in a bake": `"stages":[50,100],"stage_duration":"24h"`,
			"at a gate": `"stages":[{"percent":50,"promotion":"manual"},100],"stage_duration":"1s"`,
		} {
			inBubble(t, func(w *world) {
				w.deployment("d", `{"type":"canary",`+stages+`,"progress_deadline":"1m","on_failure":"halt"}`, boxes(4, nil)...)
				w.withTraffic(false)
				w.start(0)
				time.Sleep(10 * time.Minute)
				w.routerGoesAway()
				asked := time.Now()
				end(w)
				snap, _ := w.await("d")
				if took := time.Since(asked); snap.Deployment.State != rollout.StateFailed || took > 2*time.Minute {
					t.Errorf("%s %s: ended %s after %s: %s", what, where, snap.Deployment.State, took, snap.Deployment.Reason)
				}
			})
		}
	}
}

func TestHalt_WithoutProgressReturnsTraffic(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"canary","stages":[25,50,100],"stage_duration":"1s","progress_deadline":"10s","on_failure":"halt"}`,
			boxes(4, func(i int, b *box) {
				if i == 1 {
					b.hangs = "v2"
				}
			})...)
		w.withTraffic(false)
		w.start(0)
		if snap, _ := w.await("d"); snap.Deployment.State != rollout.StateFailed || w.last().NewWeight != 0 {
			t.Errorf("ended %s: %s; the new side has %d %%", snap.Deployment.State, snap.Deployment.Reason, w.last().NewWeight)
		}
	})
}

func TestHalt_WithoutProgressRestoresUncalledTargets(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"rolling","batch_size":2,"progress_deadline":"10s","on_failure":"halt"}`, boxes(4, nil)...)
		w.withTraffic(false)
		d := &w.db.rows["d"].snap.Deployment
		d.Spec.Traffic.Drain = duration.Duration(time.Minute)
		w.start(0)
		snap, _ := w.await("d")
		for _, b := range w.last().Backends {
			if b.Weight == 0 {
				t.Errorf("%s was never called, and is left without traffic", b.Target)
			}
		}
		if snap.Deployment.State != rollout.StateFailed {
			t.Errorf("ended %s: %s", snap.Deployment.State, snap.Deployment.Reason)
		}
	})
}
