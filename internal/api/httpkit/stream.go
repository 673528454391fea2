package httpkit

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"rollcall/internal/problem"
)

// EventStream is the media type of server-sent events.
const EventStream = "text/event-stream"

type contextKey int

const (
	keyStream contextKey = iota
	keyBudget
)

// NegotiateStream records in the request's context whether the caller accepts a stream.
func NegotiateStream(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for wanted := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
			if kind, _, err := mime.ParseMediaType(wanted); err == nil && kind == EventStream {
				r = r.WithContext(context.WithValue(r.Context(), keyStream, true))
				break
			}
		}
		next.ServeHTTP(w, r)
	})
}

// WantsStream reports whether the caller requests a stream.
func WantsStream(ctx context.Context) bool {
	wanted, _ := ctx.Value(keyStream).(bool)
	return wanted
}

// StreamLimiter limits the streams and long polls of each principal.
type StreamLimiter struct {
	// Max is the maximum for each principal.
	Max int

	mu     sync.Mutex
	counts map[string]int
}

// Acquire counts one more of a principal until leave is called; CodeRateLimited when it has reached Max.
func (l *StreamLimiter) Acquire(name string) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts[name] >= l.Max {
		return nil, &problem.Error{
			Code: problem.CodeRateLimited, RetryAfter: time.Second,
			Message: fmt.Sprintf("%s has reached the limit of %d streams and long polls on this server", name, l.Max),
		}
	}
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[name]++
	return func() { l.release(name) }, nil
}

func (l *StreamLimiter) release(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts[name]--; l.counts[name] == 0 {
		delete(l.counts, name)
	}
}
