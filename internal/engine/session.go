package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

const (
	// holdFor is how soon a session must be needed again to be kept; else the deployment is released until then.
	holdFor = 5 * time.Second
	// deferFor is how long results may wait to be saved together with what follows from them.
	deferFor = 100 * time.Millisecond
	// lingerPerTarget is how long outcomes wait for each other: planning a large deployment costs more.
	lingerPerTarget = 200 * time.Nanosecond
	// lateAfter is how much later than it was due a deployment is claimed when no replica was there to do so.
	lateAfter   = 2 * pollEvery
	saveTimeout = 5 * time.Second
	saveRetry   = 200 * time.Millisecond
)

// session works on one owned deployment. It is a state and a timer: a goroutine runs only while there is something to
// do, and that goroutine alone touches the snapshot.
type session struct {
	engine *Engine
	id     string
	log    *slog.Logger
	ctx    context.Context //nolint:containedctx // a session is a lifetime: this ends with the ownership
	cancel context.CancelCauseFunc

	room atomic.Int64 // deploy calls that it has room for: in flight, or written down to be

	mu      sync.Mutex
	running bool
	over    bool
	inbox   []rollout.Outcome
	asked   int64 // the newest operator revision heard of
	timer   *time.Timer
	callCtx context.Context //nolint:containedctx // ends when the calls in flight are cut
	cutAll  context.CancelFunc

	// What follows belongs to the running goroutine.
	snap     *rollout.Snapshot
	orphaned bool // nobody looked after it for a while, and nothing was saved since
	stopping bool // it has seen that the engine stops
	adopted  bool
	calls    int              // deploy calls in flight
	dirty    map[int]struct{} // targets that differ from what is stored in what people see
	touched  map[int]struct{} // targets that differ at all
	events   []rollout.Event  // not yet stored
	unlogged []rollout.Event  // stored, and not yet in the log, for which no call waits
	stored   rollout.Status   // the status as it is stored
	oldest   time.Time        // since when results wait to be saved; zero when none do
}

func newSession(life context.Context, e *Engine, c *rollout.Claimed, log *slog.Logger) *session {
	snap := &c.Snapshot
	s := &session{engine: e, id: snap.Deployment.ID, log: log, snap: snap}
	s.orphaned = c.PreviousOwner != "" || c.OverdueBy > lateAfter
	s.ctx, s.cancel = context.WithCancelCause(life)
	s.callCtx, s.cutAll = context.WithCancel(s.ctx)
	s.dirty, s.touched = map[int]struct{}{}, map[int]struct{}{}
	s.stored = snap.Deployment.Status
	s.asked = snap.Deployment.OperatorRevision
	return s
}

// poke makes the session look at what there is to do. It may be called from anywhere, at any time.
func (s *session) poke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running || s.over {
		return
	}
	s.running = true
	s.stopTimer()
	s.engine.inFlight.Add(1)
	go s.run()
}

func (s *session) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// deliver hands in what came of an action.
func (s *session) deliver(o rollout.Outcome) {
	s.mu.Lock()
	s.inbox = append(s.inbox, o)
	s.mu.Unlock()
	s.poke()
}

// operatorAsked tells the session which revision the operator's wishes have. One that goes back is news, too: a database that
// has failed over may have lost the ones in between.
func (s *session) operatorAsked(revision int64) {
	s.mu.Lock()
	known := revision == s.asked
	s.asked = revision
	s.mu.Unlock()
	if !known {
		s.poke()
	}
}

// hasRead forgets a revision that was heard of and, by what was read since, is not there: the database may have lost it.
func (s *session) hasRead(asked int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == asked {
		s.asked = s.snap.Deployment.OperatorRevision
	}
}

// cut ends all calls in flight; each comes back as lost.
func (s *session) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutAll()
	s.callCtx, s.cutAll = context.WithCancel(s.ctx)
}

// drop gives the session up without a word to the database.
func (s *session) drop(why error) {
	s.mu.Lock()
	s.over = true
	s.stopTimer()
	s.mu.Unlock()
	s.cancel(why)
	s.engine.forget(s)
}

// run steps until there is nothing to do now.
func (s *session) run() {
	defer s.engine.inFlight.Add(-1)
	for {
		s.linger()
		outcomes, asked := s.take()
		wake, err := s.step(outcomes, asked)
		s.logStored()
		if err != nil {
			s.leave(err)
			return
		}
		if s.rest(wake) {
			return
		}
	}
}

// linger lets the outcomes of a large deployment gather.
func (s *session) linger() {
	const worthIt = 500 * time.Microsecond
	if d := time.Duration(len(s.snap.Targets)) * lingerPerTarget; d >= worthIt && s.adopted {
		wait(s.ctx, d)
	}
}

func (s *session) take() ([]rollout.Outcome, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	outcomes := s.inbox
	s.inbox = nil
	return outcomes, s.asked
}

// rest arms the timer and ends the run, unless something has come in meanwhile.
func (s *session) rest(wake time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return true
	}
	draining := s.engine.draining.Load()
	if draining && !s.stopping {
		return false // it was told while this step was under way
	}
	if len(s.inbox) > 0 || s.asked != s.snap.Deployment.OperatorRevision && !draining {
		return false
	}
	if !s.oldest.IsZero() && !draining {
		wake = earliest(wake, s.oldest.Add(deferFor))
	}
	d := wake.Sub(s.engine.now())
	if d <= 0 {
		return false
	}
	s.running = false
	s.timer = time.AfterFunc(d, s.poke)
	return true
}

// leave ends the session: it was released, it ended, or someone else has it.
func (s *session) leave(why error) {
	if code := problem.CodeOf(why); code == problem.CodeOwnershipLost {
		s.engine.Recorder.Fenced()
		s.log.InfoContext(s.ctx, "another replica has the deployment now", "epoch", s.snap.Deployment.Epoch)
	}
	s.drop(why)
}

// apply records an outcome in memory.
func (s *session) apply(o rollout.Outcome, now time.Time) {
	i := o.Action.Target
	if o.Action.Kind == rollout.ActionCall || o.Action.Kind == rollout.ActionSetWeights {
		s.calls--
	}
	if i < 0 {
		s.note(lifecycle.ApplyResult(s.snap, o, now))
		return
	}
	t := &s.snap.Targets[i]
	before := *t
	s.note(lifecycle.ApplyResult(s.snap, o, now))
	s.mark(i, before.Phase != t.Phase || before.Health != t.Health || before.State != t.State || before.Version != t.Version)
}

func (s *session) note(events []rollout.Event) {
	d := &s.snap.Deployment
	for _, e := range events {
		e.DeploymentID, e.Replica, e.Epoch = d.ID, d.Owner, d.Epoch
		s.events = append(s.events, e)
	}
}

// mark remembers that a target has changed, and whether people would see it.
func (s *session) mark(i int, visible bool) {
	s.touched[i] = struct{}{}
	if visible {
		s.dirty[i] = struct{}{}
	}
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
