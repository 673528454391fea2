package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"rollcall/internal/problem"
)

// mostLasting bounds the streams and waits that one principal has at one server: a bound on how often somebody asks does not
// bound how many of what lasts there are. Nothing else is bounded by it: whoever has too many dashboards can still abort.
const mostLasting = 1000

// lasts reports whether a request is a stream or a wait.
func lasts(r *http.Request) bool { return wantsStream(r.Context()) || r.URL.Query().Has("wait") }

// fewLasting refuses streams and waits of who has too many, and lets everything else have its patience.
func (s *server) fewLasting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !lasts(r) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyPatience, &patience{})))
			return
		}
		leave, err := s.lasting.enter(caller(r.Context()))
		if err != nil {
			s.fail(w, r, err)
			return
		}
		defer leave()
		next.ServeHTTP(w, r)
	})
}

// lasting counts the streams and waits of each principal.
type lasting struct {
	most   int
	mu     sync.Mutex
	counts map[string]int
}

// enter counts one more, until leave is called; CodeRateLimited when there are too many already.
func (l *lasting) enter(name string) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts[name] >= l.most {
		return nil, &problem.Error{
			Code: problem.CodeRateLimited, RetryAfter: time.Second,
			Message: fmt.Sprintf("%s has %d streams and waits at this server, which is the most", name, l.most),
		}
	}
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[name]++
	return func() { l.leave(name) }, nil
}

func (l *lasting) leave(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts[name]--; l.counts[name] == 0 {
		delete(l.counts, name)
	}
}
