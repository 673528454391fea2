package strategy_test

import (
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// shadow is the simulation's own book about one target, kept beside the planner's and never read by it. It is stored
// and lost together with the target.
type shadow struct {
	fence   int64
	attempt map2[int]
	webhook map2[string]
	calls   map2[int]
	final   map2[bool] // refused: never to be sent again
	notSent int
	// lost is set while the newest call has no answer and the target has not been asked since.
	lost    bool
	adopted int
	raised  bool // its 409 was answered with a higher fence
	// taken is set once it is known that the target took the newest call: it said so, or says that it runs what it should.
	taken bool
	// earliest is when the next call may be made.
	earliest  map2[time.Time]
	out       bool
	hung      bool // a call held up no other on the way back, since it was taken out
	settledAt time.Time
	previous  string
	// generation grows with each call and each answer; seen counts, per check, passing probes in a row within it (failing
	// ones below zero), passed is what that makes of the check, and said is the version that it last reported.
	generation int
	seen       [4]int
	passed     [4]bool
	// unknownSince is since when, per check, nothing is known; zero when the newest result says something.
	unknownSince [4]time.Time
	said         string
}

// map2 holds one value for each of the two actions, and is copied with its owner.
type map2[T any] [2]T

func (m *map2[T]) of(a rollout.CallAction) *T {
	if a == rollout.CallRollback {
		return &m[1]
	}
	return &m[0]
}

func (sh *shadow) touched() bool { return sh.calls[0]+sh.calls[1] > sh.notSent }

func (sh *shadow) renew() {
	sh.generation++
	sh.seen, sh.passed, sh.said, sh.unknownSince = [4]int{}, [4]bool{}, "", [4]time.Time{}
}

// look counts what a probe saw.
func (sh *shadow) look(spec *rollout.Spec, check int, o healthcheck.ProbeResult, wanted string, now time.Time) {
	sh.lost = false
	if o.Status == healthcheck.Unknown {
		sh.seen[check] = min(sh.seen[check], 0)
		if sh.unknownSince[check].IsZero() {
			sh.unknownSince[check] = now
		}
		return
	}
	sh.unknownSince[check] = time.Time{}
	sh.taken = sh.taken || o.Version != "" && o.Version == wanted
	passes := o.Status.Passing() && (spec.Checks[check].VersionPointer == "" || o.Version == wanted || wanted == "")
	if passes {
		sh.seen[check] = max(sh.seen[check], 0) + 1
	} else {
		sh.seen[check] = min(sh.seen[check], 0) - 1
	}
	switch {
	case sh.seen[check] >= spec.Checks[check].HealthyThreshold:
		sh.passed[check] = true
	case -sh.seen[check] >= spec.Checks[check].UnhealthyThreshold:
		sh.passed[check] = false
	}
	if o.Version != "" {
		sh.said = o.Version
	}
}

// foresee notes what an answer means before the planner gets to see it.
func (s *sim) foresee(o rollout.Outcome) {
	if o.Action.Kind != rollout.ActionCall {
		return
	}
	sh, spec := &s.liveShadow[o.Action.Target], s.live.Deployment.Spec.ForTarget(&s.live.Targets[o.Action.Target])
	action := o.Action.Call.Action
	sh.renew()
	s.cover("answer: " + string(o.Result.Kind))
	switch o.Result.Kind {
	case rollout.ResultDone, rollout.ResultAccepted:
		sh.taken = true
	case rollout.ResultRefused, rollout.ResultFenced:
		if s.turnedDownAtWork(o) {
			return
		}
		named := o.Result.Fence >= o.Action.Call.Fence
		if o.Result.Kind == rollout.ResultFenced && !sh.raised && (named || sh.calls[0]+sh.calls[1]-sh.notSent <= 1) {
			sh.raised, sh.lost = true, true
			sh.adopted++ // one call more
			s.cover("answered with a higher fence")
			return
		}
		*sh.final.of(action) = true
	case rollout.ResultNotSent:
		sh.notSent++
		*sh.earliest.of(action) = s.now.Add(spec.Deploy.Backoff.Std())
	case rollout.ResultRetry:
		if s.turnedDownAtWork(o) {
			return
		}
		*sh.earliest.of(action) = s.now.Add(max(spec.Deploy.Backoff.Std(), o.Result.RetryAfter))
	case rollout.ResultUnknown:
		sh.lost = true
		*sh.earliest.of(action) = s.now.Add(o.Result.RetryAfter)
	}
}

// turnedDownAtWork sees a target turn a call down because an earlier one of this deployment is at work: nothing follows from
// that but that it is asked.
func (s *sim) turnedDownAtWork(o rollout.Outcome) bool {
	doubt := s.live.Targets[o.Action.Target].History.InDoubt
	status := o.Result.Status
	if !doubt || status != 423 && status != 429 && (o.Result.Kind != rollout.ResultFenced || o.Result.Fence > 0) {
		return false
	}
	sh := &s.liveShadow[o.Action.Target]
	sh.lost = true
	*sh.earliest.of(o.Action.Call.Action) = s.now.Add(o.Result.RetryAfter)
	s.cover("turned down while at work")
	return true
}

// intend notes a call that is being written down.
func (sh *shadow) intend(now time.Time, c *rollout.Call, back bool) {
	sh.fence = c.Fence
	*sh.attempt.of(c.Action) = c.Attempt
	*sh.webhook.of(c.Action) = c.WebhookID
	*sh.calls.of(c.Action)++
	sh.lost, sh.taken, sh.out = false, false, true
	if !back && sh.previous == "" {
		sh.previous = c.PreviousVersion
	}
	sh.renew()
}

// observeEvent reads an event as a person would: it says when a target is out of service and when it has its outcome.
func (s *sim) observeEvent(index int, e *rollout.Event) {
	sh := &s.liveShadow[index]
	switch e.Type {
	case rollout.EventTargetVerified:
		s.checkVerified(index)
		sh.out, sh.hung = false, false
	case rollout.EventTargetFailed:
		sh.out, sh.hung = false, false
	case rollout.EventTargetUnhealthy:
		s.checkGiveUpReason(index)
		return
	default:
		return
	}
	if sh.settledAt.IsZero() {
		sh.settledAt = s.now
	}
}

// restartUnknown lets a new owner count again from the beginning for how long nothing is known.
func (sh *shadow) restartUnknown(now time.Time) {
	for c := range sh.unknownSince {
		if !sh.unknownSince[c].IsZero() {
			sh.unknownSince[c] = now
		}
	}
}
