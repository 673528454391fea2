package engine

import (
	"context"
	"sync"
	"time"

	"rollcall/internal/clock"
)

// lease is the engine's own view of its lease. It ends a margin before the lease in the database, by the monotonic clock, so
// that a replica has stopped before another may take over.
type lease struct {
	mu     sync.Mutex
	until  time.Time       // trusted until then; monotonic
	ctx    context.Context //nolint:containedctx // it ends with the lease
	cancel context.CancelFunc
	clock  databaseClock
}

// isHeld reports whether the lease is valid now.
func (l *lease) isHeld() bool {
	_, ok := l.liveContext()
	return ok
}

// LeaseContext returns a context for work in the replica's name besides its deployments: it ends when the lease is no longer
// valid, and not because the engine stops. It reports false if the lease is not held now.
func (e *Engine) LeaseContext() (context.Context, bool) { return e.lease.liveContext() }

// liveContext returns the context that ends with the lease.
func (l *lease) liveContext() (context.Context, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil || !time.Now().Before(l.until) {
		return nil, false
	}
	return l.ctx, true
}

// renew extends the lease until a time, and learns the database's clock from a reading that was requested at start.
func (l *lease) renew(until, start, end, database time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
	l.clock.addReading(start, end, database)
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancel(context.Background())
	}
}

// cancelContext cancels the lease's context.
func (l *lease) cancelContext() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
	l.ctx, l.cancel = nil, nil
}

func (l *lease) timeLeft() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.until), l.ctx != nil
}

// now returns the estimated time of the database's clock, in whole microseconds as the database stores them.
func (e *Engine) now() time.Time {
	l := &e.lease
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock.now()
}

// renewLease renews the lease three times within its length, and drops all sessions if it could not be renewed.
func (e *Engine) renewLease(ctx context.Context) {
	defer e.expireLater()
	every := e.Lease / 3
	for ctx.Err() == nil {
		pause := e.withinLease(every)
		if !e.sendHeartbeat(ctx, pause) {
			pause = every / 4
		}
		clock.Sleep(ctx, e.withinLease(pause))
		if left, live := e.lease.timeLeft(); live && left <= 0 {
			e.Log.WarnContext(ctx, "failed to renew the lease; cancelling all calls")
			e.lease.cancelContext()
			e.dropAll("the lease expired")
		}
	}
}

// expireLater ends the lease at its expiry, for work in the replica's name after the engine has stopped.
func (e *Engine) expireLater() {
	if left, live := e.lease.timeLeft(); live {
		time.AfterFunc(max(left, 0), e.lease.cancelContext)
	}
}

// withinLease limits a wait to the rest of the lease: at its end the calls must be cancelled.
func (e *Engine) withinLease(d time.Duration) time.Duration {
	if left, live := e.lease.timeLeft(); live {
		return min(d, max(left, 0))
	}
	return d
}

// sendHeartbeat sends one heartbeat and reports whether it renewed the lease.
func (e *Engine) sendHeartbeat(ctx context.Context, bound time.Duration) bool {
	bounded, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	start := time.Now()
	database, err := e.Leases.Heartbeat(bounded, e.Replica, e.Lease)
	end := time.Now()
	if err != nil {
		if ctx.Err() == nil {
			e.Log.WarnContext(ctx, "heartbeat failed", "error", err)
		}
		return false
	}
	if left, live := e.lease.timeLeft(); live && left <= 0 {
		e.lease.cancelContext() // too late: others may have taken over meanwhile
		e.dropAll("the lease ran out before it was renewed")
	}
	margin := e.Lease / 6
	e.lease.renew(start.Add(e.Lease-margin), start, end, database)
	e.requestPoll()
	return true
}
