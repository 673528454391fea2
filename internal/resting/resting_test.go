package resting_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/dbtest/teststore"
	"rollcall/internal/problem"
	"rollcall/internal/resting"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

func TestLoop_RouterAsItWasLeftIsReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(t)
	for range 2 {
		step := w.wantStep(t, true)
		if step.RecheckIn != w.config.Every || step.WriteFor != 0 || step.Resting.Router.Differs != "" {
			t.Errorf("saved %+v", step)
		}
	}
	if w.router.writeCount() != 0 {
		t.Errorf("written: %+v", w.router.writes)
	}
}

// A reload makes the router forget what was set at runtime.
func TestLoop_ReloadedRouterIsWrittenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.router.instance, w.router.weights = "second", map[string]int{"web-0": 100, "web-1": 100}
	w.run(t)
	intent := w.wantStep(t, false, rollout.EventTrafficDrifted, rollout.EventTrafficIntent)
	if timeout := time.Second; intent.WriteFor <= 0 || intent.WriteFor < timeout/2 {
		t.Errorf("the write may arrive for %s, its timeout is %s", intent.WriteFor, timeout)
	}
	done := w.wantStep(t, true, rollout.EventTrafficRestored)
	if done.Resting.Restores != 1 || done.RecheckIn != w.config.Every || done.WriteFor != 0 {
		t.Errorf("saved %+v", done)
	}
	w.wantStep(t, true)
	if n := w.router.writeCount(); n != 1 || w.router.writes[0].Fence <= 7 || w.router.weights["web-0"] != 0 {
		t.Errorf("%d writes: %+v", n, w.router.writes)
	}
	if kinds := w.writes.counted(); !slices.Equal(kinds, []rollout.ResultKind{rollout.ResultDone}) {
		t.Errorf("counted %v", kinds)
	}
}

func TestLoop_WriteWithoutResponseIsSettledByReading(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.router.instance, w.router.weights, w.router.loses = "second", map[string]int{"web-0": 100, "web-1": 100}, true
	w.run(t)
	w.wantStep(t, false, rollout.EventTrafficDrifted, rollout.EventTrafficIntent)
	w.wantStep(t, true, rollout.EventTrafficUnknown)
	w.wantStep(t, true, rollout.EventTrafficRestored)
	if n := w.router.writeCount(); n != 1 {
		t.Errorf("written %d times", n)
	}
}

func TestLoop_UnreadableRouterIsReadMoreRarely(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.router.failure = errors.New("connection refused")
	w.run(t)
	for i, factor := range []int64{2, 4, 4} {
		step := w.wantStep(t, true)
		if int64(step.RecheckIn) != factor*int64(w.config.Every) || step.Resting.Failures != i+1 || step.Resting.Error != "connection refused" {
			t.Errorf("after %d failures: %+v", i+1, step)
		}
	}
}

// The deployment is created while the router is read, after the router was claimed.
func TestLoop_DeploymentInBetweenPreventsTheWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.router.instance, w.router.weights = "second", map[string]int{"web-0": 100, "web-1": 100}
	var created atomic.Bool
	w.router.beforeRead = func(context.Context) {
		if created.CompareAndSwap(false, true) {
			teststore.CreateDeployment(t, w.store.Store, teststore.NewRequest("checkout", 2))
		}
	}
	w.run(t)
	if intent := w.nextStep(t); problem.CodeOf(intent.err) != problem.CodeConflict || intent.Release {
		t.Fatalf("saved %+v", intent)
	}
	if step := w.wantStep(t, true); !step.Unchanged || step.RecheckIn != w.config.Every {
		t.Errorf("saved %+v", step)
	}
	if n := w.router.writeCount(); n != 0 {
		t.Errorf("written %d times beside a deployment", n)
	}
}

// The reading was cut by the end of the lease: it says nothing about the router, which is claimed again under the next lease.
func TestLoop_ReadingCutByTheLeaseIsNotSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	life, end := context.WithCancel(t.Context())
	var cut atomic.Bool
	w.config.Lease = leaseFunc(func() (context.Context, bool) {
		if cut.Load() {
			return context.Background(), true
		}
		return life, true
	})
	w.router.beforeRead = func(ctx context.Context) {
		if cut.CompareAndSwap(false, true) {
			end()
			<-ctx.Done()
		}
	}
	w.run(t)
	if step := w.wantStep(t, true); step.Resting.Failures != 0 || step.Resting.Error != "" {
		t.Errorf("saved %+v", step)
	}
}

// untouchedStore fails the test when it is asked for anything.
type untouchedStore struct{ t *testing.T }

func (s untouchedStore) ClaimRouters(context.Context, string, []string, int) ([]storage.ClaimedRouter, error) {
	s.t.Error("a router was claimed")
	return nil, nil
}

func (s untouchedStore) SaveRouter(context.Context, *storage.ClaimedRouter, storage.SavedRouter) error {
	s.t.Error("a router was saved")
	return nil
}

func TestLoop_WithoutLeaseNothingIsClaimed(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	asked := 0
	resting.New(resting.Config{Every: time.Millisecond, Store: untouchedStore{t}, Lease: leaseFunc(func() (context.Context, bool) {
		if asked++; asked == 2 {
			stop()
		}
		return nil, false
	})}).Run(ctx)
}

func TestLoop_IntervalOfZeroSwitchesItOff(t *testing.T) {
	t.Parallel()
	resting.New(resting.Config{Store: untouchedStore{t}, Lease: leaseFunc(heldLease)}).Run(t.Context()) // returns at once
}

// fullStore hands out as many routers as it is asked for, and records how many that were.
type fullStore struct {
	untouchedStore
	limits chan int
}

func (s fullStore) ClaimRouters(_ context.Context, _ string, mine []string, limit int) ([]storage.ClaimedRouter, error) {
	s.limits <- limit
	claimed := make([]storage.ClaimedRouter, limit)
	for i := range claimed {
		claimed[i].Service = string(rune('a' + len(mine) + i))
	}
	return claimed, nil
}

// While a replica works on as many routers as it may, it claims no more.
func TestLoop_ClaimsNoMoreThanItWorksOn(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	limits := make(chan int, 10)
	polls := 0
	router := &fakeRouter{beforeRead: func(ctx context.Context) { <-ctx.Done() }}
	resting.New(resting.Config{
		Every: time.Millisecond, Store: fullStore{untouchedStore{t}, limits}, Router: router,
		Lease: leaseFunc(func() (context.Context, bool) {
			if polls++; polls == 3 {
				stop()
			}
			return ctx, polls < 3
		}),
	}).Run(ctx)
	close(limits)
	var asked []int
	for limit := range limits {
		asked = append(asked, limit)
	}
	if !slices.Equal(asked, []int{64}) {
		t.Errorf("claimed up to %v", asked)
	}
}
