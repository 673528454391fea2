package strategy_test

import (
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// mood is how a simulated target treats one call.
type mood string

const (
	answers     mood = "answers"
	slow        mood = "is slow"
	hangs       mood = "hangs"
	resets      mood = "resets the connection"
	losesAnswer mood = "does it, the answer is lost"
	busy        mood = "429 with Retry-After"
	proxied     mood = "504 of a proxy while the work continues"
	broken      mood = "500, perhaps done"
	refuses     mood = "400"
	fencedOff   mood = "409"
	unreachable mood = "connection refused"
	lies        mood = "200, nothing done"
	accepts     mood = "202, done later"
)

func moods() []mood {
	return []mood{
		answers, slow, hangs, resets, losesAnswer, busy, proxied, broken, refuses, fencedOff, unreachable, lies, accepts,
	}
}

// simTarget is what really runs somewhere. It knows nothing of the planner.
type simTarget struct {
	id, initial, want string
	running           string
	moods             []mood
	// stubborn targets treat a rollback like a deploy; others simply do it.
	stubborn bool
	// remembers the highest fence seen, and refuses lower ones.
	remembers bool
	highest   int64
	// ahead targets have seen a higher fence than anyone remembers.
	ahead bool
	// workEnds is when the work of its newest call ends, workDue when it must; locks turns calls down until it has ended.
	workEnds, workDue time.Time
	locks             bool
	// leftBehind is the version that the work of an earlier deployment ends with; empty when there is none.
	leftBehind string
	boot       time.Duration
	bootUntil  time.Time
	// badOn is the version on which it never gets healthy.
	badOn string
	// unhealthyAfter is how long after its start the new version becomes unhealthy.
	unhealthyAfter time.Duration
	unhealthyAt    time.Time
	flaps          float64 // share of probes that fail by chance
	mute           float64 // share of probes that get no answer
	silent         bool    // it does not report its version when the deployment is created
	// arrivals counts calls that came in: the newest one wins over what an older one still has to do.
	arrivals int
	// muddled is set when a late call was carried out that nothing could have stopped: nothing is promised of it then.
	muddled bool
}

// honest reports whether a 2xx of the target means what it says.
func (w *simTarget) honest() bool {
	for _, m := range w.moods {
		if m == lies || m == accepts || m == broken || m == proxied || m == hangs || m == resets || m == losesAnswer {
			return false
		}
	}
	return true
}

func (w *simTarget) run(version string, now time.Time) {
	w.running, w.bootUntil, w.unhealthyAt = version, now.Add(w.boot), time.Time{}
	if w.unhealthyAfter > 0 && version == newVersion {
		w.unhealthyAt = w.bootUntil.Add(w.unhealthyAfter)
	}
}

func (w *simTarget) healthy(now time.Time) bool {
	unhealthy := !w.unhealthyAt.IsZero() && !now.Before(w.unhealthyAt)
	return !now.Before(w.bootUntil) && !unhealthy && w.running != w.badOn
}

// sent is a call on its way.
type sent struct {
	index int
	call  rollout.Call
	epoch int64
	back  bool
	// began is when it was made, and due when its time is over.
	began, due time.Time
	// late is true for a call that an owner sends after it has been declared dead.
	late bool
}

// scheduleLeftBehind lets the work of earlier deployments end.
func (s *sim) scheduleLeftBehind() {
	for _, w := range s.world {
		if w.leftBehind != "" {
			s.at(w.workEnds, func() {
				w.run(w.leftBehind, s.now)
				w.initial = w.leftBehind
				s.cover("the work of an earlier deployment ends")
			})
		}
	}
}

// send puts a call on the wire: it may arrive, be answered, both, or neither.
func (s *sim) send(c sent) {
	w := s.world[c.index]
	c.began = s.now
	c.due = Earlier(c.call.Deadline, s.now.Add(s.stored.Deployment.Spec.ForDirection(&s.stored.Targets[c.index], c.back).Deploy.Timeout.Std()))
	m := pick(s.rng, w.moods...)
	if c.back && !w.stubborn {
		m = answers
	}
	s.cover("mood: " + string(m))
	s.sentFence[c.index] = max(s.sentFence[c.index], c.call.Fence)
	s.trace("send", w.id, "%s attempt %d fence %d → %s (late %t)", c.call.Action, c.call.Attempt, s.nth(w.id, c.call.Fence), m, c.late)
	travel := s.travel()
	if m == unreachable {
		s.answer(c, travel, rollout.CallResult{Kind: rollout.ResultNotSent, Message: "connection refused"})
		return
	}
	s.at(s.now.Add(travel), func() {
		if s.lostWithSender(c) {
			return
		}
		s.arrive(c, w, m)
	})
}

// travel is the time that a message takes; a steady world has a steady network.
func (s *sim) travel() time.Duration {
	if s.steady {
		return 10 * time.Millisecond
	}
	return between(s.rng, time.Millisecond, 60*time.Millisecond)
}

// lostWithSender decides, for a call of an owner that died while it was on its way, whether the wire still carried it.
func (s *sim) lostWithSender(c sent) bool {
	return c.epoch != s.epoch && !c.late && chance(s.crashRng, 0.5)
}

// arrive is the moment in which the target gets the call.
func (s *sim) arrive(c sent, w *simTarget, m mood) {
	s.checkArrival(c, w)
	if c.call.Fence < w.highest {
		if w.remembers {
			s.cover("late call refused by its fence")
			s.answer(c, 0, rollout.CallResult{
				Kind: rollout.ResultFenced, Status: 409, Fence: pick(s.rng, 0, w.highest), Message: "409: newer fence",
			})
			return
		}
		w.muddled = true
	}
	if w.locks && s.now.Before(w.workEnds) {
		s.answer(c, s.travel(), pick(s.rng,
			rollout.CallResult{Kind: rollout.ResultFenced, Status: 409, Message: "409: at work"},
			rollout.CallResult{Kind: rollout.ResultRefused, Status: 423, RetryAfter: time.Second, Message: "423: at work"},
			rollout.CallResult{Kind: rollout.ResultRetry, Status: 429, RetryAfter: time.Second, Message: "429: at work"}))
		return
	}
	if c.late && s.storedShadow[c.index].fence > c.call.Fence {
		w.muddled = true // the call that would have raised its fence never arrived: nothing could have stopped this one
	}
	w.highest = max(w.highest, c.call.Fence)
	w.arrivals++
	s.disturbed = s.disturbed || c.late
	s.treat(c, w, m)
}

func (s *sim) treat(c sent, w *simTarget, m mood) {
	left := max(c.due.Sub(s.now), 0)
	lost := rollout.CallResult{Kind: rollout.ResultUnknown, Message: "no answer: " + string(m)}
	switch m {
	case answers:
		w.run(c.call.Version, s.now)
		s.answer(c, s.travel(), rollout.CallResult{Kind: rollout.ResultDone, Message: "200"})
	case slow:
		took := between(s.rng, 0, left*5/4)
		s.runLater(c, w, took/2)
		if took >= left {
			s.answer(c, left, lost)
			return
		}
		s.answer(c, took, rollout.CallResult{Kind: rollout.ResultDone, Message: "200"})
	case hangs:
		if chance(s.rng, 0.5) {
			s.runLater(c, w, between(s.rng, 0, 2*left))
		}
		s.answer(c, left, lost)
	case resets:
		if chance(s.rng, 0.5) {
			w.run(c.call.Version, s.now)
		}
		s.answer(c, s.travel(), lost)
	case losesAnswer:
		w.run(c.call.Version, s.now)
		s.answer(c, left, lost)
	case proxied:
		took := between(s.rng, 0, left)
		s.work(c, w, took)
		s.at(s.now.Add(took), func() { w.run(c.call.Version, s.now) }) // whatever has come since
		s.answer(c, between(s.rng, 0, took), pick(s.rng,
			rollout.CallResult{Kind: rollout.ResultUnknown, Status: 504, Message: "504"},
			rollout.CallResult{Kind: rollout.ResultUnknown, Status: 503, RetryAfter: 3 * time.Second, Message: "503"}))
	case accepts:
		s.runLater(c, w, between(s.rng, 0, 6*time.Second))
		s.answer(c, s.travel(), rollout.CallResult{Kind: rollout.ResultAccepted, Message: "202"})
	default:
		s.turnDown(c, w, m)
	}
}

// turnDown answers as targets do that will not, or not now, do what they are asked.
func (s *sim) turnDown(c sent, w *simTarget, m mood) {
	a := rollout.CallResult{Kind: rollout.ResultRefused, Message: "400: no such version"}
	switch m {
	case busy:
		wait := pick(s.rng, 0, 700*time.Millisecond, 3*time.Second)
		a = rollout.CallResult{Kind: rollout.ResultRetry, Status: 429, Message: "429", RetryAfter: wait}
	case broken:
		if chance(s.rng, 0.5) {
			w.run(c.call.Version, s.now)
		}
		a = rollout.CallResult{Kind: rollout.ResultUnknown, Status: 500, Message: "500"}
	case fencedOff:
		a = rollout.CallResult{Kind: rollout.ResultFenced, Status: 409, Message: "409"}
	case lies:
		a = rollout.CallResult{Kind: rollout.ResultDone, Message: "200"}
	}
	s.answer(c, s.travel(), a)
}

// runLater starts the version after a while, unless a newer call has come by then.
func (s *sim) runLater(c sent, w *simTarget, after time.Duration) {
	arrival := w.arrivals
	s.work(c, w, after)
	s.at(s.now.Add(after), func() {
		if w.arrivals == arrival {
			// It carries out a call that was given up as lost, and the one that should have undone it never arrived: only
			// the target could know.
			w.muddled = w.muddled || s.now.After(c.due) && max(s.sentFence[c.index], s.storedShadow[c.index].fence) > c.call.Fence
			w.run(c.call.Version, s.now)
			s.trace("runs", w.id, "%s", c.call.Version)
		}
	})
}

// work notes how long a call keeps its target at work.
func (s *sim) work(c sent, w *simTarget, took time.Duration) {
	w.workEnds, w.workDue = s.now.Add(took), c.due
}

// answer brings an answer to the owner that made the call, if it still lives, at most until the deadline.
func (s *sim) answer(c sent, after time.Duration, a rollout.CallResult) {
	at := s.now.Add(after)
	if at.After(c.due) {
		at, a = c.due, rollout.CallResult{Kind: rollout.ResultUnknown, Message: "timeout"}
	}
	a.Began = c.began
	action := rollout.Action{Kind: rollout.ActionCall, Target: c.index, Call: c.call}
	s.at(at, func() {
		if c.epoch == s.epoch && s.live != nil && s.calls[c.index] == c.call.Fence {
			delete(s.calls, c.index)
			s.outcome(rollout.Outcome{Action: action, Result: a})
		}
	})
}

// look sends a probe out. What it sees is what is true when it arrives.
func (s *sim) look(a rollout.Action) {
	if s.stored.Targets[a.Target].Wave == 0 {
		s.violate("%s is probed, and no wave takes it", s.world[a.Target].id)
	}
	spec := s.live.Deployment.Spec.ProbedBy(&s.live.Targets[a.Target])
	w, check := s.world[a.Target], &spec.Checks[a.Check]
	p := probe{a, s.epoch, s.liveShadow[a.Target].generation, spec}
	if chance(s.rng, w.mute) {
		s.at(s.now.Add(check.Timeout.Std()), func() {
			s.observed(p, healthcheck.ProbeResult{Status: healthcheck.Unhealthy, Message: "no answer"})
		})
		return
	}
	away := s.travel()
	s.at(s.now.Add(away), func() {
		o := s.observation(w, check)
		if back := s.travelBack(check); back > 0 {
			s.at(s.now.Add(back), func() { s.observed(p, o) })
			return
		}
		s.observed(p, o)
	})
}

// travelBack is how long an answer to a probe takes: now and then nearly as long as the probe may.
func (s *sim) travelBack(check *healthcheck.Check) time.Duration {
	if s.steady || chance(s.rng, 0.9) {
		return 0
	}
	return between(s.rng, 0, check.Timeout.Std()*3/4)
}

func (s *sim) observation(w *simTarget, check *healthcheck.Check) healthcheck.ProbeResult {
	o := healthcheck.ProbeResult{Status: healthcheck.Healthy, Message: "200"}
	if check.Type == metricType && s.source.away(s.now) {
		s.cover("a metric that cannot be asked")
		return healthcheck.ProbeResult{Status: healthcheck.Unknown, Message: "connection refused"}
	}
	if check.Path != "" && check.Path != w.running {
		s.cover("rules: a version answers elsewhere")
		return healthcheck.ProbeResult{Status: healthcheck.Unhealthy, Message: "404"}
	}
	if !w.healthy(s.now) || chance(s.rng, w.flaps) {
		o.Status, o.Message = healthcheck.Unhealthy, "500"
	} else if !s.steady && chance(s.rng, 0.03) {
		o.Status = healthcheck.Degraded
	}
	if check.VersionPointer != "" && (o.Status.Passing() || chance(s.rng, 0.7)) {
		o.Version = w.running
	}
	return o
}

// probe is one look at a target, by one owner, in one generation of its calls.
type probe struct {
	action     rollout.Action
	epoch      int64
	generation int
	spec       *rollout.Spec // whose check it makes
}

func (s *sim) observed(p probe, o healthcheck.ProbeResult) {
	if p.epoch != s.epoch || s.live == nil {
		return
	}
	t, sh := &s.live.Targets[p.action.Target], &s.liveShadow[p.action.Target]
	if p.generation == sh.generation {
		sh.look(p.spec, p.action.Check, o, t.ExpectedVersion(), s.now)
	} else {
		s.cover("a probe older than the newest call")
	}
	s.outcome(rollout.Outcome{Action: p.action, Probe: o})
}
