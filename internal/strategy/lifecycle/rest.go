package lifecycle

import (
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
)

const (
	// restingRetryPause is how long a router at rest is left alone that has failed as often as the deployment allows.
	restingRetryPause = 15 * time.Minute
	// restingBackoff is the wait after a router at rest was set again. It doubles, up to restCalm, with each time within restCalm:
	// others may set the router, too.
	restingBackoff = 5 * time.Second
	restingQuiet   = time.Hour
	// maxRestingDoublings keeps the wait from overflowing.
	maxRestingDoublings = 10
)

// RestingDecision is what comes of reading a router at rest.
type RestingDecision struct {
	Resting storage.RestingRouter
	Events  []rollout.Event
	// Write is the write that is to be made, complete; nil when there is none.
	Write *rollout.Action
}

// PlanResting compares a router with what the deployment in s has left, and begins a write where that was forgotten. before
// is what was known, nil for nothing; a write that is open in it was another owner's. What people keep out of rotation
// stays out, and nothing is written when no target would serve afterwards. s is not changed.
func PlanResting(s *rollout.Snapshot, before *storage.RestingRouter, reading *routing.Reading, now time.Time) RestingDecision {
	resting := restingOf(s, before)
	d := s.Deployment
	d.Progress.Router = &resting.Router
	look := RestingDecision{Resting: resting, Events: markRouterInDoubt(&d, now)}
	look.Resting.Error, look.Resting.Failures = "", 0
	r := RouterOf(&d)
	d.Progress.Router = &r
	want := desiredAtRest(s, reading)
	if want != nil {
		findLostByRestart(&r, want, reading)
	}
	noteReading(&r, reading, now)
	if want != nil {
		look.decideWrite(&d, want, reading, now)
	}
	look.Resting.Router = *d.Progress.Router
	return look
}

// RestingUnreadable returns what is known of a router at rest that could not be read; why says that in words.
func RestingUnreadable(s *rollout.Snapshot, before *storage.RestingRouter, why string) storage.RestingRouter {
	resting := restingOf(s, before)
	resting.Error = why
	resting.Failures++
	return resting
}

// ApplyRestingResult records what came of the write that a Look began.
func ApplyRestingResult(s *rollout.Snapshot, resting storage.RestingRouter, o rollout.Outcome, now time.Time) (storage.RestingRouter, []rollout.Event) {
	snapshot := *s
	d := &snapshot.Deployment
	d.Progress.Router = &resting.Router
	events := applyRoute(&snapshot, o, now)
	r := RouterOf(d)
	d.Progress.Router = &r
	switch {
	case r.Applied != nil:
		for i := range events {
			events[i].Type = rollout.EventTrafficRestored
		}
		backOffRestore(&resting, &r, now)
	case r.RetriesUsed > d.Spec.Traffic.Retries:
		r.NotBefore = Later(r.NotBefore, now.Add(restingRetryPause))
	}
	resting.Router = r
	return resting, events
}

// restingOf returns what is known of the router that the deployment in s has left.
func restingOf(s *rollout.Snapshot, before *storage.RestingRouter) storage.RestingRouter {
	left := RouterOf(&s.Deployment)
	if before == nil {
		left.NotBefore, left.RetriesUsed, left.FenceRaised, left.InFlight = time.Time{}, 0, false, false
		return storage.RestingRouter{Router: left}
	}
	resting := *before
	resting.Router.Fence = max(resting.Router.Fence, left.Fence)
	return resting
}

// desiredAtRest returns what the router should do: what the deployment has left. Of a router that operators change by hand that is which targets
// serves, and the weights that the request names: another weight is theirs. nil when that is not known.
func desiredAtRest(s *rollout.Snapshot, reading *routing.Reading) *routing.TrafficSplit {
	left := s.Deployment.Progress.Router
	if left == nil || left.Applied == nil || left.Sent == nil {
		return nil
	}
	want := *left.Applied
	if reading.Weights != nil || want.NewWeight > 0 && want.OldWeight > 0 {
		return &want
	}
	named := map[string]bool{}
	for i := range s.Targets {
		named[s.Targets[i].ID] = s.Targets[i].Weight > 0
	}
	read := WeightsByTarget(backendsRead(reading))
	want.Backends = slices.Clone(want.Backends)
	for i := range want.Backends {
		if b := &want.Backends[i]; b.Weight > 0 && read[b.Target] > 0 && !named[b.Target] {
			b.Weight = read[b.Target]
		}
	}
	return &want
}

func backendsRead(reading *routing.Reading) []routing.Backend {
	list := make([]routing.Backend, len(reading.Backends))
	for i, b := range reading.Backends {
		list[i] = routing.Backend{Target: b.Target, Weight: b.Weight}
	}
	return list
}

// findLostByRestart finds the targets that are out because the router's process is another one, and not by hand: all who should serve are, and
// were not before. Rollcall may restore them.
func findLostByRestart(r *routing.State, want *routing.TrafficSplit, reading *routing.Reading) {
	if r.Instance == "" || reading.Instance == "" || r.Instance == reading.Instance {
		return
	}
	serve := WeightsByTarget(want.Backends)
	var out []string
	for _, b := range reading.Backends {
		switch {
		case serve[b.Target] == 0:
		case b.Weight != 0 || b.HeldBy != "" || HeldBy(r, b.Target) != "":
			return
		case !slices.Contains(r.TakenOut, b.Target):
			out = append(out, b.Target)
		}
	}
	r.TakenOut = append(slices.Clone(r.TakenOut), out...)
}

// decideWrite settles what was open when the router does what is wanted, and else begins a write.
func (l *RestingDecision) decideWrite(d *rollout.Deployment, want *routing.TrafficSplit, reading *routing.Reading, now time.Time) {
	r := d.Progress.Router
	r.Differs = RouterDifference(d, want, reading)
	switch {
	case r.Differs == "" && r.Applied == nil:
		confirmWrite(d, r, now)
		l.Events = append(l.Events, trafficEvent(rollout.EventTrafficRestored, d, r.Sent, now, "the router reports the expected weights"))
		backOffRestore(&l.Resting, r, now)
	case r.Differs == "" || now.Before(r.NotBefore) || !leavesServing(r, want, reading):
	default:
		l.startWrite(d, want, now)
	}
}

// leavesServing reports whether a target serves after the write.
func leavesServing(r *routing.State, want *routing.TrafficSplit, reading *routing.Reading) bool {
	weights := WeightsByTarget(want.Backends)
	return reading.Weights != nil || slices.ContainsFunc(reading.Backends, func(b routing.BackendReading) bool {
		return weights[b.Target] > 0 && (b.Serving || slices.Contains(r.TakenOut, b.Target))
	})
}

// startWrite writes down that the setting is written again.
func (l *RestingDecision) startWrite(d *rollout.Deployment, want *routing.TrafficSplit, now time.Time) {
	r := d.Progress.Router
	if r.Applied != nil {
		l.Events = append(l.Events, trafficEvent(rollout.EventTrafficDrifted, d, r.Sent, now, "the router has drifted since the deployment ended: it reports "+r.Differs))
		r.Applied, r.Drifted = nil, true
	}
	action, events := StartRouterAction(d, rollout.Action{
		Kind: rollout.ActionSetWeights, Target: -1, Check: -1, Route: routing.Call{Setting: *want, Baseline: r.Baseline},
	}, now)
	l.Events, l.Write = append(l.Events, events...), &action
}

// backOffRestore makes what is set again and again wait for longer each time.
func backOffRestore(resting *storage.RestingRouter, r *routing.State, now time.Time) {
	if now.After(r.NotBefore.Add(restingQuiet)) {
		resting.Restores = 0
	}
	resting.Restores++
	r.NotBefore = now.Add(min(restingBackoff<<min(resting.Restores-1, maxRestingDoublings), restingQuiet))
}
