package strategy_test

import (
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

// book is what the simulation notes of the router, beside the planner's own notes and never read by it. It is stored and
// lost together with the deployment.
type book struct {
	fence    int64
	ids      map[string]routing.TrafficSplit // what was written under an id, by any owner
	attempts map[string]int
	last     string // the id of the newest write
	// failed counts the answers in a row that the newest setting got and that were not good.
	failed   int
	earliest time.Time
	// doubt is set while it is unknown what the newest write did.
	doubt bool
	// drifted is set while what was confirmed is known to be undone.
	drifted bool
	// held is the target that the router was seen to keep out by an operator's hand, -1 for none; heldBy is how.
	held   int
	heldBy string
	// confirmed is the setting that the router is known to do, since at.
	confirmed *routing.TrafficSplit
	at        time.Time
}

// routed hands in what came of an action on the router.
func (s *sim) routed(o rollout.Outcome) {
	d := &s.live.Deployment
	s.foreseeRoute(o)
	if s.crashHere("after a router's answer, before it is stored") {
		return
	}
	events := lifecycle.ApplyResult(s.live, o, s.now)
	s.trace("outcome", "lb", "%s %s read %+v", o.Action.Kind, o.Result.Kind, o.Reading)
	s.events = append(s.events, events...)
	s.checkConfirmed(d)
	s.notice()
}

// foreseeRoute notes what an answer means before the planner gets to see it.
func (s *sim) foreseeRoute(o rollout.Outcome) {
	b := &s.liveBook
	sent := o.Action.Route.Setting
	if o.Action.Kind == rollout.ActionReadWeights {
		s.foreseeReading(o)
		return
	}
	answer := o.Result.Kind
	if o.Reading != nil {
		if answer == rollout.ResultDone && !s.fits(o.Reading, &sent) {
			answer = rollout.ResultRetry
		}
		b.held, b.heldBy = s.router.held, s.router.heldBy
	}
	s.cover("router answer: " + string(answer))
	switch answer {
	case rollout.ResultDone, rollout.ResultAccepted:
		b.confirmed, b.at, b.doubt, b.failed = &sent, s.now, false, 0
		return
	case rollout.ResultNotSent:
	case rollout.ResultUnknown:
		b.confirmed, b.doubt = nil, true
	default:
		b.confirmed = nil
	}
	b.failed++
	b.earliest = s.now.Add(max(s.live.Deployment.Spec.Traffic.Backoff.Std(), o.Result.RetryAfter))
}

// foreseeReading notes what a reading means: it settles a doubt where it reports everything, and else what was confirmed may be undone.
func (s *sim) foreseeReading(o rollout.Outcome) {
	b := &s.liveBook
	if o.Action.Route.Fence != b.fence {
		return // it was read before the newest write
	}
	known := o.Reading != nil
	if known {
		b.held, b.heldBy = s.router.held, s.router.heldBy
	}
	switch {
	case !known && len(b.ids) == 0: // before the first write that is a failure like any other
		b.earliest = s.now.Add(s.live.Deployment.Spec.Traffic.Backoff.Std())
	case known && b.doubt:
		if sent := b.ids[b.last]; o.Reading.Backends != nil && s.fits(o.Reading, &sent) {
			b.confirmed, b.at, b.failed = &sent, s.now, 0
		}
	case known && b.confirmed != nil && !s.fits(o.Reading, b.confirmed):
		s.cover("router: drift was noticed")
		b.confirmed, b.drifted = nil, true
	}
	b.doubt = false
}

// checkConfirmed wants the planner to hold for true what the answers say, and the API to show it.
func (s *sim) checkConfirmed(d *rollout.Deployment) {
	r, b := d.Progress.Router, &s.liveBook
	switch {
	case (r.Applied == nil) != (b.confirmed == nil) || r.Applied != nil && !r.Applied.Equal(b.confirmed):
		s.violate("the router is held to do %v, and has confirmed %v", r.Applied, b.confirmed)
	case r.Applied != nil && d.Progress.Weight != r.Applied.NewWeight:
		s.violate("the router does %d %%, and the deployment says %d", r.Applied.NewWeight, d.Progress.Weight)
	case r.Applied != nil && !r.InFlight && s.router.truthful() && s.router.forgotAt.IsZero() && !s.router.doesAs(r.Applied):
		s.violate("the router is held to do %+v, and does %+v", *r.Applied, s.router.does)
	}
}

// beginRoute writes an action on the router down in the owner's memory.
func (s *sim) beginRoute(before *rollout.Deployment, a rollout.Action) rollout.Action {
	complete, events := lifecycle.StartRouterAction(&s.live.Deployment, a, s.now)
	s.events = append(s.events, events...)
	if a.Kind == rollout.ActionSetWeights {
		s.checkWrite(before, &complete.Route, events)
		return complete
	}
	if !before.Spec.Traffic.Readable() || len(events) > 0 {
		s.violate("the router is read, readable %t, with %d events", before.Spec.Traffic.Readable(), len(events))
	}
	return complete
}

// checkWrite holds a write that is about to be written down against everything known before.
func (s *sim) checkWrite(before *rollout.Deployment, c *routing.Call, events []rollout.Event) {
	b := &s.liveBook
	known, repeated := b.ids[c.WebhookID]
	spec := before.Spec.Traffic
	switch {
	case len(events) != 1 || events[0].Type != rollout.EventTrafficIntent || events[0].Call.Fence != c.Fence || events[0].Call.WebhookID != c.WebhookID:
		s.violate("a write without its intent")
	case before.Progress.Router != nil && before.Progress.Router.InFlight || s.routing != 0:
		s.violate("a second write while one is out")
	case c.Fence <= b.fence:
		s.violate("the router's fence %d after %d", c.Fence, b.fence)
	case repeated && !known.Equal(&c.Setting):
		s.violate("two settings with the id %s", c.WebhookID)
	case b.last != "" && !b.drifted && b.last != c.WebhookID && sameSetting(b.ids[b.last], c.Setting):
		s.violate("the same setting goes out again under another id")
	case c.Attempt <= b.attempts[c.WebhookID] || !repeated && c.Attempt != 1:
		s.violate("attempt %d at a write after %d", c.Attempt, b.attempts[c.WebhookID])
	case s.now.Before(b.earliest):
		s.violate("written before %s", b.earliest.Sub(simStart))
	case !c.Deadline.Equal(s.now.Add(spec.Timeout.Std())):
		s.violate("a write until %s", c.Deadline)
	case !before.Operator.Abort && (before.Operator.Pause || before.NeedsApproval()):
		s.violate("a write while it is paused")
	case waitsForOperator(before) && before.Spec.Strategy.Type != "rolling" && c.Setting.NewWeight > before.Progress.Weight && s.oldSideServes(before):
		s.violate("the new side gets %d %% after %d %%, and a person is waited for", c.Setting.NewWeight, before.Progress.Weight)
	case b.confirmed.Equal(&c.Setting):
		s.violate("the router does so already")
	case repeated && before.Direction == rollout.Forward && before.Stop == rollout.StopNone && before.Progress.Gate == 0 &&
		!before.Operator.Abort && b.failed > spec.Retries:
		s.violate("written again after %d failures, %d retries", b.failed, spec.Retries)
	}
	if repeated {
		s.cover("router: sent again")
	} else {
		b.failed = 0
	}
	b.fence, b.doubt, b.drifted = c.Fence, false, false
	b.last = c.WebhookID
	b.ids[c.WebhookID], b.attempts[c.WebhookID] = c.Setting, c.Attempt
	s.checkSetting(before, &c.Setting)
}

// oldSideServes reports whether a target of the old side could take traffic: else all of it goes to the new one.
func (s *sim) oldSideServes(before *rollout.Deployment) bool {
	for i := range s.live.Targets {
		if !s.onNewSide(i) && !s.given(i) && !s.exposes(before, i) && !s.liveShadow[i].out {
			return true
		}
	}
	return false
}

// waitsForOperator reports whether the deployment has stopped by itself until an operator continues it.
func waitsForOperator(d *rollout.Deployment) bool {
	return (d.Progress.Gate > 0 || d.Stop == rollout.StopPaused) && !d.Operator.Pause && !d.Operator.Abort && !d.NeedsApproval()
}

// mayMoveTraffic reports whether a deployment that waits for a person could write to its router now.
func (s *sim) mayMoveTraffic(before *rollout.Deployment, d *rollout.Decision) bool {
	r := before.Progress.Router
	return !d.Replan && waitsForOperator(before) && r != nil && !r.InFlight && !r.Reading && s.liveBook.confirmed != nil &&
		!s.now.Before(r.NotBefore) && !s.inPlace() && r.RetriesUsed <= before.Spec.Traffic.Retries
}

// checkShareHeld wants the new side to have no more than it has earned while a person is waited for, as far as the old side
// can take the rest.
func (s *sim) checkShareHeld(before *rollout.Deployment, d *rollout.Decision) {
	if !s.mayMoveTraffic(before, d) || before.Direction != rollout.Forward || before.Spec.Strategy.Type == "rolling" ||
		before.Kind == rollout.KindRollback || !s.oldSideServes(before) {
		return
	}
	wave, earned := before.Progress.Wave, 0
	open, lost, size := 0, 0, 0
	for i := range s.live.Targets {
		t := &s.live.Targets[i]
		if t.Wave != wave {
			continue
		}
		size++
		switch {
		case !t.Done():
			open++
		case !s.onNewSide(i):
			lost++
		}
	}
	switch {
	case !before.Progress.WaveSettledAt.IsZero(), open == 0 && (lost < size || size == 0 || before.Stop != rollout.StopPaused):
		earned = before.Spec.Waves[wave-1].Weight
	case wave > 1:
		earned = before.Spec.Waves[wave-2].Weight
	}
	if w := before.Spec.Waves[wave-1]; open > 0 && w.Parallel < w.Size {
		earned += s.earned(before, w, earned) // in parts
	}
	if s.liveBook.confirmed.NewWeight <= earned {
		return
	}
	s.cover("router: more than was earned while a person is waited for")
	if !slices.ContainsFunc(d.Actions, movesTraffic) {
		s.violate("the new side keeps %d %%, has earned %d, and a person is waited for", s.liveBook.confirmed.NewWeight, earned)
	}
}

// checkUnhealthyLeaves wants a target that has been given up to lose its traffic while a person is waited for, too.
func (s *sim) checkUnhealthyLeaves(before *rollout.Deployment, d *rollout.Decision) {
	b := &s.liveBook
	if !s.mayMoveTraffic(before, d) {
		return
	}
	unhealthy, well := "", false
	for i, at := range b.confirmed.Backends {
		if s.given(i) && at.Weight > 0 && i != b.held {
			unhealthy = at.Target
		}
		well = well || !s.given(i) && !s.liveShadow[i].out && !s.exposes(before, i) && at.Weight > 0
	}
	if unhealthy == "" || !well {
		return
	}
	s.cover("router: unhealthy while an operator is waited for")
	if !slices.ContainsFunc(d.Actions, movesTraffic) {
		s.violate("%s has been given up, and keeps its traffic while an operator is waited for", unhealthy)
	}
}

func sameSetting(a, b routing.TrafficSplit) bool { return a.Equal(&b) }

// adoptBook is what a new owner knows of the router.
func (s *sim) adoptBook() {
	s.liveBook = s.storedBook.clone()
	s.routing = 0
	if r := s.stored.Deployment.Progress.Router; r != nil && r.InFlight {
		s.liveBook.doubt, s.liveBook.confirmed = true, nil
		s.cover("router: adopted a write without an answer")
	}
}

func (b *book) clone() book {
	c := *b
	c.ids, c.attempts = map[string]routing.TrafficSplit{}, map[string]int{}
	for id, setting := range b.ids {
		c.ids[id] = setting
	}
	for id, n := range b.attempts {
		c.attempts[id] = n
	}
	return c
}

// cutRoute gives up the write in flight.
func (s *sim) cutRoute() {
	r := s.live.Deployment.Progress.Router
	if s.routing == 0 || r == nil || !r.InFlight {
		return
	}
	s.routing = 0
	s.cover("router: cut")
	action := rollout.Action{Kind: rollout.ActionSetWeights, Target: -1, Check: -1, Route: *r.Sent}
	s.at(s.now, func() {
		if s.live != nil {
			s.routed(rollout.Outcome{Action: action, Result: rollout.CallResult{Kind: rollout.ResultUnknown, Message: "cut"}})
		}
	})
}

// movesTraffic reports whether an action moves traffic, or reads the router first, as a new owner does.
func movesTraffic(a rollout.Action) bool {
	return a.Kind == rollout.ActionSetWeights || a.Kind == rollout.ActionReadWeights
}
