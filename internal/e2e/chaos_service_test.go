package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/e2e/chaos"
	"rollcall/internal/testtarget"
)

// targetsPerService is how many targets a service has: half of them in each slot.
const targetsPerService = 6

// service is one service of a round: its targets, its router and the client that deploys to it.
type service struct {
	t      testing.TB
	name   string
	fleet  *testtarget.Fleet
	router *chaosRouter
	caller *caller
	noted  func(fault chaos.Fault, happened bool) // writes a fault of a replica down
	plans  map[string]chaos.Plan                  // by key
	// asleep is the owner of the last deployment while it is frozen, nil while none is.
	asleep *sleeper
	// asked counts the commands, for their keys.
	asked atomic.Int64
	// bed is held while an owner is to be outlived: of all replicas one sleeps at a time.
	bed *sync.Mutex
}

func newService(t testing.TB, number int, c *caller, bed *sync.Mutex) *service {
	t.Helper()
	name := fmt.Sprintf("s%d", number)
	s := &service{t: t, name: name, fleet: mixedForChaos(t), caller: c, bed: bed, plans: map[string]chaos.Plan{}}
	var targets []string
	for _, target := range s.fleet.Targets {
		targets = append(targets, target.ID)
	}
	s.router = newChaosRouter(t, name, targets, number%2 == 0)
	return s
}

func mixedForChaos(t testing.TB) *testtarget.Fleet {
	f := newFleet(t, targetsPerService, "v0")
	for i, target := range f.Targets {
		target.SetVersion(own(i))
		target.SetBehaviour(func(b *testtarget.Behaviour) { *b = healthy })
	}
	return f
}

var healthy = testtarget.Behaviour{Delay: 60 * time.Millisecond, Fenced: true}

// live plays the plans one after the other until the round is over; an owner that sleeps is woken by one more.
func (s *service) live(over context.Context, plans []chaos.Plan) {
	for i, plan := range plans {
		if over.Err() != nil && s.asleep == nil {
			return
		}
		s.deploy(fmt.Sprintf("v%d", i+1), plan)
	}
	if s.asleep != nil {
		s.thaw(s.asleep, false)
	}
}

// restartRouter restarts the router after each of the pauses, whatever happens then.
func (s *service) restartRouter(over context.Context, pauses []time.Duration) {
	for _, pause := range pauses {
		if !pauseUnless(over, pause) {
			return
		}
		s.router.restart()
	}
}

// endFor is how long a deployment may take, with all that is broken meanwhile.
const endFor = 3 * time.Minute

func (s *service) deploy(version string, plan chaos.Plan) {
	key := s.name + "-" + version
	if plan.Scenario == chaos.Outlive && !s.findBed() {
		plan.Scenario = chaos.Plain
	}
	s.plans[key] = plan
	s.prepare(version, plan)
	body := s.request(version, key, plan)
	var op chaos.Op
	if plan.Flood {
		op = s.caller.flood(s.name, key, body)
	} else {
		op, _ = s.caller.insist(s.name, http.MethodPost, "/deployments", key, body)
	}
	if op.Status != http.StatusAccepted || op.ID == "" {
		s.t.Errorf("a deployment was answered %d %s", op.Status, op.Body)
		if plan.Scenario == chaos.Outlive {
			s.bed.Unlock()
		}
		return
	}
	s.wake(op.ID)
	s.act(op.ID, plan)
	if d, ended := s.caller.until(s.name, op.ID, endFor, (*deployment).terminal); !ended || !d.terminal() {
		s.t.Errorf("%s %s (%s, %s) does not end: %s, %s", s.name, op.ID, plan.Strategy, plan.Fault, d.State, d.Reason)
	}
	s.recover()
}

// passesFirst is how many probes a target passes that becomes unhealthy in the bake: more than it takes to be verified, and few
// enough for the rest of the bake to show that it is unhealthy.
const passesFirst = 6

// findBed waits for a while until no other owner is to be outlived.
func (s *service) findBed() bool {
	if s.asleep != nil {
		return false // this one is what the last owner is outlived for
	}
	for deadline := time.Now().Add(askFor); time.Now().Before(deadline); <-time.After(100 * time.Millisecond) {
		if s.bed.TryLock() {
			return true
		}
	}
	return false
}

// prepare has the targets that the plan names, one in each slot, and the router misbehave.
func (s *service) prepare(version string, plan chaos.Plan) {
	once := healthy
	change := func(b *testtarget.Behaviour) { *b = healthy }
	var script []testtarget.Behaviour
	switch plan.Fault {
	case chaos.TargetHangs:
		once.Hang = true
	case chaos.TargetResets:
		once.Reset = testtarget.ResetBefore
		script = []testtarget.Behaviour{{Reset: testtarget.ResetAfter, Fenced: true}}
	case chaos.TargetDrips:
		once.Drip = 20 * time.Millisecond
	case chaos.TargetProxied:
		once.Proxy, once.Delay = 150*time.Millisecond, chaos.ProxiedWork
	case chaos.TargetFails:
		once.Status = http.StatusInternalServerError
	case chaos.TargetBusy:
		once.Status, once.RetryAfter = http.StatusTooManyRequests, "1"
	case chaos.TargetFailsLate:
		once.Status, once.FailLate = http.StatusInternalServerError, true
	case chaos.TargetRedirects:
		change = func(b *testtarget.Behaviour) { b.Status, b.OnVersion = http.StatusFound, version }
	case chaos.TargetLies:
		change = func(b *testtarget.Behaviour) { b.Lie, b.OnVersion = true, version }
	case chaos.FrozenOwner, chaos.Outlived:
		s.slowDown()
		return
	case chaos.TargetUnhealthy, chaos.DeadlinePasses:
		change = func(b *testtarget.Behaviour) { b.UnhealthyOn = version }
	case chaos.TargetTurnsUnhealthy:
		change = func(b *testtarget.Behaviour) { b.UnhealthyOn, b.UnhealthyAfter = version, passesFirst }
	case chaos.RouterFailsLate:
		s.router.failLate(2)
		return
	default:
		return
	}
	if once != healthy {
		script = append(script, once)
	}
	for _, i := range []int{plan.Target % 3, plan.Target%3 + 3} {
		s.fleet.Targets[i].SetBehaviour(change)
		s.fleet.Targets[i].QueueBehaviours(script...)
	}
}

// slowDown has all calls take long enough for an owner to be frozen in the middle of one.
func (s *service) slowDown() {
	for _, target := range s.fleet.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 400 * time.Millisecond })
	}
}

// recover has everything work again.
func (s *service) recover() {
	for _, target := range s.fleet.Targets {
		target.ClearQueue()
		target.SetBehaviour(func(b *testtarget.Behaviour) { *b = healthy })
	}
	s.router.failLate(0)
}

func (s *service) request(version, key string, plan chaos.Plan) object {
	body := request(s.fleet, version, s.strategy(plan))
	body["service"] = s.name
	body["labels"] = object{"key": key}
	body["deploy"] = object{"timeout": "1500ms", "retries": 8, "backoff": "50ms"}
	body["healthy_deadline"] = "20s"
	if plan.Fault == chaos.TargetLies || plan.Fault == chaos.TargetUnhealthy {
		body["healthy_deadline"] = "4s" // longer than what is broken meanwhile can hide a good target
	}
	part[[]object](body, "health_checks")[0]["interval"] = "100ms"
	body["traffic"] = object{
		"type": "webhook", "url": s.router.url, "read_back": true, "timeout": "2s", "retries": 8, "backoff": "50ms",
	}
	return inSlots(body)
}

func (s *service) strategy(plan chaos.Plan) object {
	strategy := object{"type": string(plan.Strategy), "progress_deadline": endFor.String()}
	if plan.Fault == chaos.DeadlinePasses {
		strategy["progress_deadline"] = "3s" // before the targets' own
	}
	bake := "200ms"
	if plan.Fault == chaos.TargetTurnsUnhealthy {
		bake = "2s"
	}
	if plan.Scenario == chaos.Forgotten {
		bake = chaos.LongBake.String()
	}
	switch plan.Strategy {
	case chaos.Rolling:
		strategy["batch_size"], strategy["bake"] = plan.Batch, bake
	case chaos.Canary:
		var stages []any
		for i, percent := range chaos.CanaryStages() {
			stage := object{"percent": percent, "duration": bake}
			if plan.Scenario == chaos.Forgotten && i > 0 {
				stage["duration"] = "200ms"
			}
			if plan.Scenario == chaos.Gate && i == 0 {
				stage["promotion"] = "manual"
			}
			stages = append(stages, stage)
		}
		strategy["stages"] = stages
	case chaos.BlueGreen:
		if plan.Scenario == chaos.Forgotten {
			strategy["keep_old_for"] = bake
		}
		if plan.Scenario == chaos.Gate {
			strategy["promotion"] = "manual"
		}
	}
	return strategy
}

// act does what people do in the scenario.
func (s *service) act(id string, plan chaos.Plan) {
	switch plan.Scenario {
	case chaos.PauseResume:
		<-time.After(plan.Wait)
		paused := s.command(id, "pause", nil)
		<-time.After(300 * time.Millisecond)
		s.command(id, "resume", nil)
		s.caller.repeat(paused, nil)
	case chaos.Abort:
		<-time.After(plan.Wait)
		s.command(id, "abort", nil)
	case chaos.RollBack:
		<-time.After(plan.Wait)
		op := s.command(id, "rollback", nil)
		if op.ID != "" {
			s.caller.until(s.name, op.ID, endFor, (*deployment).terminal)
		}
		s.caller.repeat(op, nil)
	case chaos.Gate:
		s.promote(id)
	case chaos.Forgotten:
		if d, ok := s.caller.until(s.name, id, endFor, func(d *deployment) bool { return d.Progress.Weight > 0 }); ok && !d.terminal() {
			<-time.After(plan.Wait)
			s.router.restart()
		}
	case chaos.FrozenAbort:
		<-time.After(plan.Wait)
		s.whileFrozen(id, "abort")
	case chaos.FrozenPause:
		<-time.After(plan.Wait)
		s.whileFrozen(id, "pause")
		s.command(id, "resume", nil)
	case chaos.Outlive:
		if s.asleep = s.freezeOwner(id, chaos.Outlived); s.asleep == nil {
			s.bed.Unlock()
		}
		s.recover() // the slow calls were to be met by the frost
	case chaos.Race:
		<-time.After(plan.Wait)
		s.atOnce(id, "abort", "promote", "pause", "abort", "promote", "pause")
		s.command(id, "abort", nil)
	default:
	}
}

// frozenFor is how long an owner is frozen: longer than a command may take to be felt.
const frozenFor = 1500 * time.Millisecond

// sleeper is a replica that is frozen.
type sleeper struct {
	replica *replica
	process *process
	fault   chaos.Fault
}

// freezeOwner freezes a deployment's owner while it has a call in flight; nil when the deployment ends before.
func (s *service) freezeOwner(id string, kind chaos.Kind) *sleeper {
	for deadline := time.Now().Add(endFor); time.Now().Before(deadline); {
		d, ok := s.caller.until(s.name, id, endFor, calling)
		if !ok || d.terminal() {
			return nil
		}
		r := s.caller.called(*d.Owner)
		if r == nil {
			continue // it was killed under another name
		}
		s.caller.lieDown()
		r.struck.Lock() // all of which may take so long that another one has the deployment
		p, name := r.now()
		if d, ok = s.caller.until(s.name, id, endFor, func(*deployment) bool { return true }); ok && calling(&d) && name == *d.Owner && p.runs() {
			p.signal(syscall.SIGSTOP)
			s.caller.shun(r.index)
			return &sleeper{r, p, chaos.Fault{Kind: kind, Replica: r.index, ReplicaID: name, From: time.Now()}}
		}
		r.struck.Unlock()
		s.caller.getUp()
	}
	return nil
}

func calling(d *deployment) bool { return d.Owner != nil && d.Progress.InFlight > 0 }

// thaw continues a replica, and notes the fault when it did stand still until now and what was to come meanwhile has come.
func (s *service) thaw(f *sleeper, came bool) {
	came = came && f.process.stopped()
	f.process.signal(syscall.SIGCONT)
	f.fault.To = time.Now()
	f.replica.struck.Unlock()
	s.caller.getUp()
	s.noted(f.fault, came)
	if f.fault.Kind == chaos.Outlived {
		s.bed.Unlock()
	}
}

// whileFrozen asks for a command while the owner is frozen, as soon as it has one. An owner whose colleagues are away too long to
// answer continues without.
func (s *service) whileFrozen(id, command string) {
	f := s.freezeOwner(id, chaos.FrozenOwner)
	answered := make(chan chaos.Op, 1)
	go func() { answered <- s.command(id, command, nil) }()
	if f == nil {
		<-answered
		return
	}
	select {
	case op := <-answered:
		<-time.After(frozenFor)
		s.thaw(f, op.Status == http.StatusOK)
	case <-time.After(2 * askFor):
		s.thaw(f, false)
		<-answered
	}
}

// wake continues the owner of the deployment before, if it is still frozen, when this one has begun.
func (s *service) wake(id string) {
	if s.asleep == nil {
		return
	}
	d, _ := s.caller.until(s.name, id, endFor, func(d *deployment) bool { return d.State != "pending" })
	s.thaw(s.asleep, d.ID != "" && d.State != "pending")
	s.asleep = nil
}

// promote waits for the gate and promotes it many times at once, until it is passed.
func (s *service) promote(id string) {
	wave := 0
	s.caller.until(s.name, id, endFor, func(d *deployment) bool {
		for _, e := range everything[loggedEvent](s.caller, "/deployments/"+id+"/events") {
			if e.Type == "gate.waiting" {
				wave = e.Wave
				return true
			}
		}
		return false
	})
	if wave == 0 {
		return // it has ended otherwise, which the checker judges
	}
	s.atOnce(id, "promote", "promote", "promote", "promote", "promote", "promote")
	body := object{"wave": wave}
	s.caller.repeat(s.command(id, "promote", body), body)
}

// atOnce asks for commands at the same instant, of all replicas.
func (s *service) atOnce(id string, commands ...string) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i, command := range commands {
		all.Go(func() {
			<-start
			s.caller.ask(s.name, i%len(s.caller.replicas), http.MethodPost, "/deployments/"+id+"/"+command, "", nil)
		})
	}
	close(start)
	all.Wait()
}

func (s *service) command(id, command string, body any) chaos.Op {
	key := fmt.Sprintf("%s-%s-%d", id, command, s.asked.Add(1))
	op, _ := s.caller.insist(s.name, http.MethodPost, "/deployments/"+id+"/"+command, key, body)
	return op
}
