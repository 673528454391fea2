package testtarget

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Target is one pretend target. All methods may be called from any goroutine.
type Target struct {
	// ID is its name in the journal, and in a deployment if the caller uses it there.
	ID string

	addr    string
	journal *journal

	mu        sync.Mutex
	version   string
	fence     int64 // the highest seen
	behaviour Behaviour
	script    []Behaviour
	probes    int
	passed    int  // how often it was found healthy on this version
	running   *run // nil while it is down
}

// run is the target between Up and Down.
type run struct {
	server *http.Server
	ctx    context.Context //nolint:containedctx // it is the run's life, not one request's
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// newTarget starts a target on addr, running version; port 0 takes a free one.
func newTarget(id, addr, version string, j *journal) (*Target, error) {
	t := &Target{ID: id, addr: addr, journal: j, version: version}
	return t, t.Up()
}

// Up starts a target that is down, on the address that it had before. It keeps its version and the highest fence.
func (t *Target) Up() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running != nil {
		return nil
	}
	ln, err := net.Listen("tcp", t.addr) //nolint:noctx // it does not wait
	if err != nil {
		return fmt.Errorf("start target %s: %w", t.ID, err)
	}
	t.addr = ln.Addr().String()
	r := &run{}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.server = &http.Server{Handler: t.newHandler(r), ReadHeaderTimeout: 10 * time.Second}
	t.running = r
	r.work.Go(func() { _ = r.server.Serve(ln) }) // it always ends with ErrServerClosed, by Down
	return nil
}

// Down cuts all connections, loses the work that was not done, and has new connections refused, like a machine that
// lost its power. It returns when nothing of it runs any more.
func (t *Target) Down() error {
	t.mu.Lock()
	r := t.running
	t.running = nil
	t.mu.Unlock()
	if r == nil {
		return nil
	}
	r.cancel()
	err := r.server.Close()
	r.work.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("stop target %s: %w", t.ID, err)
	}
	return nil
}

// Close stops the target for good.
func (t *Target) Close() error { return t.Down() }

// URL returns the target's address, "http://127.0.0.1:9101".
func (t *Target) URL() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return "http://" + t.addr
}

// Version returns what the target runs.
func (t *Target) Version() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.version
}

// SetVersion changes what the target runs without a call.
func (t *Target) SetVersion(version string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setRunning(version)
}

// setRunning changes the version that runs; the caller holds the lock.
func (t *Target) setRunning(version string) {
	if t.version != version {
		t.version, t.passed = version, 0
	}
}

// Probes counts the health and version requests answered so far.
func (t *Target) Probes() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.probes
}

// Calls lists the deploy calls that reached the target, in the order in which they were received.
func (t *Target) Calls() []Call { return t.journal.listCalls(t.ID) }

// MaxOpen returns the highest number of deploy calls that were open at this target at the same time. A call stays open
// until it is answered or the target noticed that the caller left.
func (t *Target) MaxOpen() int { return t.journal.maxOpen(t.ID) }

// beginWork counts a piece of work of the run, unless the run is over. Work that entered must leave by work.Done.
func (t *Target) beginWork(r *run) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running != r {
		return false
	}
	r.work.Add(1)
	return true
}
