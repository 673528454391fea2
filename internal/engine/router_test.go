package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
	"rollcall/internal/strategy/command"
)

// router is a pretend load balancer. It remembers every write that took effect.
type router struct {
	writes []routing.Call
	fence  int64
	// refuses is the new side's weight from which on it refuses; answers are given to the next writes, in order.
	refuses int
	answers []rollout.ResultKind
	asked   int
	deaf    bool            // it cannot be read
	meets   func(write int) // called while a write is out, when it is not nil
}

// SetWeights can be cut off before the write arrived, or before its answer came back.
func (p *process) SetWeights(_ context.Context, d *rollout.Deployment, targets []rollout.Target, call routing.Call) rollout.CallResult {
	if p.alive() != nil {
		return rollout.CallResult{Kind: rollout.ResultNotSent}
	}
	if snap, _ := p.w.db.read(d.ID); snap.Deployment.Progress.Router == nil || snap.Deployment.Progress.Router.Sent == nil ||
		snap.Deployment.Progress.Router.Sent.Fence != call.Fence {
		p.w.t.Errorf("the router is written to, fence %d, and that is not written down: %+v", call.Fence, snap.Deployment.Progress.Router)
	}
	a := p.w.route(d, targets, call)
	p.w.mu.Lock()
	meets, write := p.w.router.meets, len(p.w.router.writes)
	p.w.mu.Unlock()
	if meets != nil {
		meets(write)
	}
	if p.alive() != nil {
		return rollout.CallResult{Kind: rollout.ResultUnknown}
	}
	return a
}

func (w *world) route(d *rollout.Deployment, targets []rollout.Target, call routing.Call) rollout.CallResult {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &w.router
	if call.Fence <= r.fence {
		w.t.Errorf("the router's fence fell from %d to %d", r.fence, call.Fence)
	}
	r.fence = call.Fence
	w.assertServed(d, call.Setting)
	if r.refuses > 0 && call.Setting.NewWeight >= r.refuses {
		return rollout.CallResult{Kind: rollout.ResultRefused, Message: "HTTP 400"}
	}
	kind := rollout.ResultDone
	if len(r.answers) > 0 {
		kind, r.answers = r.answers[0], r.answers[1:]
	}
	if kind != rollout.ResultNotSent {
		r.writes = append(r.writes, call)
	}
	return rollout.CallResult{Kind: kind, Message: string(kind)}
}

// assertServed holds a setting against the targets as they are: no traffic to one that is being called, and never
// to none at all.
func (w *world) assertServed(d *rollout.Deployment, s routing.TrafficSplit) {
	sum := 0
	for _, b := range s.Backends {
		sum += b.Weight
		if b.Weight > 0 && w.open[b.Target] > 0 && d.Spec.Strategy.Type != "blue_green" {
			w.t.Errorf("traffic goes to %s while it is being called", b.Target)
		}
		if b.Weight < 0 || b.Weight > 256 {
			w.t.Errorf("%s has weight %d", b.Target, b.Weight)
		}
	}
	if sum == 0 {
		w.t.Error("traffic goes to no server")
	}
}

// Read returns what the newest write that took effect left.
func (p *process) Read(_ context.Context, d *rollout.Deployment, targets []rollout.Target) (routing.Reading, error) {
	if err := p.alive(); err != nil {
		return routing.Reading{}, err
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.router.reading(d.ID, targets)
}

func (r *router) reading(id string, targets []rollout.Target) (routing.Reading, error) {
	r.asked++
	if r.deaf {
		return routing.Reading{}, errors.New("no answer")
	}
	reading := routing.Reading{Weights: &routing.Weights{NewWeight: -1, OldWeight: -1}, Backends: make([]routing.BackendReading, len(targets))}
	for i := range targets {
		reading.Backends[i] = routing.BackendReading{Target: targets[i].ID, Weight: -1, Serving: true, Sessions: -1, Effective: 100}
	}
	if len(r.writes) == 0 {
		return reading, nil
	}
	last := &r.writes[len(r.writes)-1].Setting
	shares := last.Weights()
	reading.DeploymentID, reading.Weights = id, &shares
	for i, b := range last.Backends {
		reading.Backends[i].Weight = b.Weight
	}
	return reading, nil
}

func (w *world) withTraffic(slots bool) {
	d := &w.db.rows["d"].snap.Deployment
	d.Spec.Traffic = &routing.Config{
		Type: "webhook", URL: "http://lb", ReadBack: true, Timeout: duration.Duration(2 * time.Second), Retries: 2,
		Backoff: duration.Duration(time.Second),
	}
	if slots {
		d.Spec.ActiveSlot, d.Spec.IdleSlot = "blue", "green"
		for i := range w.db.rows["d"].snap.Targets {
			t := &w.db.rows["d"].snap.Targets[i]
			if t.Slot = "green"; i >= len(w.db.rows["d"].snap.Targets)/2 {
				t.Slot, t.Wave = "blue", 0
			}
		}
	}
}

// last is the newest setting that took effect; none before the first.
func (w *world) last() routing.TrafficSplit {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.router.writes) == 0 {
		return routing.TrafficSplit{}
	}
	return w.router.writes[len(w.router.writes)-1].Setting
}

// openAt is how many calls a target has not answered.
func (w *world) openAt(target string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open[target]
}

// runs is the version that a target runs.
func (w *world) runs(target string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.targets[target].version
}

func (w *world) shares() []int {
	var shares []int
	for _, c := range w.router.writes {
		if len(shares) == 0 || shares[len(shares)-1] != c.Setting.NewWeight {
			shares = append(shares, c.Setting.NewWeight)
		}
	}
	return shares
}

func TestRouter_RollingTakesTargetsOutAndRestores(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"batch_size":2}`, boxes(6, nil)...)
		w.withTraffic(false)
		w.start(0)
		snap, _ := w.await("d")
		if snap.Deployment.State != rollout.StateCompleted {
			t.Fatalf("ended %s: %s", snap.Deployment.State, snap.Deployment.Reason)
		}
		for _, b := range w.last().Backends {
			if b.Weight == 0 {
				t.Errorf("%s was not restored", b.Target)
			}
		}
		if w.last().NewWeight != 100 || len(w.router.writes) < 4 {
			t.Errorf("%d writes, the last %+v", len(w.router.writes), w.last())
		}
	})
}

func TestRouter_CanarySendsOnlyToVerifiedTargets(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"canary","stages":[10,50,100],"stage_duration":"10s"}`, boxes(10, nil)...)
		w.withTraffic(false)
		w.start(0)
		snap, _ := w.await("d")
		if got := w.shares(); snap.Deployment.State != rollout.StateCompleted || !slices.Equal(got, []int{0, 10, 50, 100}) {
			t.Fatalf("ended %s: %s; shares %v", snap.Deployment.State, snap.Deployment.Reason, got)
		}
	})
}

func TestRouter_SwitchIsOneWrite(t *testing.T) {
	t.Parallel()
	for _, refuses := range []int{0, 100} {
		inBubble(t, func(w *world) {
			w.deployment("d", `{"type":"blue_green"}`, boxes(6, func(i int, b *box) { b.version = fmt.Sprintf("old-%d", i) })...)
			w.withTraffic(true)
			w.router.refuses = refuses
			w.start(0)
			snap, _ := w.await("d")
			want, share := rollout.StateCompleted, 100
			if refuses > 0 {
				want, share = rollout.StateRolledBack, 0
			}
			if snap.Deployment.State != want || w.last().NewWeight != share {
				t.Errorf("ended %s: %s; shares %v", snap.Deployment.State, snap.Deployment.Reason, w.shares())
			}
			for i := range snap.Targets {
				if refuses > 0 && w.targets[snap.Targets[i].ID].version != fmt.Sprintf("old-%d", i) {
					t.Errorf("%s runs %s", snap.Targets[i].ID, w.targets[snap.Targets[i].ID].version)
				}
			}
		})
	}
}

func TestRouter_LostResponseIsReadBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"blue_green"}`, boxes(4, nil)...)
		w.withTraffic(true)
		w.router.answers = []rollout.ResultKind{rollout.ResultDone, rollout.ResultUnknown}
		w.start(0)
		snap, _ := w.await("d")
		if snap.Deployment.State != rollout.StateCompleted || w.router.asked == 0 || len(w.router.writes) != 2 {
			t.Errorf("ended %s: %s; asked %d times, written %d times",
				snap.Deployment.State, snap.Deployment.Reason, w.router.asked, len(w.router.writes))
		}
	})
}

func TestRouter_RollbackAfterSwitchIsOneWrite(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"blue_green","keep_old_for":"10m"}`, boxes(4, nil)...)
		w.withTraffic(true)
		w.start(0)
		time.Sleep(time.Minute) // the synthetic clock
		calls, writes := len(w.calls), len(w.router.writes)
		w.db.update("d", func(d *rollout.Deployment) { d.Operator.Rollback = true })
		snap, _ := w.await("d")
		if snap.Deployment.State != rollout.StateRolledBack || len(w.calls) != calls || len(w.router.writes) != writes+1 {
			t.Errorf("ended %s: %s; %d calls and %d writes more", snap.Deployment.State, snap.Deployment.Reason,
				len(w.calls)-calls, len(w.router.writes)-writes)
		}
		if s := w.last(); s.NewWeight != 0 || s.ActiveSlot != "blue" {
			t.Errorf("the router was left at %+v", s)
		}
	})
}

func TestRouter_AbortReturnsTrafficWithoutCalls(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"canary","stages":[20,100],"stage_duration":"10m"}`, boxes(10, nil)...)
		w.withTraffic(false)
		w.start(0)
		time.Sleep(time.Minute) // the synthetic clock
		w.db.update("d", func(d *rollout.Deployment) { d.Operator.Abort = true })
		snap, _ := w.await("d")
		if snap.Deployment.State != rollout.StateAborted || w.last().NewWeight != 0 || len(w.calls) != 2 {
			t.Errorf("ended %s, new side %d %%, %d calls", snap.Deployment.State, w.last().NewWeight, len(w.calls))
		}
	})
}

func TestRouter_DownFailsAbortAtDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"canary","stages":[20,100],"stage_duration":"10m"}`, boxes(10, nil)...)
		w.withTraffic(false)
		w.start(0)
		time.Sleep(time.Minute) // the synthetic clock
		w.mu.Lock()
		w.router.answers = slices.Repeat([]rollout.ResultKind{rollout.ResultNotSent}, 10_000)
		w.mu.Unlock()
		w.db.update("d", func(d *rollout.Deployment) { d.Operator.Abort = true })
		if snap, _ := w.await("d"); snap.Deployment.State != rollout.StateFailed {
			t.Errorf("ended %s: %s", snap.Deployment.State, snap.Deployment.Reason)
		}
	})
}

func TestRouter_KillBetweenStepsEndsTheSameWay(t *testing.T) {
	t.Parallel()
	killedAtEachStep(t, func(w *world) {
		w.deployment("d", `{"type":"canary","stages":[25,100],"stage_duration":"3s"}`, boxes(4, func(i int, b *box) {
			b.version = fmt.Sprintf("old-%d", i)
			if i == 2 {
				b.fails = "v2"
			}
		})...)
		w.withTraffic(false)
	}, func(w *world, snap rollout.Snapshot) {
		if snap.Deployment.State != rollout.StateRolledBack || w.last().NewWeight != 0 {
			w.t.Errorf("ended %s: %s; new side %d %%", snap.Deployment.State, snap.Deployment.Reason, w.last().NewWeight)
		}
		for i := range snap.Targets {
			if got := w.targets[snap.Targets[i].ID].version; got != fmt.Sprintf("old-%d", i) {
				w.t.Errorf("%s runs %s", snap.Targets[i].ID, got)
			}
		}
	})
}

// While it waited, another deployment has switched: which slot is idle is known in memory only when a command makes the engine
// read the deployment again.
func TestRouter_CommandDuringClaimKeepsSlots(t *testing.T) {
	t.Parallel()
	for _, met := range []bool{false, true} {
		inBubble(t, func(w *world) {
			w.deployment("d", `{"type":"blue_green"}`, boxes(4, nil)...)
			w.withTraffic(true)
			w.db.remembered[place{"d", "e", ""}] = storage.TargetRecord{Version: "green"}
			p := w.start(0)
			p.mu.Lock()
			p.took = func() {
				if met {
					w.db.update("d", func(d *rollout.Deployment) { d.Operator.Resumes++ })
				}
			}
			p.mu.Unlock()
			snap, _ := w.await("d")
			if last := w.last(); snap.Deployment.State != rollout.StateCompleted || last.ActiveSlot != "blue" || last.NewWeight != 100 {
				t.Errorf("met %t: ended %s: %s; the router serves %s with %d %% for the new side", met, snap.Deployment.State,
					snap.Deployment.Reason, last.ActiveSlot, last.NewWeight)
			}
			for _, target := range snap.Targets {
				called := slices.ContainsFunc(w.calls, func(c madeCall) bool { return c.target == target.ID })
				if called != (target.Slot == "blue") {
					t.Errorf("met %t: %s of %s was called: %t", met, target.ID, target.Slot, called)
				}
			}
		})
	}
}

// The router's answer is known in memory only when a command makes the engine read the deployment again.
func TestRouter_CommandDuringResponseLosesNeither(t *testing.T) {
	t.Parallel()
	for at := 1; at <= 3; at++ {
		inBubble(t, func(w *world) {
			w.deployment("d", `{"type":"canary","stages":[50,100],"stage_duration":"5s"}`, boxes(4, nil)...)
			w.withTraffic(false)
			w.router.meets = func(write int) {
				if write == at {
					w.db.update("d", func(d *rollout.Deployment) { d.Operator.Pause, d.State = true, rollout.StatePaused })
				}
			}
			w.start(0)
			time.Sleep(time.Minute) // the synthetic clock
			if snap, _ := w.db.read("d"); snap.Deployment.State != rollout.StatePaused {
				t.Fatalf("paused during write %d, it is %s", at, snap.Deployment.State)
			}
			resumed := time.Now()
			w.db.update("d", func(d *rollout.Deployment) {
				d.Operator.Pause, d.State = false, rollout.StateInProgress
				d.Operator.Resumes++
			})
			snap, events := w.await("d")
			if snap.Deployment.State != rollout.StateCompleted || time.Since(resumed) > time.Minute {
				t.Errorf("paused during write %d, it ended %s after %s: %s", at, snap.Deployment.State, time.Since(resumed), snap.Deployment.Reason)
			}
			results := 0
			for _, e := range events {
				if e.Type == rollout.EventTrafficResult {
					results++
				}
			}
			if results != len(w.router.writes) {
				t.Errorf("paused during write %d: %d writes have %d results", at, len(w.router.writes), results)
			}
		})
	}
}

func TestRouter_AbortReturnsTrafficDuringCall(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"canary","stages":[50,75,100],"stage_duration":"1s","progress_deadline":"10m"}`, boxes(4, func(i int, b *box) {
			if i == 2 {
				b.hangs = "v2"
			}
		})...)
		w.db.rows["d"].snap.Deployment.Spec.Deploy.Timeout = duration.Duration(time.Hour)
		w.withTraffic(false)
		w.start(0)
		time.Sleep(time.Minute)
		if w.last().NewWeight != 50 || w.openAt("t2") != 1 {
			t.Fatalf("before that the router does %+v", w.last())
		}
		w.db.update("d", func(d *rollout.Deployment) { d.Operator.Abort, d.Progress.LastProgressAt = true, time.Now() })
		time.Sleep(10 * time.Second)
		snap, _ := w.db.read("d")
		if w.last().NewWeight != 0 || w.openAt("t2") != 1 || snap.Deployment.State.Terminal() {
			t.Errorf("the router does %+v: %s", w.last(), snap.Deployment.Reason)
		}
		snap, _ = w.await("d")
		if snap.Deployment.State != rollout.StateAborted || w.last().NewWeight != 0 || w.openAt("t2") != 0 {
			t.Errorf("ended %s: %s; the router does %+v", snap.Deployment.State, snap.Deployment.Reason, w.last())
		}
	})
}

func TestRouter_ShareWithoutOldSideIsNotKept(t *testing.T) {
	t.Parallel()
	const pauses = `{"type":"canary","stages":[50,100],"stage_duration":"1s","on_failure":"pause"}`
	for name, stops := range map[string]func(w *world){
		"while traffic drains": func(w *world) {
			w.deployment("d", pauses, boxes(4, nil)...)
			w.withTraffic(false)
			w.db.rows["d"].snap.Deployment.Spec.Traffic.Drain = duration.Duration(time.Minute)
			w.start(0)
			for w.last().NewWeight < 100 {
				time.Sleep(100 * time.Millisecond)
			}
			w.becomesUnhealthy("t0")
		},
		"while the write is out": func(w *world) {
			w.deployment("d", pauses, boxes(4, nil)...)
			w.withTraffic(false)
			w.db.rows["d"].snap.Deployment.Spec.Traffic.Timeout = duration.Duration(10 * time.Second)
			w.router.meets = func(int) {
				if w.last().NewWeight == 100 && w.runs("t0") == "v2" {
					w.becomesUnhealthy("t0")
					time.Sleep(5 * time.Second)
				}
			}
			w.start(0)
		},
		"where no target was reached": func(w *world) {
			w.deployment("d", pauses, boxes(4, func(i int, b *box) {
				if i >= 2 {
					b.away = "v2"
				}
			})...)
			w.withTraffic(false)
			w.start(0)
		},
	} {
		inBubble(t, func(w *world) {
			stops(w)
			time.Sleep(time.Hour)
			snap, _ := w.db.read("d")
			if s := w.last(); snap.Deployment.State != rollout.StatePaused || s.NewWeight != 50 || w.weightOf("t2") == 0 || w.weightOf("t3") == 0 {
				t.Errorf("%s: %s, and the router does %+v", name, snap.Deployment.Reason, s)
			}
		})
	}
}

func TestRouter_PausedSlotRollbackKeepsSwitch(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"blue_green"}`, boxes(4, nil)...)
		w.withTraffic(true)
		w.start(0)
		snap, _ := w.await("d")
		undo, err := command.NewRollback(&snap)
		if err != nil {
			t.Fatal(err)
		}
		undo.Deployment.ID = "u"
		w.router.fence = 0
		before, met := len(w.router.writes), false
		w.router.meets = func(int) {
			if w.last().NewWeight == 100 && !met {
				met = true
				w.db.update("u", func(d *rollout.Deployment) { d.Operator.Pause, d.State = true, rollout.StatePaused })
			}
		}
		if _, err := w.db.CreateDeployment(t.Context(), undo); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		w.becomesUnhealthy("t3")
		time.Sleep(30 * time.Second)
		w.db.update("u", func(d *rollout.Deployment) { d.Operator.Pause, d.Operator.Resumes = false, d.Operator.Resumes+1 })
		w.await("u")
		for _, c := range w.router.writes[before:] {
			if c.Setting.NewWeight == 0 {
				t.Errorf("traffic went back to what is undone: %+v", c.Setting)
			}
		}
	})
}

func TestRouter_LostResponsesBackOff(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.deployment("d", `{"type":"canary","stages":[50,100],"stage_duration":"1h"}`, boxes(4, nil)...)
		w.withTraffic(false)
		w.db.rows["d"].snap.Deployment.Spec.Traffic.Backoff = 0
		w.start(0)
		time.Sleep(time.Minute)
		w.mu.Lock()
		w.router.answers, w.router.deaf = slices.Repeat([]rollout.ResultKind{rollout.ResultUnknown}, 100_000), true
		before := len(w.router.writes)
		w.mu.Unlock()
		w.asks(command.Abort)
		time.Sleep(5 * time.Second)
		w.mu.Lock()
		if n := len(w.router.writes) - before; n < 2 || n > 50 {
			t.Errorf("%d writes in 5 s", n)
		}
		w.router.answers, w.router.deaf = nil, false
		w.mu.Unlock()
		w.await("d")
	})
}
