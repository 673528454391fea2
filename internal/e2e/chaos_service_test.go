package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/e2e/chaos"
	"rollcall/internal/fleet"
)

// targetsPerService is how many targets a service has: half of them in each slot.
const targetsPerService = 6

// service is one service of a round: its targets, its router and the client that deploys to it.
type service struct {
	t      testing.TB
	name   string
	fleet  *fleet.Fleet
	router *chaosRouter
	caller *caller
	// fired counts the faults that came with the deployments' stories.
	fired map[chaos.Kind]int
	noted func(chaos.Fault)     // writes a fault of a replica down
	plans map[string]chaos.Plan // by key
}

func newService(t testing.TB, name string, c *caller) *service {
	t.Helper()
	s := &service{t: t, name: name, fleet: mixedForChaos(t), caller: c, fired: map[chaos.Kind]int{}, plans: map[string]chaos.Plan{}}
	s.router = newChaosRouter(t, name)
	return s
}

func mixedForChaos(t testing.TB) *fleet.Fleet {
	f := newFleet(t, targetsPerService, "v0")
	for i, target := range f.Targets {
		target.SetVersion(own(i))
		target.Behave(func(b *fleet.Behaviour) { *b = healthy })
	}
	return f
}

var healthy = fleet.Behaviour{Delay: 60 * time.Millisecond, Fenced: true}

// live plays the plans one after the other.
func (s *service) live(plans []chaos.Plan) {
	for i, plan := range plans {
		s.deploy(fmt.Sprintf("v%d", i+1), plan)
	}
}

// endFor is how long a deployment may take, with all that is broken meanwhile.
const endFor = 90 * time.Second

func (s *service) deploy(version string, plan chaos.Plan) {
	key := s.name + "-" + version
	s.plans[key] = plan
	s.prepare(version, plan)
	body := s.request(version, key, plan)
	var op chaos.Op
	if plan.Flood {
		op = s.caller.flood(s.name, key, body)
		s.fired[chaos.SamePost]++
	} else {
		op, _ = s.caller.insist(s.name, http.MethodPost, "/deployments", key, body)
	}
	if op.Status != http.StatusAccepted {
		s.t.Errorf("a deployment was answered %d %s", op.Status, op.Body)
		return
	}
	s.act(op.ID, plan)
	if d, ended := s.caller.until(s.name, op.ID, endFor, (*deployment).terminal); !ended || !d.terminal() {
		s.t.Errorf("%s %s (%s, %s) does not end: %s, %s", s.name, op.ID, plan.Strategy, plan.Fault, d.State, d.Reason)
	}
	s.recover()
}

// prepare has the targets that the plan names, one in each slot, and the router misbehave.
func (s *service) prepare(version string, plan chaos.Plan) {
	once := healthy
	change := func(b *fleet.Behaviour) { *b = healthy }
	var script []fleet.Behaviour
	switch plan.Fault {
	case chaos.TargetHangs:
		once.Hang = true
	case chaos.TargetResets:
		once.Reset = fleet.ResetBefore
		script = []fleet.Behaviour{{Reset: fleet.ResetAfter, Fenced: true}}
	case chaos.TargetDrips:
		once.Drip = 20 * time.Millisecond
	case chaos.TargetFails:
		once.Status = http.StatusInternalServerError
	case chaos.TargetBusy:
		once.Status, once.RetryAfter = http.StatusTooManyRequests, "1"
	case chaos.TargetFailsLate:
		once.Status, once.FailLate = http.StatusInternalServerError, true
	case chaos.TargetRedirects:
		change = func(b *fleet.Behaviour) { b.Status, b.OnVersion = http.StatusFound, version }
	case chaos.TargetLies:
		change = func(b *fleet.Behaviour) { b.Lie, b.OnVersion = true, version }
	case chaos.TargetSickAtOnce:
		change = func(b *fleet.Behaviour) { b.UnhealthyOn = version }
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
		s.fleet.Targets[i].Behave(change)
		s.fleet.Targets[i].Next(script...)
	}
}

// recover has everything work again, and counts which targets' faults were met.
func (s *service) recover() {
	for _, target := range s.fleet.Targets {
		target.Forget()
		target.Behave(func(b *fleet.Behaviour) { *b = healthy })
	}
	s.router.failLate(0)
}

func (s *service) request(version, key string, plan chaos.Plan) object {
	body := request(s.fleet, version, s.strategy(plan))
	body["service"] = s.name
	body["labels"] = object{"key": key}
	body["deploy"] = object{"timeout": "1500ms", "retries": 8, "backoff": "50ms"}
	body["healthy_deadline"] = "20s"
	if plan.Fault == chaos.TargetLies || plan.Fault == chaos.TargetSickAtOnce {
		body["healthy_deadline"] = "6s" // longer than what is broken meanwhile can hide a good target
	}
	part[[]object](body, "health_checks")[0]["interval"] = "100ms"
	body["traffic"] = object{
		"type": "webhook", "url": s.router.url, "read_back": true, "timeout": "2s", "retries": 8, "backoff": "50ms",
	}
	return inSlots(body)
}

func (s *service) strategy(plan chaos.Plan) object {
	strategy := object{"type": string(plan.Strategy), "progress_deadline": "60s"}
	bake := "200ms"
	if plan.Fault == chaos.TargetFallsSick {
		bake = "2s"
	}
	switch plan.Strategy {
	case chaos.Rolling:
		strategy["batch_size"], strategy["bake"] = plan.Batch, bake
	case chaos.Canary:
		var stages []any
		for i, percent := range chaos.Stages() {
			stage := object{"percent": percent, "duration": bake}
			if plan.Story == chaos.Gate && i == 0 {
				stage["promotion"] = "manual"
			}
			stages = append(stages, stage)
		}
		strategy["stages"] = stages
	case chaos.BlueGreen:
		if plan.Story == chaos.Gate {
			strategy["promotion"] = "manual"
		}
	}
	return strategy
}

// act does what people do in the story.
func (s *service) act(id string, plan chaos.Plan) {
	switch plan.Story {
	case chaos.PauseResume:
		<-time.After(plan.Wait)
		s.verb(id, "pause", nil)
		<-time.After(300 * time.Millisecond)
		s.verb(id, "resume", nil)
	case chaos.Abort:
		<-time.After(plan.Wait)
		s.verb(id, "abort", nil)
	case chaos.TurnRound:
		<-time.After(plan.Wait)
		if op := s.verb(id, "rollback", nil); op.Status == http.StatusAccepted {
			s.caller.until(s.name, op.ID, endFor, (*deployment).terminal)
		}
	case chaos.Gate:
		s.promote(id)
	case chaos.FrozenAbort:
		<-time.After(plan.Wait)
		s.whileFrozen(id, "abort")
	case chaos.FrozenPause:
		<-time.After(plan.Wait)
		s.whileFrozen(id, "pause")
		s.verb(id, "resume", nil)
	case chaos.Race:
		<-time.After(plan.Wait)
		s.atOnce(id, "abort", "promote", "pause", "abort", "promote", "pause")
		s.fired[chaos.VerbsAtOnce]++
		s.verb(id, "abort", nil)
	default:
	}
	if plan.Fault == chaos.TargetFallsSick {
		s.fallSick(id, plan)
	}
}

// frozenFor is how long an owner is frozen: longer than a verb may take to be felt.
const frozenFor = 1500 * time.Millisecond

// whileFrozen asks for a verb while the owner is frozen, as soon as it has one.
func (s *service) whileFrozen(id, verb string) {
	var owner *replica
	var p *process
	d, _ := s.caller.until(s.name, id, endFor, func(d *deployment) bool { return d.Owner != nil && d.Progress.InFlight > 0 })
	for _, r := range s.caller.replicas {
		if now, name := r.now(); d.Owner != nil && name == *d.Owner {
			owner, p = r, now
		}
	}
	if owner == nil {
		s.verb(id, verb, nil) // it has ended, or its owner is away
		return
	}
	fault := chaos.Fault{Kind: chaos.FrozenOwner, Replica: owner.index, ReplicaID: *d.Owner, From: time.Now()}
	p.signal(syscall.SIGSTOP)
	s.verb(id, verb, nil)
	<-time.After(frozenFor)
	p.signal(syscall.SIGCONT)
	fault.To = time.Now()
	s.noted(fault)
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
	s.fired[chaos.PromotesAtOnce]++
	s.verb(id, "promote", object{"wave": wave})
}

// atOnce asks for verbs at the same instant, of all replicas.
func (s *service) atOnce(id string, verbs ...string) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i, verb := range verbs {
		all.Go(func() {
			<-start
			s.caller.ask(s.name, i%len(s.caller.replicas), http.MethodPost, "/deployments/"+id+"/"+verb, "", nil)
		})
	}
	close(start)
	all.Wait()
}

func (s *service) verb(id, verb string, body any) chaos.Op {
	op, _ := s.caller.insist(s.name, http.MethodPost, "/deployments/"+id+"/"+verb, "", body)
	return op
}

// fallSick makes every target that was updated sick on the new version, once one has been verified.
func (s *service) fallSick(id string, _ chaos.Plan) {
	d, _ := s.caller.until(s.name, id, endFor, func(d *deployment) bool { return d.Progress.Updated > 0 })
	if d.terminal() || d.Progress.Updated == 0 {
		return
	}
	s.fired[chaos.TargetFallsSick]++
	for _, target := range s.fleet.Targets {
		version := target.Version()
		if s.isNew(id, target.ID, version) {
			target.Behave(func(b *fleet.Behaviour) { b.UnhealthyOn = version })
		}
	}
}

func (s *service) isNew(id, target, version string) bool {
	for _, c := range s.fleet.Target(target).Calls() {
		if c.DeploymentID == id && c.Version == version && c.Action == "deploy" {
			return true
		}
	}
	return false
}

// counted are the faults of the story that were met by a call.
func (s *service) counted() map[chaos.Kind]int {
	counts := map[chaos.Kind]int{}
	for kind, n := range s.fired {
		counts[kind] += n
	}
	keys := map[string]chaos.Plan{}
	for _, op := range s.caller.all() {
		if plan, ok := s.plans[op.Key]; ok && op.Service == s.name {
			keys[op.ID] = plan
		}
	}
	struck := map[string]bool{}
	for _, call := range s.fleet.Calls() {
		plan, ok := keys[call.DeploymentID]
		i := indexOf(s.fleet, call.Target) % 3
		if !ok || i != plan.Target%3 || call.Action != "deploy" {
			continue
		}
		once := call.DeploymentID + call.Target
		switch plan.Fault {
		case chaos.TargetHangs, chaos.TargetResets, chaos.TargetDrips, chaos.TargetFails, chaos.TargetBusy, chaos.TargetFailsLate,
			chaos.TargetRedirects, chaos.TargetLies, chaos.TargetSickAtOnce:
			if !struck[once] {
				counts[plan.Fault]++
			}
			struck[once] = true
		default:
		}
	}
	counts[chaos.RouterFailsLate] += s.router.failures()
	return counts
}
