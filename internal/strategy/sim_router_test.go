package strategy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// routerMood is how a simulated router treats one write.
type routerMood string

const (
	routerObeys    routerMood = "obeys"
	routerSlow     routerMood = "is slow"
	routerRefuses  routerMood = "400"
	routerBusy     routerMood = "503 with Retry-After"
	routerErrs     routerMood = "does it, and answers 500"
	routerHangs    routerMood = "hangs, and perhaps does it later"
	routerMute     routerMood = "does it, the answer is lost"
	routerLies     routerMood = "200, nothing done"
	routerHalf     routerMood = "does half of it, and answers 400"
	routerAway     routerMood = "connection refused"
	routerFenceOff routerMood = "409"
)

func routerMoods() []routerMood {
	return []routerMood{
		routerObeys, routerSlow, routerRefuses, routerBusy, routerErrs, routerHangs, routerMute, routerLies, routerHalf,
		routerAway, routerFenceOff,
	}
}

// simRouter is what really moves traffic. It knows nothing of the planner.
type simRouter struct {
	moods []routerMood
	// readBack routers can be asked; they report the shares, or everything when exact.
	readBack, exact bool
	// remembers the highest fence seen, and refuses lower ones.
	remembers bool
	highest   int64
	// stiff is the new side's share from which on it refuses; 0 for none.
	stiff int
	away  []interval
	// shy routers answer no first attempt.
	shy bool
	// does is what it really does, once something has been written.
	does  *routing.TrafficSplit
	steps int // how many writes took effect
	// restarts is how often it has restarted with the weights of its configuration; forgotAt is since when nothing was written
	// after that, and unreadAt when it was last asked in vain.
	restarts           int
	forgotAt, unreadAt time.Time
	// plain routers have servers with weights of their own, and no sides: base are the weights of their configuration. An
	// operator takes held out by hand at heldAt, by its weight or by draining it.
	plain   bool
	base    []int
	held    int // the target's place, -1 for none
	heldBy  string
	heldAt  time.Time
	started int
	// muddled is set when nothing could have kept a late write out: nothing is promised of it then.
	muddled bool
}

// truthful reports whether what it answers and reports can be relied upon.
func (r *simRouter) truthful() bool {
	for _, m := range r.moods {
		if m == routerLies && (!r.readBack || !r.exact) {
			return false
		}
	}
	return !r.muddled
}

func (r *simRouter) gone(now time.Time) bool {
	for _, a := range r.away {
		if !now.Before(a.from) && now.Before(a.to) {
			return true
		}
	}
	return false
}

// reading is what it reports when it is read.
func (r *simRouter) reading(d *rollout.Deployment) *routing.Reading {
	if r.plain {
		return r.plainReading()
	}
	reading := &routing.Reading{DeploymentID: d.ID, Weights: &routing.Weights{NewWeight: -1, OldWeight: -1}}
	if r.does == nil {
		return reading
	}
	*reading.Weights = r.does.Weights()
	if !r.exact {
		return reading
	}
	reading.Backends = make([]routing.BackendReading, len(r.does.Backends))
	for i, b := range r.does.Backends {
		reading.Backends[i] = routing.BackendReading{Target: b.Target, Weight: b.Weight, Serving: true, Sessions: -1, Effective: 100}
	}
	return reading
}

func (r *simRouter) plainReading() *routing.Reading {
	reading := &routing.Reading{Instance: fmt.Sprint("instance ", r.started)}
	for i, b := range r.does.Backends {
		seen := routing.BackendReading{Target: b.Target, Weight: b.Weight, Serving: b.Weight > 0, Sessions: 0, Effective: 100}
		if i == r.held && r.heldBy != routing.HeldByWeight {
			seen.HeldBy, seen.Serving, seen.Why = r.heldBy, false, "held by hand"
		}
		reading.Backends = append(reading.Backends, seen)
	}
	return reading
}

// fits reports whether what a router reports is what was wanted of it, as far as it reports that; but for what an operator holds, or has
// held: a restart undoes that as the operator would.
func (s *sim) fits(reading *routing.Reading, want *routing.TrafficSplit) bool {
	if reading.Weights != nil && *reading.Weights != want.Weights() || reading.Backends != nil && len(reading.Backends) != len(want.Backends) {
		return false
	}
	for i := range reading.Backends {
		released := i == s.liveBook.held && s.liveBook.heldBy == routing.HeldByWeight && want.Backends[i].Weight == 0
		if reading.Backends[i].Weight != want.Backends[i].Weight && i != s.router.held && !released {
			return false
		}
	}
	return true
}

// doesAs reports whether the router really does what is wanted, but for what an operator holds.
func (r *simRouter) doesAs(want *routing.TrafficSplit) bool {
	if !r.plain {
		return r.does.Equal(want)
	}
	for i := range want.Backends {
		if r.does.Backends[i].Weight != want.Backends[i].Weight && i != r.held {
			return false
		}
	}
	return true
}

// configure gives a plain router the servers of its configuration.
func (s *sim) configure() {
	r := s.router
	if r == nil {
		return
	}
	r.held = -1
	if !r.plain {
		return
	}
	even := chance(s.rng, 0.3)
	for range s.snapshot.Targets {
		weight := pick(s.rng, 1, 5, 50, 100, 100, 200, 256)
		if even {
			weight = 100
		}
		r.base = append(r.base, weight)
	}
	r.start(s)
	if n := len(r.base); n > 1 && chance(s.rng, 0.4) {
		i, by := s.rng.IntN(n), pick(s.rng, routing.HeldByWeight, "drain")
		s.at(s.now.Add(pick(s.rng, 0, between(s.rng, 0, 40*time.Second))), func() {
			// What is out already is not distinguished from what Rollcall took out, nor from what a write without an answer takes out.
			quiet := !s.expectsLate(i) && (s.storedBook.last == "" || s.live != nil && s.routing == 0 && s.liveBook.confirmed != nil && r.forgotAt.IsZero())
			if r.held < 0 && r.does.Backends[i].Weight > 0 && s.othersServe(i) && quiet {
				s.cover("router: an operator takes one out by " + by)
				s.trace("operator", s.world[i].id, "taken out by %s", by)
				r.held, r.heldBy, r.heldAt = i, by, s.now
				r.hold()
			}
		})
	}
}

// expectsLate reports whether a write without an answer may still take a target out.
func (s *sim) expectsLate(i int) bool {
	r := s.stored.Deployment.Progress.Router
	if s.live != nil {
		r = s.live.Deployment.Progress.Router
	}
	return r != nil && slices.Contains(r.LateOut, s.stored.Targets[i].ID)
}

// lift ends what an operator did to a target that a write took out before anybody saw the operator's hand: the two are not
// distinguished when it is restored. What an operator did and a restart has undone is set again by a write that knew of it.
func (r *simRouter) lift(c *routing.Call) {
	if !r.plain {
		return
	}
	if r.held >= 0 && slices.Contains(c.TakenOut, c.Setting.Backends[r.held].Target) {
		r.held = -1
	}
	for i, b := range c.Setting.Backends {
		if b.Weight == 0 && r.held < 0 && !slices.Contains(c.TakenOut, b.Target) {
			r.held, r.heldBy = i, routing.HeldByWeight
		}
	}
}

// othersServe reports whether others get traffic in a target's slot: taking out all of it is not distinguished from a slot that is
// idle.
func (s *sim) othersServe(i int) bool {
	for j, b := range s.router.does.Backends {
		if j != i && b.Weight > 0 && s.stored.Targets[j].Slot == s.stored.Targets[i].Slot {
			return true
		}
	}
	return false
}

// hold keeps the weight that an operator has taken.
func (r *simRouter) hold() {
	if r.held >= 0 && r.heldBy == routing.HeldByWeight {
		kept := *r.does
		kept.Backends = slices.Clone(r.does.Backends)
		kept.Backends[r.held].Weight = 0
		r.does = &kept
	}
}

// start has a plain router begin with its configuration.
func (r *simRouter) start(s *sim) {
	configured := routing.TrafficSplit{NewWeight: -1, OldWeight: -1}
	for i := range s.snapshot.Targets {
		configured.Backends = append(configured.Backends, routing.Backend{Target: s.snapshot.Targets[i].ID, Weight: r.base[i]})
	}
	r.does = &configured
	r.started++
	r.held = -1
}

// randomRouter is a router that treats writes by its moods, and the part of a request that names it.
func randomRouter(rng *rand.Rand) (*simRouter, *routing.Config) {
	if chance(rng, 0.3) {
		return nil, nil
	}
	r := &simRouter{readBack: chance(rng, 0.6), exact: chance(rng, 0.6), remembers: chance(rng, 0.7), moods: []routerMood{routerObeys}}
	switch rng.IntN(8) {
	case 0, 1, 2:
		r.moods = append(r.moods, routerObeys, routerObeys, pick(rng, routerMoods()...))
	case 3:
		r.moods = []routerMood{pick(rng, routerMoods()...)}
	case 4:
		r.moods = routerMoods()
	case 5:
		r.stiff = pick(rng, 1, 20, 51, 100)
	}
	if r.readBack && chance(rng, 0.3) {
		r.restarts = 1 + rng.IntN(2)
	}
	if chance(rng, 0.3) {
		from := simStart.Add(between(rng, 0, 40*time.Second))
		r.away = []interval{{from, from.Add(between(rng, time.Second, 30*time.Second))}}
	}
	kind := "webhook"
	if r.plain = chance(rng, 0.4); r.plain {
		kind, r.readBack, r.exact = "haproxy", true, true
		if chance(rng, 0.3) {
			r.restarts = 1
		}
	}
	return r, &routing.Config{
		Type: kind, URL: "http://lb", ReadBack: r.readBack,
		Timeout: duration.Duration(pick(rng, time.Second, 3*time.Second)), Retries: rng.IntN(4),
		Backoff: duration.Duration(pick(rng, 50*time.Millisecond, time.Second, 4*time.Second)),
		Drain:   duration.Duration(pick(rng, 0, 0, time.Second, 5*time.Second)),
	}
}

// steadyRouter does well, or fails for good.
func steadyRouter(rng *rand.Rand) (*simRouter, *routing.Config) {
	if chance(rng, 0.4) {
		return nil, nil
	}
	r := &simRouter{readBack: true, exact: chance(rng, 0.5), remembers: true, moods: []routerMood{routerObeys}}
	switch rng.IntN(5) {
	case 0:
		r.stiff = pick(rng, 1, 60, 100)
	case 1, 2:
		r.shy = true
	}
	return r, &routing.Config{
		Type: "webhook", URL: "http://lb", ReadBack: true, Timeout: duration.Duration(time.Second), Retries: 1 + rng.IntN(3),
		Backoff: duration.Duration(time.Second), Drain: duration.Duration(pick(rng, 0, time.Second)),
	}
}

// scheduleRestarts lets the router forget what it was sent, and the fences that it has seen.
func (s *sim) scheduleRestarts() {
	for range s.restarts() {
		s.at(s.now.Add(between(s.rng, 0, 60*time.Second)), func() {
			r := s.router
			if r.does == nil {
				return
			}
			s.cover("router: restarted")
			s.trace("restart", "lb", "")
			forgotten := routing.TrafficSplit{NewWeight: -1, OldWeight: -1}
			for _, b := range r.does.Backends {
				forgotten.Backends = append(forgotten.Backends, routing.Backend{Target: b.Target, Weight: 100})
			}
			r.do(forgotten)
			if r.plain {
				r.start(s)
			}
			r.highest, r.forgotAt = 0, s.now
		})
	}
}

func (s *sim) restarts() int {
	if s.router == nil {
		return 0
	}
	return s.router.restarts
}

// checkDriftNoticed wants what a restart has undone to be noticed within one interval of looking, unless the router could not
// be read.
func (s *sim) checkDriftNoticed() {
	r := s.router
	if r == nil || r.forgotAt.IsZero() || s.liveBook.confirmed == nil || s.routing != 0 || s.live.Deployment.Progress.Router.Reading ||
		r.doesAs(s.liveBook.confirmed) {
		return
	}
	since := Later(Later(r.forgotAt, r.unreadAt), s.adoptedAt)
	if s.now.Sub(since) > simInterval+s.live.Deployment.Spec.Traffic.Timeout.Std()+time.Second {
		s.violate("the router forgot at %s what it was sent, and was not read", r.forgotAt.Sub(simStart))
	}
}

// simInterval is how often a router is read at least.
const simInterval = 10 * time.Second

// written is a write on its way to the router.
type written struct {
	call  routing.Call
	epoch int64
	// late is true for a write that an owner sends after it has been declared dead.
	late bool
}

// write puts a write on the wire.
func (s *sim) write(c written) {
	r := s.router
	m := pick(s.rng, r.moods...)
	switch {
	case r.gone(s.now):
		m = routerAway
		s.cover("router: away for a while")
	case r.stiff > 0 && c.call.Setting.NewWeight >= r.stiff:
		m = routerRefuses
	case r.shy && c.call.Attempt == 1:
		m = routerMute
	}
	s.cover("router: " + string(m))
	s.trace("write", "lb", "%d:%d %q %v attempt %d fence %d → %s (late %t)", c.call.Setting.NewWeight, c.call.Setting.OldWeight,
		c.call.Setting.ActiveSlot, c.call.Setting.Backends, c.call.Attempt, s.nth("lb", c.call.Fence), m, c.late)
	travel := s.travel()
	if m == routerAway {
		s.answerRoute(c, travel, unread(rollout.ResultNotSent, "connection refused"))
		return
	}
	s.at(s.now.Add(travel), func() {
		if c.epoch == s.epoch || c.late || chance(s.crashRng, 0.5) { // else the wire did not carry it to its end
			s.writeArrives(c, m)
		}
	})
}

// writeArrives is the moment in which the router gets a write.
func (s *sim) writeArrives(c written, m routerMood) {
	left := max(c.call.Deadline.Sub(s.now), 0)
	lost := unread(rollout.ResultUnknown, "no answer: "+string(m))
	switch m {
	case routerSlow:
		took := between(s.rng, 0, left*5/4)
		s.at(s.now.Add(took), func() { s.answerRoute(c, 0, s.treatWrite(c, routerObeys)) })
		return
	case routerHangs:
		if chance(s.rng, 0.5) {
			s.at(s.now.Add(between(s.rng, 0, 2*left)), func() { s.treatWrite(c, routerObeys) })
		}
		s.answerRoute(c, left, lost)
		return
	case routerMute:
		s.treatWrite(c, routerObeys)
		s.answerRoute(c, left, lost)
		return
	}
	s.answerRoute(c, s.travel(), s.treatWrite(c, m))
}

func unread(kind rollout.ResultKind, message string) rollout.Outcome {
	return rollout.Outcome{Result: rollout.CallResult{Kind: kind, Message: message}}
}

// treatWrite is what the router does with a write, and what is answered.
func (s *sim) treatWrite(c written, m routerMood) rollout.Outcome {
	r := s.router
	if c.call.Fence < r.highest {
		if r.remembers {
			s.cover("router: late write refused by its fence")
			return unread(rollout.ResultFenced, "409: newer fence")
		}
		r.muddled = true
	}
	if newer := s.stored.Deployment.Progress.Router; newer != nil && newer.Fence > c.call.Fence && c.call.Fence > r.highest {
		r.muddled = true // the write that would have raised its fence has not arrived: nothing could have stopped this one
	}
	r.highest = max(r.highest, c.call.Fence)
	if m == routerErrs || m == routerObeys {
		r.lift(&c.call)
	}
	switch m {
	case routerRefuses:
		return unread(rollout.ResultRefused, "400: not this one")
	case routerHalf:
		r.do(half(r.does, &c.call.Setting))
		return unread(rollout.ResultRefused, "400: in the middle")
	case routerFenceOff:
		return unread(rollout.ResultFenced, "409")
	case routerBusy:
		o := unread(rollout.ResultRetry, "503")
		o.Result.RetryAfter = pick(s.rng, 0, 700*time.Millisecond, 3*time.Second)
		return o
	case routerErrs:
		r.do(c.call.Setting)
		return unread(rollout.ResultRetry, "500")
	case routerObeys:
		r.do(c.call.Setting)
	}
	return s.readBack(c)
}

func (r *simRouter) do(setting routing.TrafficSplit) {
	r.does, r.forgotAt = &setting, time.Time{}
	r.hold()
	r.steps++
}

// half is a setting of which only the first targets were changed.
func half(was, wanted *routing.TrafficSplit) routing.TrafficSplit {
	mixed := *wanted
	mixed.NewWeight, mixed.OldWeight = -1, -1
	mixed.Backends = append([]routing.Backend(nil), wanted.Backends...)
	for i := len(mixed.Backends) / 2; i < len(mixed.Backends) && was != nil; i++ {
		mixed.Backends[i] = was.Backends[i]
	}
	return mixed
}

// readBack is what comes of a write that was answered with 200: where it can be read, with what the router reports.
func (s *sim) readBack(c written) rollout.Outcome {
	r := s.router
	done := unread(rollout.ResultDone, "200")
	switch {
	case !r.readBack:
	case r.gone(s.now) || !s.steady && chance(s.rng, 0.05):
		s.cover("router: written, but not read back")
		return unread(rollout.ResultUnknown, "written, but not read back")
	default:
		done.Reading = r.reading(&s.stored.Deployment)
		s.cover(map[bool]string{true: "router: read back", false: "router: read back differs"}[s.fits(done.Reading, &c.call.Setting)])
	}
	return done
}

// answerRoute brings an answer to the owner that wrote, if it still lives, at most until the deadline.
func (s *sim) answerRoute(c written, after time.Duration, o rollout.Outcome) {
	at := s.now.Add(after)
	if at.After(c.call.Deadline) {
		at, o = Later(c.call.Deadline, s.now), unread(rollout.ResultUnknown, "timeout")
	}
	o.Action = rollout.Action{Kind: rollout.ActionSetWeights, Target: -1, Check: -1, Route: c.call}
	s.at(at, func() {
		if c.epoch == s.epoch && s.live != nil && s.routing == c.call.Fence {
			s.routing = 0
			s.routed(o)
		}
	})
}

// askRouter asks what the router does.
func (s *sim) askRouter(a rollout.Action) {
	epoch := s.epoch
	s.at(s.now.Add(s.travel()), func() {
		if epoch != s.epoch || s.live == nil {
			return
		}
		o := unread(rollout.ResultUnknown, "no answer")
		o.Action = a
		if r := s.router; r.readBack && !r.gone(s.now) && (s.steady || chance(s.rng, 0.97)) {
			o.Result, o.Reading = rollout.CallResult{}, r.reading(&s.stored.Deployment)
		} else {
			r.unreadAt = s.now
		}
		s.cover(map[bool]string{true: "router: asked, agrees", false: "router: asked, does not agree"}[o.Reading != nil && s.fits(o.Reading, &a.Route.Setting)])
		s.routed(o)
	})
}
