package engine

import (
	"context"
	"sync"
	"time"
)

// lease is the engine's own view of how long it counts as alive. It ends a margin before the database's view of it, by
// the monotonic clock, so that a replica has stopped before another may take over.
type lease struct {
	mu     sync.Mutex
	until  time.Time       // trusted until then; monotonic
	ctx    context.Context //nolint:containedctx // everything that lives by the lease lives by it
	cancel context.CancelFunc
	clock  databaseClock
}

// held reports whether the lease is trusted now.
func (l *lease) held() bool {
	_, ok := l.life()
	return ok
}

// Life is the context of what is done in the replica's name beside its deployments: it ends when the lease cannot be
// trusted any more, and not because the engine stops. False when it is not held now.
func (e *Engine) Life() (context.Context, bool) { return e.lease.life() }

// life is the context that ends with the lease.
func (l *lease) life() (context.Context, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil || !time.Now().Before(l.until) {
		return nil, false
	}
	return l.ctx, true
}

// renew trusts the lease until a time, and learns the database's clock by a reading that was asked for at start.
func (l *lease) renew(until, start, end, database time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
	l.clock.learn(start, end, database)
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancel(context.Background())
	}
}

// end stops everything that lives by the lease.
func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
	l.ctx, l.cancel = nil, nil
}

func (l *lease) remaining() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.until), l.ctx != nil
}

// now is the database's clock, as far as known, in whole microseconds as the database stores them.
func (e *Engine) now() time.Time {
	l := &e.lease
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock.now()
}

// keepLease renews the lease three times within its length, and drops everything when it could not be renewed.
func (e *Engine) keepLease(ctx context.Context) {
	defer e.letLeaseRunOut()
	every := e.Lease / 3
	for ctx.Err() == nil {
		pause := e.withinLease(every)
		if !e.beat(ctx, pause) {
			pause = every / 4
		}
		wait(ctx, e.withinLease(pause))
		if left, live := e.lease.remaining(); live && left <= 0 {
			e.Log.WarnContext(ctx, "the lease could not be renewed; cutting all calls")
			e.lease.end()
			e.dropAll("the lease ran out")
		}
	}
}

// letLeaseRunOut ends the lease when its time is over, for what is still done in the replica's name after the engine.
func (e *Engine) letLeaseRunOut() {
	if left, live := e.lease.remaining(); live {
		time.AfterFunc(max(left, 0), e.lease.end)
	}
}

// withinLease bounds a wait by what is left of the lease: at its end the calls are cut, whatever is being waited for.
func (e *Engine) withinLease(d time.Duration) time.Duration {
	if left, live := e.lease.remaining(); live {
		return min(d, max(left, 0))
	}
	return d
}

// beat sends one heartbeat and reports whether the lease was renewed by it.
func (e *Engine) beat(ctx context.Context, bound time.Duration) bool {
	bounded, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	start := time.Now()
	database, err := e.Registry.Heartbeat(bounded, e.Replica, e.Lease)
	end := time.Now()
	if err != nil {
		if ctx.Err() == nil {
			e.Log.WarnContext(ctx, "the heartbeat failed", "error", err)
		}
		return false
	}
	if left, live := e.lease.remaining(); live && left <= 0 {
		e.lease.end() // too late: others may have taken over meanwhile
		e.dropAll("the lease ran out before it was renewed")
	}
	margin := e.Lease / 6
	e.lease.renew(start.Add(e.Lease-margin), start, end, database)
	e.nudge()
	return true
}
