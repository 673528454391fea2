package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/internal/clock"
	"rollcall/internal/storage"
)

// Defaults and bounds of the engine's timing.
const (
	DefaultLease = 6 * time.Second
	DefaultGrace = 1500 * time.Millisecond

	pollEvery      = 500 * time.Millisecond // the guarantees rest on polling, not on notifications
	minPollSpacing = 10 * time.Millisecond  // the least time between two looks at the database
	queryTimeout   = 2 * time.Second
	releaseTimeout = 2 * time.Second
	releaseRetry   = 50 * time.Millisecond
	dropPoll       = 2 * time.Millisecond // between two looks at whether everything has ended

	// An engine that has not polled for so many leases, and at most for so long, is stalled.
	stalledLeases = 10
	stalledAfter  = 60 * time.Second
)

// Config configures an Engine. Every field but Lease, Grace and MaxCalls is required.
type Config struct {
	// Replica names this process among all that share the database. A process may take the name of a predecessor only if
	// that one is certainly dead.
	Replica string
	// Lease is how long the replica is considered alive after each heartbeat; 0 means DefaultLease.
	Lease time.Duration
	// MaxCalls limits the deploy calls in flight; 0 means DefaultMaxCalls. Each deployment may have a few in any case.
	MaxCalls int
	// Grace is how long calls in flight may take when the engine stops; 0 means DefaultGrace.
	Grace time.Duration

	Leases      Leases
	Deployments Deployments
	Changes     Changes
	Targets     TargetClient
	Prober      Prober
	Router      Router
	Recorder    Recorder
	Log         *slog.Logger
}

// Engine works on deployments until its context ends.
type Engine struct {
	Config
	lease lease
	wake  chan struct{}
	batch claimBatch // belongs to the loop that claims

	mu       sync.Mutex
	sessions map[string]*session
	polledAt time.Time // when the database was last looked at with success

	slots    callSlots
	draining atomic.Bool
	inFlight atomic.Int64 // calls, probes and running sessions
}

// New returns an engine; Run starts it.
func New(c Config) *Engine {
	if c.Lease == 0 {
		c.Lease = DefaultLease
	}
	if c.MaxCalls == 0 {
		c.MaxCalls = DefaultMaxCalls
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	now := time.Now()
	return &Engine{
		Config: c, wake: make(chan struct{}, 1), sessions: map[string]*session{}, polledAt: now,
		lease: lease{clock: databaseClock{database: now, at: now}}, batch: newClaimBatch(),
	}
}

// Run works until ctx ends. Then it claims nothing more, waits up to Grace for calls in flight, releases its deployments to
// the other replicas, and returns. It fails only if something could not be released.
func (e *Engine) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { e.renewLease(background) })
	loops.Go(func() { e.pollOnChanges(background) })
	e.claimLoop(ctx)
	err := e.drainSessions()
	stop()
	loops.Wait()
	return err
}

// Healthy returns why the engine makes no progress; nil if it does.
func (e *Engine) Healthy() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if idle := time.Since(e.polledAt); idle > min(stalledLeases*e.Lease, stalledAfter) {
		return fmt.Errorf("the engine has not polled for %s", idle.Round(time.Second))
	}
	return nil
}

func (e *Engine) pollOnChanges(ctx context.Context) {
	err := e.Changes.Listen(ctx, func(string) { e.requestPoll() })
	if err != nil && ctx.Err() == nil {
		e.Log.ErrorContext(ctx, "listening for changes ended; still polling", "error", err)
	}
}

// requestPoll makes the engine poll the database soon.
func (e *Engine) requestPoll() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// claimLoop polls until ctx ends.
func (e *Engine) claimLoop(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		wait := pollEvery
		next, err := e.pollStore(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			if failures++; failures == 1 {
				e.Log.WarnContext(ctx, "failed to poll the database for work; retrying", "error", err)
			}
		case err == nil:
			failures = 0
			if !next.IsZero() {
				wait = min(wait, next.Sub(e.now()))
			}
		}
		e.waitForPoll(ctx, wait)
	}
}

// waitForPoll waits for a requested poll, at most for d, and at least for minPollSpacing.
func (e *Engine) waitForPoll(ctx context.Context, d time.Duration) {
	clock.Sleep(ctx, minPollSpacing)
	timer := time.NewTimer(max(d-minPollSpacing, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-e.wake:
	}
}

// pollStore claims deployments that need work, and passes new operator revisions to the running sessions.
func (e *Engine) pollStore(ctx context.Context) (next time.Time, err error) {
	if !e.lease.isHeld() {
		return time.Time{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err := e.passOnRevisions(ctx); err != nil {
		return time.Time{}, err
	}
	claimed, next, err := e.Deployments.ClaimDeployments(ctx, e.Replica, e.ownedIDs(), e.batch.limit)
	if err != nil {
		e.batch.shrink()
		return time.Time{}, fmt.Errorf("claiming deployments: %w", err)
	}
	for i := range claimed {
		e.startSession(&claimed[i])
	}
	e.mu.Lock()
	e.polledAt = time.Now()
	e.mu.Unlock()
	if len(claimed) < e.batch.limit {
		e.batch = newClaimBatch() // the backlog is worked off
	} else {
		e.batch.grow()
		e.requestPoll()
	}
	return next, nil
}

func (e *Engine) passOnRevisions(ctx context.Context) error {
	if len(e.ownedIDs()) == 0 {
		return nil
	}
	revisions, err := e.Changes.OperatorRevisions(ctx, e.Replica)
	if err != nil {
		return fmt.Errorf("reading operator revisions: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, revision := range revisions {
		if s, ok := e.sessions[id]; ok {
			s.setOperatorRevision(revision)
		}
	}
	return nil
}

func (e *Engine) ownedIDs() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := make([]string, 0, len(e.sessions))
	for id := range e.sessions {
		ids = append(ids, id)
	}
	return ids
}

// startSession starts a session for a claimed deployment.
func (e *Engine) startSession(c *storage.Claimed) {
	d := &c.Snapshot.Deployment
	log := e.Log.With("deployment", d.ID, "service", d.Service, "environment", d.Environment)
	if c.PreviousOwner != "" {
		e.Recorder.TakenOver()
		log.Info("took over a deployment", "previous_replica", c.PreviousOwner, "epoch", d.Epoch)
	}
	e.mu.Lock()
	life, open := e.lease.liveContext()
	if !open || e.draining.Load() {
		e.mu.Unlock()
		return // the next poll, or another replica, claims it again
	}
	s := newSession(life, e, c, log)
	e.sessions[d.ID] = s
	e.mu.Unlock()
	s.schedule()
}

func (e *Engine) removeSession(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sessions[s.id] == s {
		delete(e.sessions, s.id)
	}
	e.requestPoll()
}

func (e *Engine) allSessions() []*session {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]*session, 0, len(e.sessions))
	for _, s := range e.sessions {
		list = append(list, s)
	}
	return list
}

// drainSessions hands over all deployments: sessions start no more calls; calls in flight are cancelled after Grace.
func (e *Engine) drainSessions() error {
	e.draining.Store(true)
	for _, s := range e.allSessions() {
		s.schedule()
	}
	ctx, cancel := context.WithTimeout(context.Background(), e.Grace)
	defer cancel()
	e.waitForSessions(ctx)
	for _, s := range e.allSessions() {
		s.cancelCalls()
	}
	ctx, cancel = context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	e.waitForSessions(ctx)
	e.dropAll("the engine is stopping")
	ctx, cancel = context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	if err := e.releaseAll(ctx); err != nil {
		return fmt.Errorf("handing deployments over: %w", err)
	}
	return nil
}

// releaseAll releases all deployments, and retries until ctx ends: idle connections may have been cut. Releasing twice has
// no further effect.
func (e *Engine) releaseAll(ctx context.Context) error {
	for {
		err := e.Leases.ReleaseDeployments(ctx, e.Replica)
		if err == nil {
			return nil
		}
		if !clock.Sleep(ctx, releaseRetry) {
			return err //nolint:wrapcheck // the caller adds the operation
		}
	}
}

// waitForSessions waits until no session is left, or ctx ends.
func (e *Engine) waitForSessions(ctx context.Context) {
	for len(e.ownedIDs()) > 0 && ctx.Err() == nil {
		clock.Sleep(ctx, dropPoll)
	}
}

// dropAll drops all sessions, cancels their calls, and waits until none is in flight.
func (e *Engine) dropAll(reason string) {
	for _, s := range e.allSessions() {
		s.drop(errors.New(reason))
	}
	for e.inFlight.Load() > 0 {
		clock.Sleep(context.Background(), dropPoll)
	}
}
