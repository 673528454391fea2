package auth

import (
	"sync"
	"time"

	"rollcall/internal/problem"
)

// maxRemembered limits the principals that a limiter keeps in memory.
const maxRemembered = 10_000

// limiter limits the requests of each principal to this replica. It keeps one time for each: until when its requests keep
// the server busy at the agreed rate (the generic cell rate algorithm).
type limiter struct {
	every time.Duration // what one request costs; 0 for no limit
	burst time.Duration // how far ahead a principal may be
	mu    sync.Mutex
	until map[string]time.Time
}

func newLimiter(rate int) *limiter {
	if rate <= 0 {
		return &limiter{}
	}
	return &limiter{every: time.Second / time.Duration(rate), burst: 2 * time.Second, until: map[string]time.Time{}}
}

// countRequest counts one request of a principal; CodeRateLimited with the time after which there is room for one again.
func (l *limiter) countRequest(name string, now time.Time) error {
	if l.every == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	until, wait := busyUntil(l.until[name], now, l.every, l.burst)
	if wait > 0 {
		return &problem.Error{Code: problem.CodeRateLimited, Message: name + " exceeds the rate limit", RetryAfter: wait}
	}
	if _, known := l.until[name]; !known && len(l.until) >= maxRemembered {
		l.dropIdle(now)
	}
	l.until[name] = until
	return nil
}

// busyUntil returns until when a principal keeps the server busy after one more request, or how long it must wait.
func busyUntil(until, now time.Time, every, burst time.Duration) (next time.Time, wait time.Duration) {
	if until.Before(now) {
		until = now
	}
	next = until.Add(every)
	return next, max(0, next.Sub(now.Add(burst)))
}

// dropIdle drops idle principals; if there are none, it drops all.
func (l *limiter) dropIdle(now time.Time) {
	for name, until := range l.until {
		if until.Before(now) {
			delete(l.until, name)
		}
	}
	if len(l.until) >= maxRemembered {
		clear(l.until)
	}
}
