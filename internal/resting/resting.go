// Package resting keeps routers as the last deployment of their service and environment has left them, while no deployment
// works on them: a reload or a restart makes a router forget what was set at runtime.
//
// Each router is claimed by one replica, read, and given up. What is to be written, and whether, is decided by
// internal/strategy. A write is written down first, in a transaction in which no deployment of the service and environment
// may be unfinished, and no deployment begins while it can still arrive. What a dead replica has written down without a
// result is settled by the reading of the next.
package resting

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
	"rollcall/internal/strategy/lifecycle"
)

const (
	// maxAtOnce bounds how many routers a replica works on.
	maxAtOnce = 64
	// The time between two looks for routers that are due is a part of the interval, within bounds.
	pollPart         = 5
	minPoll, maxPoll = 200 * time.Millisecond, 5 * time.Second
	// maxRead bounds a reading, whatever the deployment's own timeout is.
	maxRead = 5 * time.Second
	// maxSkips bounds by how much a router that cannot be read is read more rarely.
	maxSkips = 2
	// saveTime bounds each use of the database.
	saveTime = 5 * time.Second
	// writeGrace is what a write may take longer than its timeout, until it is certain that it has ended.
	writeGrace = time.Second
	// grace is how long work may take when the server stops.
	grace = 2 * time.Second
)

// Store keeps what is known of routers.
type Store interface {
	ClaimRouters(ctx context.Context, replica string, mine []string, limit int) ([]storage.ClaimedRouter, error)
	// SaveRouter refuses with CodeConflict a write beside a deployment, and with CodeOwnershipLost what another replica has.
	SaveRouter(ctx context.Context, c *storage.ClaimedRouter, step storage.SavedRouter) error
}

// Router moves traffic. It never retries.
type Router interface {
	SetWeights(ctx context.Context, d *rollout.Deployment, targets []rollout.Target, call routing.Call) rollout.CallResult
	Read(ctx context.Context, d *rollout.Deployment, targets []rollout.Target) (routing.Reading, error)
}

// Lease is the replica's right to act.
type Lease interface {
	// LeaseContext ends when the replica may no longer act; false when it may not now.
	LeaseContext() (context.Context, bool)
}

// Recorder counts writes.
type Recorder interface {
	RouteDone(router string, kind rollout.ResultKind, d time.Duration)
}

// Config is what a Loop is made of; everything is required.
type Config struct {
	Replica string
	// Every is how often each router is read; 0 switches the loop off.
	Every    time.Duration
	Store    Store
	Router   Router
	Lease    Lease
	Recorder Recorder
	Log      *slog.Logger
}

// Loop reads routers, beside other replicas that do the same.
type Loop struct {
	Config
	work sync.WaitGroup
	mu   sync.Mutex
	// mine are the routers that are being worked on, as service/environment.
	mine map[string]bool
}

// New prepares a loop.
func New(c Config) *Loop { return &Loop{Config: c, mine: map[string]bool{}} }

// Run works until ctx ends, then lets work end that is under way.
func (l *Loop) Run(ctx context.Context) {
	if l.Every == 0 {
		return
	}
	calls, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	context.AfterFunc(ctx, func() { time.AfterFunc(grace, cut) })
	ticker := time.NewTicker(min(max(l.Every/pollPart, minPoll), maxPoll))
	defer ticker.Stop()
	for ctx.Err() == nil {
		l.claimDue(ctx, calls)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	l.work.Wait()
}

// claimDue takes what is due, as far as there is room, and looks at it.
func (l *Loop) claimDue(ctx, calls context.Context) {
	life, held := l.Lease.LeaseContext() // before it is asked: what the answer says holds no longer than that
	mine := l.claimedKeys()
	if !held || len(mine) >= maxAtOnce {
		return
	}
	bound, cancel := context.WithTimeout(ctx, saveTime)
	defer cancel()
	asked := time.Now()
	claimed, err := l.Store.ClaimRouters(bound, l.Replica, mine, maxAtOnce-len(mine))
	if err != nil {
		if ctx.Err() == nil {
			l.Log.WarnContext(ctx, "routers at rest could not be claimed", "error", err)
		}
		return
	}
	for i := range claimed {
		w := &watch{loop: l, router: &claimed[i], now: func() time.Time { return claimed[i].Now.Add(time.Since(asked)) }}
		l.addClaimed(w.router)
		l.work.Go(func() {
			defer l.removeClaimed(w.router)
			alive, stop := context.WithCancel(calls)
			defer stop()
			defer context.AfterFunc(life, stop)()
			w.checkRouter(alive)
		})
	}
}

func routerKey(c *storage.ClaimedRouter) string { return c.Service + "/" + c.Environment }

func (l *Loop) claimedKeys() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]string, 0, len(l.mine))
	for name := range l.mine {
		list = append(list, name)
	}
	return list
}

func (l *Loop) addClaimed(c *storage.ClaimedRouter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mine[routerKey(c)] = true
}

func (l *Loop) removeClaimed(c *storage.ClaimedRouter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mine, routerKey(c))
}

// watch is one look at one router.
type watch struct {
	loop   *Loop
	router *storage.ClaimedRouter
	now    func() time.Time
}

// checkRouter reads the router, and writes to it where strategy says so.
func (w *watch) checkRouter(ctx context.Context) {
	snapshot := &w.router.Snapshot
	reading, err := w.readRouter(ctx, w.router.Resting)
	if ctx.Err() != nil {
		return // a reading that was cut says nothing about its router
	}
	if err != nil {
		resting := lifecycle.RestingUnreadable(snapshot, w.router.Resting, err.Error())
		w.saveStep(ctx, storage.SavedRouter{Resting: resting, Release: true, RecheckIn: w.loop.Every << min(resting.Failures, maxSkips)})
		return
	}
	look := lifecycle.PlanResting(snapshot, w.router.Resting, &reading, w.now())
	if look.Write == nil {
		w.saveStep(ctx, storage.SavedRouter{Resting: look.Resting, Events: look.Events, Release: true, RecheckIn: w.loop.Every})
		return
	}
	timeout := look.Write.Route.Deadline.Sub(w.now())
	if !w.saveStep(ctx, storage.SavedRouter{Resting: look.Resting, Events: look.Events, WriteFor: timeout + writeGrace}) {
		return
	}
	outcome := w.writeRouter(ctx, &look)
	resting, events := lifecycle.ApplyRestingResult(snapshot, look.Resting, outcome, w.now())
	w.saveStep(ctx, storage.SavedRouter{Resting: resting, Events: events, Release: true, RecheckIn: w.loop.Every})
}

// withRouterState returns the one that has left the router, with what is known of the router now.
func (w *watch) withRouterState(resting *storage.RestingRouter) *rollout.Deployment {
	d := w.router.Snapshot.Deployment
	if resting != nil {
		d.Progress.Router = &resting.Router
	}
	return &d
}

func (w *watch) readRouter(ctx context.Context, resting *storage.RestingRouter) (routing.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, maxRead)
	defer cancel()
	return w.loop.Router.Read(ctx, w.withRouterState(resting), w.router.Snapshot.Targets) //nolint:wrapcheck // it is shown as it is
}

// writeRouter makes the write of a look, and reads back what came of it.
func (w *watch) writeRouter(ctx context.Context, look *lifecycle.RestingDecision) rollout.Outcome {
	ctx, cancel := context.WithTimeout(ctx, look.Write.Route.Deadline.Sub(w.now()))
	defer cancel()
	d, began := w.withRouterState(&look.Resting), time.Now()
	o := rollout.Outcome{Action: *look.Write, Result: w.loop.Router.SetWeights(ctx, d, w.router.Snapshot.Targets, look.Write.Route)}
	if lifecycle.NeedsReadBack(d, o.Result) {
		if reading, err := w.readRouter(ctx, &look.Resting); err == nil {
			o.Reading = &reading
		} else {
			o.Result = rollout.CallResult{Kind: rollout.ResultUnknown, Message: "written, but not read back: " + err.Error()}
		}
	}
	o.Result = lifecycle.VerifyRouterWrite(d, o)
	o.Result.Latency = time.Since(began)
	w.loop.Recorder.RouteDone(d.Spec.Traffic.Type, o.Result.Kind, o.Result.Latency)
	return o
}

// saveStep reports whether a step was written. A router whose step is not is claimed again, and read first; one that a deployment
// works on by now is given up.
func (w *watch) saveStep(ctx context.Context, step storage.SavedRouter) bool {
	ctx, cancel := context.WithTimeout(ctx, saveTime)
	defer cancel()
	err := w.loop.Store.SaveRouter(ctx, w.router, step)
	switch problem.CodeOf(err) {
	case "":
		if err == nil {
			return true
		}
	case problem.CodeConflict:
		_ = w.loop.Store.SaveRouter(ctx, w.router, storage.SavedRouter{Unchanged: true, Release: true, RecheckIn: w.loop.Every}) // else it is claimed again
		return false
	case problem.CodeOwnershipLost:
		return false
	default:
	}
	w.loop.Log.WarnContext(ctx, "what is known of a router at rest could not be written down", "service", w.router.Service,
		"environment", w.router.Environment, "error", err)
	return false
}
