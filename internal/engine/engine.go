package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/internal/rollout"
)

// Defaults and bounds of the engine's timing.
const (
	DefaultLease = 6 * time.Second
	DefaultGrace = 1500 * time.Millisecond

	pollEvery    = 500 * time.Millisecond // promises are built on this, not on notifications
	wakeSpacing  = 10 * time.Millisecond  // the least time between two looks at the database
	queryTimeout = 2 * time.Second
	leaveTimeout = 2 * time.Second
	leaveAgain   = 50 * time.Millisecond
	claimLimit   = 10                   // of the largest deployments, so many can be loaded within queryTimeout
	dropStep     = 2 * time.Millisecond // between two looks at whether everything has ended

	// An engine that has not looked for work for so many leases, and at most for so long, stands still.
	stalledLeases = 10
	stalledAfter  = 60 * time.Second
)

// Config is what an engine needs. Every field but Lease, Grace and MaxCalls is required.
type Config struct {
	// Replica names this process among all that share the database. A process may take the name of one before it only
	// when that one is certainly dead.
	Replica string
	// Lease is how long the replica counts as alive after each heartbeat; 0 means DefaultLease.
	Lease time.Duration
	// MaxCalls bounds the deploy calls that are in flight at once; 0 means DefaultMaxCalls. A deployment may have a few
	// whatever the others have.
	MaxCalls int
	// Grace is how long calls in flight may take to end when the engine stops; 0 means DefaultGrace.
	Grace time.Duration

	Registry    Registry
	Deployments Deployments
	Signals     Signals
	Caller      Caller
	Prober      Prober
	Mover       Mover
	Recorder    Recorder
	Log         *slog.Logger
}

// Engine works on deployments until its context ends.
type Engine struct {
	Config
	lease lease
	wake  chan struct{}
	limit int // how many deployments to claim at once; belongs to the loop that claims

	mu       sync.Mutex
	sessions map[string]*session
	looked   time.Time // when the database was last looked at with success

	room     room
	draining atomic.Bool
	inFlight atomic.Int64 // calls, probes and running sessions
}

// New makes an engine; Run starts it.
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
		Config: c, wake: make(chan struct{}, 1), sessions: map[string]*session{}, looked: now,
		lease: lease{clock: databaseClock{database: now, at: now}}, limit: claimLimit,
	}
}

// Run works until ctx ends. Then it claims nothing more, lets calls in flight end for Grace, gives its deployments to
// the other replicas, and returns. The error is nil unless something could not be handed over.
func (e *Engine) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { e.keepLease(background) })
	loops.Go(func() { e.listen(background) })
	e.claimUntil(ctx)
	err := e.drain()
	stop()
	loops.Wait()
	return err
}

// Healthy reports why the engine makes no progress, or nil.
func (e *Engine) Healthy() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if idle := time.Since(e.looked); idle > min(stalledLeases*e.Lease, stalledAfter) {
		return fmt.Errorf("the engine has not looked for work for %s", idle.Round(time.Second))
	}
	return nil
}

func (e *Engine) listen(ctx context.Context) {
	err := e.Signals.Listen(ctx, func(string) { e.nudge() })
	if err != nil && ctx.Err() == nil {
		e.Log.ErrorContext(ctx, "listening for changes ended; polling goes on", "error", err)
	}
}

// nudge makes the engine look at the database soon.
func (e *Engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// claimUntil looks for work at every poll and every nudge, until ctx ends.
func (e *Engine) claimUntil(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		wait := pollEvery
		next, err := e.look(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			if failures++; failures == 1 {
				e.Log.WarnContext(ctx, "the database cannot be asked for work; trying again", "error", err)
			}
		case err == nil:
			failures = 0
			if !next.IsZero() {
				wait = min(wait, next.Sub(e.now()))
			}
		}
		e.pause(ctx, wait)
	}
}

// pause waits for a nudge, at most for d, and at least for wakeSpacing.
func (e *Engine) pause(ctx context.Context, d time.Duration) {
	wait(ctx, wakeSpacing)
	timer := time.NewTimer(max(d-wakeSpacing, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-e.wake:
	}
}

// look claims what needs attention, and passes on what operators have asked of what is owned already.
func (e *Engine) look(ctx context.Context) (next time.Time, err error) {
	if !e.lease.held() {
		return time.Time{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err := e.passOnSignals(ctx); err != nil {
		return time.Time{}, err
	}
	claimed, next, err := e.Deployments.Claim(ctx, e.Replica, e.owned(), e.limit)
	if err != nil {
		e.limit = max(e.limit/2, 1) // it may have been too much for the time
		return time.Time{}, fmt.Errorf("claiming deployments: %w", err)
	}
	for i := range claimed {
		e.adopt(&claimed[i])
	}
	e.mu.Lock()
	e.looked = time.Now()
	e.mu.Unlock()
	if len(claimed) < e.limit {
		e.limit = claimLimit // the backlog is worked off
	} else {
		e.nudge()
	}
	return next, nil
}

func (e *Engine) passOnSignals(ctx context.Context) error {
	if len(e.owned()) == 0 {
		return nil
	}
	revisions, err := e.Signals.OperatorRevisions(ctx, e.Replica)
	if err != nil {
		return fmt.Errorf("reading what operators asked for: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, revision := range revisions {
		if s, ok := e.sessions[id]; ok {
			s.operatorAsked(revision)
		}
	}
	return nil
}

func (e *Engine) owned() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := make([]string, 0, len(e.sessions))
	for id := range e.sessions {
		ids = append(ids, id)
	}
	return ids
}

// adopt begins to work on a deployment that was just claimed.
func (e *Engine) adopt(c *rollout.Claimed) {
	d := &c.Snapshot.Deployment
	log := e.Log.With("deployment", d.ID, "service", d.Service, "environment", d.Environment)
	if c.PreviousOwner != "" {
		e.Recorder.TakenOver()
		log.Info("took a deployment over", "from", c.PreviousOwner, "epoch", d.Epoch)
	}
	e.mu.Lock()
	life, open := e.lease.life()
	if !open || e.draining.Load() {
		e.mu.Unlock()
		return // the next look, or another replica, finds it again
	}
	s := newSession(life, e, c, log)
	e.sessions[d.ID] = s
	e.mu.Unlock()
	s.poke()
}

func (e *Engine) forget(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sessions[s.id] == s {
		delete(e.sessions, s.id)
	}
	e.nudge()
}

func (e *Engine) all() []*session {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]*session, 0, len(e.sessions))
	for _, s := range e.sessions {
		list = append(list, s)
	}
	return list
}

// drain hands everything over: sessions stop starting calls, calls in flight may end for Grace and are then cut.
func (e *Engine) drain() error {
	e.draining.Store(true)
	for _, s := range e.all() {
		s.poke()
	}
	ctx, cancel := context.WithTimeout(context.Background(), e.Grace)
	defer cancel()
	e.awaitSessions(ctx)
	for _, s := range e.all() {
		s.cut()
	}
	ctx, cancel = context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	e.awaitSessions(ctx)
	e.dropAll("the engine stops")
	ctx, cancel = context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if err := e.leave(ctx); err != nil {
		return fmt.Errorf("handing deployments over: %w", err)
	}
	return nil
}

// leave asks until it is answered, or ctx ends: the connections at hand may have been cut while nobody used them. Leaving
// twice is leaving once.
func (e *Engine) leave(ctx context.Context) error {
	for {
		err := e.Registry.Leave(ctx, e.Replica)
		if err == nil {
			return nil
		}
		if wait(ctx, leaveAgain); ctx.Err() != nil {
			return err //nolint:wrapcheck // the caller says what was tried
		}
	}
}

// awaitSessions returns when no session is left, or when ctx ends.
func (e *Engine) awaitSessions(ctx context.Context) {
	for len(e.owned()) > 0 && ctx.Err() == nil {
		wait(ctx, dropStep)
	}
}

// dropAll forgets all sessions at once, cuts their calls, and returns when none is in flight any more.
func (e *Engine) dropAll(why string) {
	for _, s := range e.all() {
		s.drop(errors.New(why))
	}
	for e.inFlight.Load() > 0 {
		wait(context.Background(), dropStep)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
