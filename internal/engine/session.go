package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/internal/clock"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy/lifecycle"
)

const (
	// keepThreshold is how soon a session must have work again to be kept; otherwise the deployment is released until then.
	keepThreshold = 5 * time.Second
	// coalesceWindow is how long results may wait to be saved together with later ones.
	coalesceWindow = 100 * time.Millisecond
	// gatherPerOutcome and gatherPerTarget are how long outcomes wait for further ones: the more are in flight, and the larger
	// the deployment that is planned for each. A wait below minGather is not worth its timer.
	gatherPerOutcome = 10 * time.Microsecond
	gatherPerTarget  = 200 * time.Nanosecond
	minGather        = 100 * time.Microsecond
	maxGather        = 2 * time.Millisecond
	// lateAfter is how overdue a claim is if no replica was alive.
	lateAfter = 2 * pollEvery
	// maxInFlight is how many targets a save may store as in flight: they are one value in the database.
	maxInFlight = 1024
	// maxUnchanged is how often it may store one so that has not changed: then its row is cheaper.
	maxUnchanged = 4
	saveTimeout  = 5 * time.Second
	saveRetry    = 200 * time.Millisecond
)

// session works on one owned deployment. It is a state and a timer: a goroutine runs only while there is work, and only that
// goroutine accesses the snapshot.
type session struct {
	engine *Engine
	id     string
	log    *slog.Logger
	ctx    context.Context //nolint:containedctx // it ends with the ownership
	cancel context.CancelCauseFunc

	reserved atomic.Int64 // reserved call slots: in flight, or about to be

	mu               sync.Mutex
	running          bool
	over             bool
	inbox            []rollout.Outcome
	operatorRevision int64 // the newest operator revision
	timer            *time.Timer
	callCtx          context.Context //nolint:containedctx // it ends when the calls in flight are cancelled
	cancelAll        context.CancelFunc

	// The fields below belong to the running goroutine.
	snap          *rollout.Snapshot
	ownerless     bool // it had no owner for a while, and nothing was saved since
	stopping      bool // it has noticed that the engine is stopping
	recovered     bool
	calls         int               // deploy calls in flight
	calledAt      map[int]time.Time // when the last call of a target ended, by this machine's clock
	dirty         map[int]struct{}  // targets with unsaved visible changes
	touched       map[int]struct{}  // targets with any unsaved change
	savedInFlight map[int]int       // targets that the last save stored as in flight, and how many saves ago they changed
	events        []rollout.Event   // not yet stored
	unlogged      []rollout.Event   // stored, and not yet logged: calls do not wait for the log
	stored        rollout.Status    // the status as it is stored
	oldest        time.Time         // since when results have been waiting to be saved; zero if none
}

func newSession(life context.Context, e *Engine, c *storage.Claimed, log *slog.Logger) *session {
	snap := &c.Snapshot
	s := &session{engine: e, id: snap.Deployment.ID, log: log, snap: snap}
	s.ownerless = c.PreviousOwner != "" || c.OverdueBy > lateAfter
	s.ctx, s.cancel = context.WithCancelCause(life)
	s.callCtx, s.cancelAll = context.WithCancel(s.ctx)
	s.dirty, s.touched, s.calledAt = map[int]struct{}{}, map[int]struct{}{}, map[int]time.Time{}
	s.stored = snap.Deployment.Status
	s.operatorRevision = snap.Deployment.OperatorRevision
	return s
}

// schedule runs the session if it is not running. It is safe for concurrent use.
func (s *session) schedule() {
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

// deliverOutcome passes the outcome of an action to the session.
func (s *session) deliverOutcome(o rollout.Outcome) {
	s.mu.Lock()
	s.inbox = append(s.inbox, o)
	s.mu.Unlock()
	s.schedule()
}

// setOperatorRevision passes the operator's revision to the session. A lower revision is a change, too: after a failover the
// database may have lost newer ones.
func (s *session) setOperatorRevision(revision int64) {
	s.mu.Lock()
	known := revision == s.operatorRevision
	s.operatorRevision = revision
	s.mu.Unlock()
	if !known {
		s.schedule()
	}
}

// ackRevision resets a revision that a later read did not find: the database may have lost it.
func (s *session) ackRevision(asked int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.operatorRevision == asked {
		s.operatorRevision = s.snap.Deployment.OperatorRevision
	}
}

// cancelCalls cancels all calls in flight; each comes back with an unknown result.
func (s *session) cancelCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancelAll()
	s.callCtx, s.cancelAll = context.WithCancel(s.ctx)
}

// drop ends the session without saving.
func (s *session) drop(cause error) {
	s.mu.Lock()
	s.over = true
	s.stopTimer()
	s.mu.Unlock()
	s.cancel(cause)
	s.engine.removeSession(s)
}

// run steps until there is nothing to do.
func (s *session) run() {
	defer s.engine.inFlight.Add(-1)
	for {
		s.awaitOutcomes()
		outcomes, asked := s.takeInbox()
		wake, err := s.step(outcomes, asked)
		s.logStored()
		if err != nil {
			s.finish(err)
			return
		}
		if s.armTimer(wake) {
			return
		}
	}
}

// awaitOutcomes waits for further outcomes, if many are to come: planning and saving once for all of them costs less.
func (s *session) awaitOutcomes() {
	s.mu.Lock()
	arrived := len(s.inbox)
	s.mu.Unlock()
	if d := gatherTime(len(s.snap.Targets), s.countInFlight(), arrived); d > 0 && s.recovered {
		clock.Sleep(s.ctx, d)
	}
}

// gatherTime returns how long outcomes that have arrived wait for the others in flight.
func gatherTime(targets, inFlight, arrived int) time.Duration {
	d := max(time.Duration(inFlight)*gatherPerOutcome, time.Duration(targets)*gatherPerTarget)
	if arrived == 0 || arrived >= inFlight || d < minGather {
		return 0
	}
	return min(d, maxGather)
}

func (s *session) takeInbox() ([]rollout.Outcome, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	outcomes := s.inbox
	s.inbox = nil
	return outcomes, s.operatorRevision
}

// armTimer arms the timer and ends the run, unless new work has arrived.
func (s *session) armTimer(wake time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return true
	}
	draining := s.engine.draining.Load()
	if draining && !s.stopping {
		return false // draining began during this step
	}
	if len(s.inbox) > 0 || s.operatorRevision != s.snap.Deployment.OperatorRevision && !draining {
		return false
	}
	if !s.oldest.IsZero() && !draining {
		wake = earlierTime(wake, s.oldest.Add(coalesceWindow))
	}
	d := wake.Sub(s.engine.now())
	if d <= 0 {
		return false
	}
	s.running = false
	s.timer = time.AfterFunc(d, s.schedule)
	return true
}

// finish ends the session: the deployment was released, has ended, or has another owner.
func (s *session) finish(cause error) {
	if code := problem.CodeOf(cause); code == problem.CodeOwnershipLost {
		s.engine.Recorder.SaveFenced()
		s.log.InfoContext(s.ctx, "another replica owns the deployment now", "epoch", s.snap.Deployment.Epoch)
	}
	s.drop(cause)
}

// applyOutcome applies an outcome to the snapshot.
func (s *session) applyOutcome(o rollout.Outcome, now time.Time) {
	i := o.Action.Target
	if o.Action.Kind == rollout.ActionCall || o.Action.Kind == rollout.ActionSetWeights {
		s.calls--
	}
	if i < 0 {
		s.recordEvents(lifecycle.ApplyResult(s.snap, o, now))
		return
	}
	if o.Action.Kind == rollout.ActionCall {
		s.calledAt[i] = time.Now()
	}
	t := &s.snap.Targets[i]
	before := *t
	s.recordEvents(lifecycle.ApplyResult(s.snap, o, now))
	s.markDirty(i, before.Phase != t.Phase || before.Health != t.Health || before.State != t.State || before.Version != t.Version)
}

func (s *session) recordEvents(events []rollout.Event) {
	d := &s.snap.Deployment
	for _, e := range events {
		e.DeploymentID, e.Replica, e.Epoch = d.ID, d.Owner, d.Epoch
		s.events = append(s.events, e)
	}
}

// markDirty records that a target has changed, and whether the change is visible.
func (s *session) markDirty(i int, visible bool) {
	s.touched[i] = struct{}{}
	if visible {
		s.dirty[i] = struct{}{}
	}
}

func earlierTime(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
