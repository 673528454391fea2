package strategy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// routerInterval is how often a router is read whose weights are known.
const routerInterval = 10 * time.Second

// routerFresh is how old a reading may be for a deployment to end on it.
const routerFresh = 5 * time.Second

// watchRouter reads, from time to time, a router that is held to do what it was told: somebody else may have told it
// something else, and a restart forgets.
func (p *planner) watchRouter() {
	r := p.d.Progress.Router
	if !p.spec.Traffic.Readable() || r == nil || r.Applied == nil || r.InFlight || r.Reading || p.out.Status.State.Terminal() {
		return
	}
	if due := later(r.SeenAt.Add(routerInterval), r.LookAt); p.now.Before(due) {
		p.wakeBy(due)
		return
	}
	p.readRouter(r)
}

// readsFirst reports whether the router is to be read before it is written to: by a new owner, whose memory may be older than
// what it does, and where that tells whether a write without an answer was done.
func (p *planner) readsFirst(r *routing.State, want *routing.TrafficSplit) bool {
	return p.spec.Traffic.Readable() && (!r.Seen || r.InDoubt && r.CanConfirm() && r.Sent.Setting.Equal(want))
}

// readRouter asks the router what it does, once in a decision.
func (p *planner) readRouter(r *routing.State) {
	p.wakeBy(p.now.Add(p.spec.Traffic.Timeout.Std() + answerGrace))
	if slices.ContainsFunc(p.out.Actions, func(a rollout.Action) bool {
		return a.Kind == rollout.ActionReadWeights || a.Kind == rollout.ActionSetWeights
	}) {
		return
	}
	var sent routing.Call
	if r.Sent != nil {
		sent = *r.Sent
	}
	p.act(rollout.Action{Kind: rollout.ActionReadWeights, Route: sent})
}

// seenLately reports whether the router has been read just now, or cannot be in time: a deployment ends on what its router
// does, not on what it did once. When it has not, it is read.
func (p *planner) seenLately() bool {
	r := p.d.Progress.Router
	if !p.spec.Traffic.Readable() || r == nil {
		return true
	}
	switch {
	case r.Reading:
		p.wakeBy(p.now.Add(p.spec.Traffic.Timeout.Std() + answerGrace))
	case p.now.Before(r.SeenAt.Add(routerFresh)), r.LooksFailed > p.spec.Traffic.Retries, p.tooLateToRead(r):
		return true
	case p.now.Before(r.LookAt):
		p.waits("the router is read again at", r.LookAt)
	default:
		p.readRouter(r)
	}
	return false
}

// tooLateToRead reports whether the progress deadline could pass while the router is read.
func (p *planner) tooLateToRead(r *routing.State) bool {
	deadline := p.deadline()
	end := later(p.now, r.LookAt).Add(p.spec.Traffic.Timeout.Std() + answerGrace)
	return !deadline.IsZero() && !end.Before(deadline)
}

// unreadRouter says that the router could not be read when the deployment ended; empty when it was.
func (p *planner) unreadRouter() string {
	r := p.d.Progress.Router
	if p.spec.Traffic == nil || r == nil || r.LooksFailed == 0 {
		return ""
	}
	return "; the router could not be read since " + moment(r.SeenAt)
}

// applyReading records what the router does, or that it could not be read.
func applyReading(s *rollout.Snapshot, r *routing.State, o rollout.Outcome, now time.Time) []rollout.Event {
	d := &s.Deployment
	if !r.Reading || r.Fence != o.Action.Route.Fence {
		return nil // there is a newer write
	}
	d.Progress.Router = r
	r.Reading = false
	if o.Reading == nil {
		lookFailed(d, r, o.Result, now)
		return nil
	}
	if r.Sent == nil {
		return firstReading(s, r, o.Reading, now)
	}
	takeOver(r, o.Reading)
	noteReading(r, o.Reading, now)
	switch {
	case r.InDoubt:
		return settleDoubt(d, r, o.Reading, now)
	case r.Applied != nil:
		return findDrift(d, r, o.Reading, now)
	default:
		return nil
	}
}

// firstReading takes what the router does before the first write for true, whatever was remembered: the weights in full
// rotation, who is out, and which slot serves.
func firstReading(s *rollout.Snapshot, r *routing.State, reading *routing.Reading, now time.Time) []rollout.Event {
	learn(s, r, reading)
	noteReading(r, reading, now)
	d := &s.Deployment
	if d.Spec.IdleSlot == "" || d.Kind == rollout.KindRollback || slices.ContainsFunc(s.Targets, func(t rollout.Target) bool { return t.Attempts > 0 }) {
		return nil
	}
	active, _ := slots(d)
	slot := servingSlot(s, reading)
	if slot == "" || slot == active {
		return nil
	}
	d.Progress.ActiveSlot = slot
	takeSlots(s)
	return []rollout.Event{trafficEvent(rollout.EventTrafficDrifted, d, &routing.Call{}, now,
		fmt.Sprintf("the router serves %s, not %s as was remembered: it counts what the router does", slot, active))}
}

// settleDoubt decides, after a write that got no answer, by what the router says: whatever that is, the next step is clear.
func settleDoubt(d *rollout.Deployment, r *routing.State, reading *routing.Reading, now time.Time) []rollout.Event {
	r.InDoubt = false
	if !tellsWeights(reading) || RouterDiffers(d, &r.Sent.Setting, reading) != "" {
		return nil
	}
	dropLateOut(r)
	confirm(d, r, now)
	return []rollout.Event{trafficEvent(rollout.EventTrafficResult, d, r.Sent, now, "no answer came, but the router says that it is done")}
}

// findDrift notices that the router no longer does what it was known to do.
func findDrift(d *rollout.Deployment, r *routing.State, reading *routing.Reading, now time.Time) []rollout.Event {
	differs := RouterDiffers(d, r.Applied, reading)
	if differs == "" {
		return nil
	}
	r.Applied, r.Drifted, r.Differs = nil, true, differs
	return []rollout.Event{trafficEvent(rollout.EventTrafficDrifted, d, r.Sent, now, "it was set, and now the router reads "+differs)}
}

// noteReading remembers what the router does, and which process answered.
func noteReading(r *routing.State, reading *routing.Reading, now time.Time) {
	r.Seen, r.SeenAt, r.LookAt, r.LooksFailed, r.Last = true, now, time.Time{}, 0, reading
	r.Instance = reading.Instance
	r.Idle = findIdle(r, reading, now)
	claimLateOut(r, reading)
	held := findHeld(r, reading)
	for i, b := range reading.Backends {
		if heldBy(r, b.Target) == routing.HeldByWeight && b.Weight > 0 && i < len(r.Baseline) && r.Baseline[i].Target == b.Target {
			r.Baseline = slices.Clone(r.Baseline)
			r.Baseline[i].Weight = b.Weight // it could only be guessed while it was 0
		}
	}
	r.Held = held
}

// heldWords names the targets that somebody else keeps out of rotation, to be appended; empty when there are none.
func heldWords(r *routing.State) string {
	if r == nil || len(r.Held) == 0 {
		return ""
	}
	const few = 3
	var names []string
	for _, h := range r.Held[:min(len(r.Held), few)] {
		names = append(names, h.Target+" ("+h.By+")")
	}
	if more := len(r.Held) - few; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return "; left out as found: " + strings.Join(names, ", ")
}

// lookFailed records a router that could not be read. Before anything was written that counts as a failed write; later a
// write goes out all the same, and is read back.
func lookFailed(d *rollout.Deployment, r *routing.State, a rollout.CallResult, now time.Time) {
	wait := max(d.Spec.Traffic.Backoff.Std(), minRouterBackoff) << min(r.LooksFailed, maxBackoffDoublings)
	r.LookAt = now.Add(min(wait, routerInterval))
	r.LooksFailed++
	r.InDoubt = false
	if r.Sent != nil {
		r.Seen = true
		return
	}
	retryRoute(d, r, a, now)
	if a.Kind == rollout.ResultRefused {
		r.RetriesUsed, r.Refused = d.Spec.Traffic.Retries+1, true
	}
}
