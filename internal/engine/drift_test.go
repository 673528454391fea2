package engine

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// restart makes the router lose its weights.
func (w *world) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.router.writes = append(w.router.writes, routing.Call{Setting: routing.TrafficSplit{NewWeight: -1, OldWeight: -1, Backends: w.router.writes[len(w.router.writes)-1].Setting.Backends}})
}

func countEvents(events []rollout.Event, kind string) int {
	n := 0
	for _, e := range events {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func TestDrift_ReadOnceInTenSecondsWhileItBakes(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"canary","stages":[50,100],"stage_duration":"5m"}`, boxes(4, nil)...)
		w.withTraffic(false)
		w.start(0)
		time.Sleep(time.Minute) // the synthetic clock
		before := w.router.asked
		time.Sleep(2 * time.Minute)
		if reads := w.router.asked - before; reads < 11 || reads > 13 {
			t.Errorf("%d reads in two minutes of a bake", reads)
		}
		w.await("d")
	})
}

func TestDrift_IsSeenWithinTenSecondsAndSetAgain(t *testing.T) {
	t.Parallel()
	for name, strategy := range map[string]string{
		"bake": `{"type":"canary","stages":[50,100],"stage_duration":"5m"}`,
		"gate": `{"type":"canary","stages":[{"percent":50,"duration":"1s","promotion":"manual"},100],"stage_duration":"1s"}`,
	} {
		inBubble(t, func(w *world) {
			w.deployment("d", strategy, boxes(4, nil)...)
			w.withTraffic(false)
			w.start(0)
			time.Sleep(time.Minute) // the synthetic clock
			w.restart()
			time.Sleep(11 * time.Second)
			snap, events := w.db.read("d")
			if w.last().NewWeight != 50 || countEvents(events, rollout.EventTrafficDrifted) != 1 || snap.Deployment.Progress.Router.Differs != "" {
				t.Errorf("%s: the router does %+v: %s", name, w.last(), snap.Deployment.Reason)
			}
			w.db.update("d", func(d *rollout.Deployment) { d.Operator.SkipGates = true })
			if snap, _ := w.await("d"); snap.Deployment.State != rollout.StateCompleted || w.last().NewWeight != 100 {
				t.Errorf("%s: ended %s: %s", name, snap.Deployment.State, snap.Deployment.Reason)
			}
		})
	}
}

// Paused by a person, the router stays as it is: what it lost is reported and not set again.
func TestDrift_WhilePausedIsReportedAndKept(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"canary","stages":[50,100],"stage_duration":"5m"}`, boxes(4, nil)...)
		w.withTraffic(false)
		w.start(0)
		time.Sleep(time.Minute) // the synthetic clock
		w.db.update("d", func(d *rollout.Deployment) { d.Operator.Pause, d.State = true, rollout.StatePaused })
		w.restart()
		time.Sleep(30 * time.Second)
		snap, events := w.db.read("d")
		if w.last().NewWeight != -1 || countEvents(events, rollout.EventTrafficDrifted) != 1 || snap.Deployment.Progress.Router.Differs == "" {
			t.Errorf("the router does %+v, known as %q", w.last(), snap.Deployment.Progress.Router.Differs)
		}
		w.db.update("d", func(d *rollout.Deployment) {
			d.Operator.Pause, d.State, d.Operator.SkipGates = false, rollout.StateInProgress, true
			d.Operator.Resumes++
		})
		if snap, _ := w.await("d"); snap.Deployment.State != rollout.StateCompleted || w.last().NewWeight != 100 {
			t.Errorf("ended %s: %s", snap.Deployment.State, snap.Deployment.Reason)
		}
	})
}

// What was confirmed stays true until something else is seen; that no reading was possible is reported.
func TestDrift_UnreadableRouterFailsNoRollout(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"canary","stages":[100],"stage_duration":"2m"}`, boxes(4, nil)...)
		w.withTraffic(false)
		w.start(0)
		time.Sleep(time.Minute) // the synthetic clock
		w.mu.Lock()
		w.router.deaf = true
		w.mu.Unlock()
		snap, _ := w.await("d")
		if d := &snap.Deployment; d.State != rollout.StateCompleted || !strings.Contains(d.Reason, "could not be read") {
			t.Errorf("ended %s: %s", d.State, d.Reason)
		}
	})
}
