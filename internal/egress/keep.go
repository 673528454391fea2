package egress

import (
	"cmp"
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"rollcall/internal/rollout"
)

const (
	// keepIdle is how long a connection is kept without use, and keepAge how old it gets: a check must soon see whether the
	// target still takes new ones.
	keepIdle = 5 * time.Second
	keepAge  = 15 * time.Second
	// maxKept limits the connections kept without use; the one unused for longest makes room.
	maxKept = 1000
)

// Reuse says which kept connections a request may be sent on, and for how long its own may be kept.
type Reuse struct {
	// During is shared by the requests that may use each other's connections, which are closed when it ends. Nil: each request
	// has a connection of its own.
	During context.Context //nolint:containedctx // it bounds the connections, not the request
	// Since excludes connections that were opened before.
	Since time.Time
}

// keptKey is all that two requests must have in common to use one connection.
type keptKey struct {
	during             context.Context //nolint:containedctx // compared, not used
	scheme, host, path string
	trust              rollout.TLS
}

func newKeptKey(during context.Context, req *http.Request, trust *rollout.TLS) keptKey {
	key := keptKey{during: during, scheme: req.URL.Scheme, host: req.URL.Host, path: req.URL.Path}
	if trust != nil {
		key.trust = *trust
	}
	return key
}

// keptConn is a connection between two requests.
type keptConn struct {
	net.Conn
	key    keptKey
	opened time.Time
	timer  *time.Timer
	unbind func() bool
}

// keeper keeps connections that are not in use: one for each key.
type keeper struct {
	mu    sync.Mutex
	byKey map[keptKey]*list.Element
	order list.List     // of *keptConn, the one unused for longest first
	idle  time.Duration // 0 means keepIdle
}

// take returns the kept connection of key, if there is one that was opened since and is still open.
func (k *keeper) take(ctx context.Context, key keptKey, since time.Time) *keptConn {
	k.mu.Lock()
	c := k.remove(k.byKey[key])
	k.mu.Unlock()
	if c == nil {
		return nil
	}
	if c.opened.Before(since) || !prepareReuse(ctx, c.Conn) {
		_ = c.Close()
		return nil
	}
	return c
}

// keep keeps c for the next request with its key.
func (k *keeper) keep(c *keptConn) {
	left := min(cmp.Or(k.idle, keepIdle), time.Until(c.opened.Add(keepAge)))
	if left <= 0 {
		_ = c.Close()
		return
	}
	k.mu.Lock()
	if k.byKey == nil {
		k.byKey = map[keptKey]*list.Element{}
	}
	replaced, oldest := k.remove(k.byKey[c.key]), (*keptConn)(nil)
	if k.order.Len() >= maxKept {
		oldest = k.remove(k.order.Front())
	}
	element := k.order.PushBack(c)
	k.byKey[c.key] = element
	expire := func() { k.expire(element) }
	c.timer = time.AfterFunc(left, expire)
	c.unbind = context.AfterFunc(c.key.during, expire)
	k.mu.Unlock()
	closeAll(replaced, oldest)
}

// expire closes the connection of an element that has not been taken.
func (k *keeper) expire(element *list.Element) {
	k.mu.Lock()
	c, _ := element.Value.(*keptConn)
	if k.byKey[c.key] == element {
		c = k.remove(element)
	} else {
		c = nil
	}
	k.mu.Unlock()
	closeAll(c)
}

// closeAll closes the connections that are not nil. It may wait for the other side, and so is called without the lock.
func closeAll(conns ...*keptConn) {
	for _, c := range conns {
		if c != nil {
			_ = c.Close()
		}
	}
}

// remove takes an element out; the caller holds the lock.
func (k *keeper) remove(element *list.Element) *keptConn {
	if element == nil {
		return nil
	}
	c, _ := k.order.Remove(element).(*keptConn)
	delete(k.byKey, c.key)
	c.timer.Stop()
	c.unbind()
	return c
}
