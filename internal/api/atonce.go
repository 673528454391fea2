package api

import (
	"fmt"
	"sync"
	"time"

	"rollcall/internal/rollout"
)

// mostAtOnce bounds the requests of one principal that are under way at one server. Streams and waits last, so a bound on how
// often somebody asks does not bound how many of them there are.
const mostAtOnce = 1000

// underWay counts the requests that each principal has under way.
type underWay struct {
	most   int
	mu     sync.Mutex
	counts map[string]int
}

// enter counts one more, until leave is called; CodeTooMany when there are too many already. Nobody in particular, who asks
// for what needs no credential, is not counted.
func (u *underWay) enter(name string) (leave func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.counts[name] >= u.most {
		return nil, &rollout.Error{
			Code: rollout.CodeTooMany, RetryAfter: time.Second,
			Message: fmt.Sprintf("%s has %d requests under way at this server, which is the most", name, u.most),
		}
	}
	if u.counts == nil {
		u.counts = map[string]int{}
	}
	u.counts[name]++
	return func() { u.leave(name) }, nil
}

func (u *underWay) leave(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.counts[name]--; u.counts[name] == 0 {
		delete(u.counts, name)
	}
}
