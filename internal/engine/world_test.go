package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/internal/clock"
	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy"
)

// world is one database, some replicas, and the targets that they call.
type world struct {
	t       *testing.T
	db      *memory
	targets map[string]*box
	router  router
	mu      sync.Mutex
	calls   []madeCall
	open    map[string]int
	running sync.WaitGroup
	replica int
	living  []*process
}

// box is a pretend target.
type box struct {
	version   string
	takes     time.Duration
	fails     string // the version that it refuses to become
	hangs     string // the version on which it never answers
	away      string // the version that never reaches it
	unhealthy bool   // it is unhealthy until it is called again
	fence     int64
	shared    bool      // several deployments call it
	probed    func()    // called by each probe before it answers, when it is not nil
	mumbles   bool      // it does what it is called for, and its response is lost
	loses     bool      // a call whose caller dies before the answer never takes effect
	left      time.Time // when its newest call was given up
}

type madeCall struct {
	target string
	call   rollout.Call
}

// process is one replica that can be killed: from then on nothing it does reaches anyone.
type process struct {
	w      *world
	name   string
	step   int
	killAt int // the step at which it dies; 0 means never
	mu     sync.Mutex
	dead   bool
	mute   bool           // its heartbeats get no answer
	most   int            // how many deployments the database can load in time; 0 means any number
	raised int64          // by how much its heartbeats report more commands than there are
	reads  int            // how often it has read a deployment again
	cut    int            // how many of its requests to leave find their connection gone
	saved  func()         // called after each save that landed, when it is not nil
	took   func()         // called after each claim, before the engine knows of it, when it is not nil
	ended  chan time.Time // when Run has returned
	failed error          // what Run returned, once it has
	stop   context.CancelFunc
	engine *Engine
}

var errDead = errors.New("this process is dead")

func newWorld(t *testing.T) *world {
	return &world{t: t, db: newMemory(), targets: map[string]*box{}, open: map[string]int{}}
}

func (w *world) deployment(id, strategyJSON string, boxes ...*box) {
	var targets []rollout.Target
	for i, b := range boxes {
		name := fmt.Sprintf("t%d", i)
		w.targets[name] = b
		targets = append(targets, rollout.Target{ID: name, Address: "http://" + name})
	}
	d := rollout.Deployment{ID: id, Service: id, Environment: "e", Version: "v2", Kind: rollout.KindDeploy}
	d.Spec.Deploy = rollout.Deploy{
		Timeout: duration.Duration(5 * time.Second), Retries: 1, Backoff: duration.Duration(time.Second),
	}
	d.Spec.HealthyDeadline = duration.Duration(20 * time.Second)
	d.Spec.Checks = []healthcheck.Check{{
		Name: "http", Type: "http", Critical: true, Interval: duration.Duration(time.Second),
		Timeout: duration.Duration(time.Second), HealthyThreshold: 2, UnhealthyThreshold: 3, VersionPointer: "/version",
	}}
	n, err := strategy.Prepare(d, targets, []byte(strategyJSON), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.db.CreateDeployment(context.Background(), n); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start(killAt int) *process {
	w.mu.Lock()
	w.replica++
	p := &process{w: w, name: fmt.Sprintf("r%d", w.replica), killAt: killAt, ended: make(chan time.Time, 1)}
	w.living = append(w.living, p)
	w.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.engine = New(Config{
		Replica: p.name, Leases: p, Deployments: p, Changes: p, Targets: p, Prober: p, Router: p, Recorder: nothing{},
		Log: slog.New(slog.DiscardHandler),
	})
	w.running.Go(func() {
		p.failed = p.engine.Run(ctx) // a killed process cannot hand over
		p.ended <- time.Now()
	})
	return p
}

func (w *world) end() {
	w.mu.Lock()
	living := w.living
	w.mu.Unlock()
	for _, p := range living {
		p.stop()
	}
	w.running.Wait()
}

// await returns when the deployment has ended, or fails after an hour of the synthetic clock.
func (w *world) await(id string) (rollout.Snapshot, []rollout.Event) {
	w.t.Helper()
	deadline := time.Now().Add(time.Hour)
	for time.Now().Before(deadline) {
		snap, events := w.db.read(id)
		if snap.Deployment.State.Terminal() {
			return snap, events
		}
		time.Sleep(50 * time.Millisecond) // the synthetic clock
	}
	snap, _ := w.db.read(id)
	w.t.Fatalf("%s is still %s after an hour: %s", id, snap.Deployment.State, snap.Deployment.Reason)
	return snap, nil
}

// alive counts a step and reports whether the process lives to take it.
func (p *process) alive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step++
	if p.killAt > 0 && p.step >= p.killAt {
		p.die()
	}
	if p.dead {
		return errDead
	}
	return nil
}

func (p *process) die() {
	if !p.dead {
		p.dead = true
		p.stop()
	}
}

func (p *process) Heartbeat(ctx context.Context, replica string, lease time.Duration) (time.Time, error) {
	p.mu.Lock()
	dead, mute := p.dead, p.mute
	p.mu.Unlock()
	if mute {
		<-ctx.Done()
		return time.Time{}, ctx.Err()
	}
	if dead {
		return time.Time{}, errDead
	}
	return p.w.db.Heartbeat(ctx, replica, lease)
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

func (p *process) ReleaseDeployments(ctx context.Context, replica string) error {
	if p.isDead() {
		return errDead
	}
	p.mu.Lock()
	p.cut--
	cut := p.cut >= 0
	p.mu.Unlock()
	if cut {
		return &problem.Error{Code: problem.CodeUnavailable, Message: "the connection is gone"}
	}
	return p.w.db.ReleaseDeployments(ctx, replica)
}

func (p *process) ClaimDeployments(ctx context.Context, replica string, mine []string, limit int) ([]storage.Claimed, time.Time, error) {
	if p.isDead() {
		return nil, time.Time{}, errDead
	}
	p.mu.Lock()
	most := p.most
	p.mu.Unlock()
	if most > 0 && limit > most {
		<-ctx.Done() // and the transaction is undone
		return nil, time.Time{}, ctx.Err()
	}
	claimed, next, err := p.w.db.ClaimDeployments(ctx, replica, mine, limit)
	if took := p.hooked(&p.took); took != nil && len(claimed) > 0 {
		took()
	}
	return claimed, next, err
}

// hooked takes a hook of the test.
func (p *process) hooked(hook *func()) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *hook
}

// SaveDeployment can be cut off before it landed or before its answer came back. It takes a while, so that it shows what does not
// wait for it.
func (p *process) SaveDeployment(ctx context.Context, sv storage.SaveRequest) (storage.SaveResult, error) {
	if err := p.alive(); err != nil {
		return storage.SaveResult{}, err
	}
	time.Sleep(time.Millisecond) // the synthetic clock
	saved, err := p.w.db.SaveDeployment(ctx, sv)
	if dead := p.alive(); dead != nil {
		return storage.SaveResult{}, dead
	}
	if hook := p.hooked(&p.saved); hook != nil {
		hook()
	}
	return saved, err
}

func (p *process) Deployment(ctx context.Context, id string) (rollout.Deployment, error) {
	if p.isDead() {
		return rollout.Deployment{}, errDead
	}
	p.mu.Lock()
	p.reads++
	spins := p.reads > 1000
	p.mu.Unlock()
	if spins {
		p.die()
	}
	return p.w.db.Deployment(ctx, id)
}

func (p *process) OperatorRevisions(ctx context.Context, replica string) (map[string]int64, error) {
	if p.isDead() {
		return nil, errDead
	}
	revisions, err := p.w.db.OperatorRevisions(ctx, replica)
	for id := range revisions {
		revisions[id] += p.raised
	}
	return revisions, err
}

func (p *process) Listen(ctx context.Context, wake func(string)) error {
	return p.w.db.Listen(ctx, wake)
}

// Deploy can be cut off before it was sent, or before its answer came back.
func (p *process) Deploy(ctx context.Context, d *rollout.Deployment, t *rollout.Target, call rollout.Call) rollout.CallResult {
	if p.alive() != nil {
		return rollout.CallResult{Kind: rollout.ResultNotSent}
	}
	p.w.assertWritten(d.ID, t.ID, call)
	a := p.w.call(ctx, t.ID, call, p.isDead)
	if p.alive() != nil {
		return rollout.CallResult{Kind: rollout.ResultUnknown}
	}
	return a
}

// assertWritten checks that a call stands in the database before it is made.
func (w *world) assertWritten(id, target string, call rollout.Call) {
	snap, _ := w.db.read(id)
	for i := range snap.Targets {
		if t := &snap.Targets[i]; t.ID == target && (t.Call == nil || t.Call.WebhookID != call.WebhookID || t.Call.Fence != call.Fence) {
			w.t.Errorf("%s is called, attempt %d, and that is not written down: %+v", target, call.Attempt, t.Call)
		}
	}
}

func (w *world) call(ctx context.Context, target string, call rollout.Call, callerDied func() bool) rollout.CallResult {
	w.mu.Lock()
	b := w.targets[target]
	w.calls = append(w.calls, madeCall{target, call})
	w.open[target]++
	if w.open[target] > 1 && !b.shared {
		w.t.Errorf("two calls are open at %s", target)
	}
	if call.Fence <= b.fence && !b.shared {
		w.t.Errorf("the fence at %s fell from %d to %d", target, b.fence, call.Fence)
	}
	b.fence = call.Fence
	w.mu.Unlock()
	defer w.close(target)
	if b.hangs == call.Version {
		<-ctx.Done()
		w.mu.Lock()
		defer w.mu.Unlock()
		b.left = time.Now()
		return rollout.CallResult{Kind: rollout.ResultUnknown, Message: "no answer"}
	}
	if b.away == call.Version {
		return rollout.CallResult{Kind: rollout.ResultNotSent, Message: "connection refused"}
	}
	clock.Sleep(ctx, b.takes)
	if b.loses && callerDied() {
		return rollout.CallResult{Kind: rollout.ResultUnknown, Message: "no answer"}
	}
	if b.fails == call.Version {
		return rollout.CallResult{Kind: rollout.ResultRetry, Message: "HTTP 500"}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	b.version, b.unhealthy = call.Version, false
	if b.mumbles {
		return rollout.CallResult{Kind: rollout.ResultUnknown, Message: "no answer"}
	}
	return rollout.CallResult{Kind: rollout.ResultDone, Message: "HTTP 200"}
}

func (w *world) close(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[target]--
}

func (p *process) ProbeAgain(
	_ context.Context, _ healthcheck.Check, address string, _ *rollout.TLS, _ time.Time,
) healthcheck.ProbeResult {
	b := p.w.targets[address[len("http://"):]]
	if b.probed != nil {
		b.probed()
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if b.unhealthy {
		return healthcheck.ProbeResult{Status: healthcheck.Unhealthy, Version: b.version, Message: "HTTP 500"}
	}
	return healthcheck.ProbeResult{Status: healthcheck.Healthy, Version: b.version}
}

type nothing struct{}

func (nothing) CallDone(rollout.CallAction, rollout.ResultKind, time.Duration) {}
func (nothing) ProbeDone(string, healthcheck.Health, time.Duration)            {}
func (nothing) DeploymentEnded(string, rollout.State, time.Duration)           {}
func (nothing) RouteDone(string, rollout.ResultKind, time.Duration)            {}
func (nothing) SaveDone(time.Duration, int, bool)                              {}
func (nothing) TakenOver()                                                     {}
func (nothing) SaveFenced()                                                    {}

func inBubble(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		f(w)
	})
}
