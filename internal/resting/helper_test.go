package resting_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/internal/dbtest/teststore"
	"rollcall/internal/duration"
	"rollcall/internal/resting"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

const replica = "one"

// fakeRouter has the weights of two targets, and is read and written like HAProxy.
type fakeRouter struct {
	mu       sync.Mutex
	instance string
	weights  map[string]int
	writes   []routing.Call
	// failure is the error of every reading, loses says that no write gets a response.
	failure error
	loses   bool
	// beforeRead is called by each reading when it is not nil.
	beforeRead func(ctx context.Context)
}

func (r *fakeRouter) SetWeights(_ context.Context, _ *rollout.Deployment, _ []rollout.Target, call routing.Call) rollout.CallResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, call)
	for _, b := range call.Setting.Backends {
		r.weights[b.Target] = b.Weight
	}
	if r.loses {
		return rollout.CallResult{Kind: rollout.ResultUnknown, Message: "no response"}
	}
	return rollout.CallResult{Kind: rollout.ResultDone}
}

func (r *fakeRouter) Read(ctx context.Context, _ *rollout.Deployment, targets []rollout.Target) (routing.Reading, error) {
	if r.beforeRead != nil {
		r.beforeRead(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure != nil || ctx.Err() != nil {
		return routing.Reading{}, errors.Join(r.failure, ctx.Err())
	}
	reading := routing.Reading{Instance: r.instance}
	for i := range targets {
		weight := r.weights[targets[i].ID]
		reading.Backends = append(reading.Backends, routing.BackendReading{
			Target: targets[i].ID, Weight: weight, Serving: weight > 0, Sessions: -1, Effective: 100,
		})
	}
	return reading, nil
}

// writeCount returns how many writes the router has got.
func (r *fakeRouter) writeCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.writes)
}

// savedStep is a step that a loop has saved, and what became of it.
type savedStep struct {
	storage.SavedRouter
	err error
}

// eventTypes lists the types of the step's events.
func (s *savedStep) eventTypes() (types []string) {
	for i := range s.Events {
		types = append(types, s.Events[i].Type)
	}
	return types
}

// recordingStore is a store that passes on what a loop saves.
type recordingStore struct {
	*store.Store
	saved chan savedStep
}

func (r *recordingStore) SaveRouter(ctx context.Context, c *storage.ClaimedRouter, step storage.SavedRouter) error {
	err := r.Store.SaveRouter(ctx, c, step)
	r.saved <- savedStep{step, err}
	return err //nolint:wrapcheck // it is the store's
}

// leaseFunc is a Lease.
type leaseFunc func() (context.Context, bool)

func (f leaseFunc) LeaseContext() (context.Context, bool) { return f() }

func heldLease() (context.Context, bool) { return context.Background(), true }

// writeCounter counts writes by their result.
type writeCounter struct {
	mu    sync.Mutex
	kinds []rollout.ResultKind
}

func (c *writeCounter) RouteDone(_ string, kind rollout.ResultKind, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds = append(c.kinds, kind)
}

func (c *writeCounter) counted() []rollout.ResultKind {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.kinds)
}

// world is a database with a router that a deployment has left, and a loop that keeps it.
type world struct {
	store  *recordingStore
	router *fakeRouter
	writes *writeCounter
	config resting.Config
}

// newWorld has a router with all traffic at web-1, as the deployment has left it. The loop is not started.
func newWorld(t *testing.T) *world {
	t.Helper()
	s := teststore.Open(t)
	leaveRouter(t, s)
	_, err := s.Heartbeat(teststore.Context(t), replica, teststore.Lease)
	teststore.Must(t, err)
	w := &world{
		store: &recordingStore{s, make(chan savedStep, 100)}, writes: &writeCounter{},
		router: &fakeRouter{instance: "first", weights: map[string]int{"web-0": 0, "web-1": 100}},
	}
	w.config = resting.Config{
		Replica: replica, Every: 10 * time.Millisecond, Store: w.store, Router: w.router, Lease: leaseFunc(heldLease), Recorder: w.writes,
		Log: slog.New(slog.DiscardHandler),
	}
	return w
}

// leaveRouter makes a deployment that has moved all traffic to web-1, and has ended.
func leaveRouter(t *testing.T, s *store.Store) {
	t.Helper()
	request := teststore.NewRequest("checkout", 2)
	request.Deployment.Spec.Traffic = &routing.Config{Type: "haproxy", Socket: "127.0.0.1:1", Backend: "b", Timeout: duration.Duration(time.Second)}
	teststore.CreateDeployment(t, s, request)
	snapshot := teststore.ClaimOne(t, s, "deployer")
	left := routing.TrafficSplit{NewWeight: 100, Backends: []routing.Backend{{Target: "web-0"}, {Target: "web-1", Weight: 100}}}
	d := &snapshot.Deployment
	d.Progress.Router = &routing.State{
		Applied: &left, Sent: &routing.Call{Setting: left, Fence: 7}, Fence: 7, SplitSeq: 1, TakenOut: []string{"web-0"}, Instance: "first",
		Baseline: []routing.Backend{{Target: "web-0", Weight: 100}, {Target: "web-1", Weight: 100}},
	}
	d.State, d.StartedAt = rollout.StateInProgress, d.CreatedAt
	teststore.FinishDeployment(t, s, snapshot, rollout.StateCompleted)
}

// run starts the loop. It ends with the test.
func (w *world) run(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); resting.New(w.config).Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
}

// nextStep waits for the next step that the loop saves.
func (w *world) nextStep(t *testing.T) savedStep {
	t.Helper()
	select {
	case step := <-w.store.saved:
		return step
	case <-teststore.Context(t).Done():
		t.Fatal("the loop saved nothing")
		return savedStep{}
	}
}

// wantStep demands that the next step has these events, and releases the router or not.
func (w *world) wantStep(t *testing.T, release bool, events ...string) savedStep {
	t.Helper()
	step := w.nextStep(t)
	if step.err != nil || step.Release != release || !slices.Equal(step.eventTypes(), events) {
		t.Fatalf("saved %v (released: %v, error: %v), want %v (released: %v)", step.eventTypes(), step.Release, step.err, events, release)
	}
	return step
}
