package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// RouterReadInterval is how often a router is read whose weights are known.
const RouterReadInterval = 10 * time.Second

// applyReading records what the router does, or that it could not be read.
func applyReading(s *rollout.Snapshot, r *routing.State, o rollout.Outcome, now time.Time) []rollout.Event {
	d := &s.Deployment
	if !r.Reading || r.Fence != o.Action.Route.Fence {
		return nil // there is a newer write
	}
	d.Progress.Router = r
	r.Reading = false
	if o.Reading == nil {
		applyFailedReading(d, r, o.Result, now)
		return nil
	}
	if r.Sent == nil {
		return firstReading(s, r, o.Reading, now)
	}
	inferTakenOut(r, o.Reading)
	noteReading(r, o.Reading, now)
	switch {
	case r.InDoubt:
		return resolveRouterDoubt(d, r, o.Reading, now)
	case r.Applied != nil:
		return findDrift(d, r, o.Reading, now)
	default:
		return nil
	}
}

// firstReading takes what the router does before the first write for true, whatever was remembered: the weights in full
// rotation, who is out, and which slot serves.
func firstReading(s *rollout.Snapshot, r *routing.State, reading *routing.Reading, now time.Time) []rollout.Event {
	learnBaseline(s, r, reading)
	noteReading(r, reading, now)
	d := &s.Deployment
	if d.Spec.IdleSlot == "" || d.Kind == rollout.KindRollback || slices.ContainsFunc(s.Targets, func(t rollout.Target) bool { return t.Attempts > 0 }) {
		return nil
	}
	active, _ := Slots(d)
	slot := readServingSlot(s, reading)
	if slot == "" || slot == active {
		return nil
	}
	d.Progress.ActiveSlot = slot
	assignSlots(s)
	return []rollout.Event{trafficEvent(rollout.EventTrafficDrifted, d, &routing.Call{}, now,
		fmt.Sprintf("the router serves %s, not %s as recorded; using what the router does", slot, active))}
}

// resolveRouterDoubt decides, after a write that got no answer, by what the router says: whatever that is, the next step is clear.
func resolveRouterDoubt(d *rollout.Deployment, r *routing.State, reading *routing.Reading, now time.Time) []rollout.Event {
	r.InDoubt = false
	if !reportsWeights(reading) || RouterDifference(d, &r.Sent.Setting, reading) != "" {
		return nil
	}
	dropLateOut(r)
	confirmWrite(d, r, now)
	return []rollout.Event{trafficEvent(rollout.EventTrafficResult, d, r.Sent, now, "no response received, but the router reports the new weights")}
}

// findDrift notices that the router no longer does what it was known to do.
func findDrift(d *rollout.Deployment, r *routing.State, reading *routing.Reading, now time.Time) []rollout.Event {
	differs := RouterDifference(d, r.Applied, reading)
	if differs == "" {
		return nil
	}
	r.Applied, r.Drifted, r.Differs = nil, true, differs
	return []rollout.Event{trafficEvent(rollout.EventTrafficDrifted, d, r.Sent, now, "the router has drifted: it reports "+differs)}
}

// noteReading remembers what the router does, and which process answered.
func noteReading(r *routing.State, reading *routing.Reading, now time.Time) {
	r.Seen, r.SeenAt, r.LookAt, r.LooksFailed, r.Last = true, now, time.Time{}, 0, reading
	r.Instance = reading.Instance
	r.Idle = findIdle(r, reading, now)
	claimLateOut(r, reading)
	held := findHeld(r, reading)
	for i, b := range reading.Backends {
		if HeldBy(r, b.Target) == routing.HeldByWeight && b.Weight > 0 && i < len(r.Baseline) && r.Baseline[i].Target == b.Target {
			r.Baseline = slices.Clone(r.Baseline)
			r.Baseline[i].Weight = b.Weight // it could only be guessed while it was 0
		}
	}
	r.Held = held
}

// heldNote returns the targets that others keep out of rotation, to be appended; empty when there are none.
func heldNote(r *routing.State) string {
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
	return "; kept out of rotation by others: " + strings.Join(names, ", ")
}

// applyFailedReading records a router that could not be read. Before anything was written that counts as a failed write; later a
// write goes out all the same, and is read back.
func applyFailedReading(d *rollout.Deployment, r *routing.State, a rollout.CallResult, now time.Time) {
	wait := max(d.Spec.Traffic.Backoff.Std(), minRouterBackoff) << min(r.LooksFailed, maxBackoffDoublings)
	r.LookAt = now.Add(min(wait, RouterReadInterval))
	r.LooksFailed++
	r.InDoubt = false
	if r.Sent != nil {
		r.Seen = true
		return
	}
	scheduleRouterRetry(d, r, a, now)
	if a.Kind == rollout.ResultRefused {
		r.RetriesUsed, r.Refused = d.Spec.Traffic.Retries+1, true
	}
}

// IdleSince returns since when a target was seen to get less than its share; zero when it gets it.
func IdleSince(r *routing.State, target string) time.Time {
	for _, b := range r.Idle {
		if b.Target == target {
			return b.Since
		}
	}
	return time.Time{}
}

// findIdle lists the targets that get less than their share by a reading, each since it was first seen so.
func findIdle(r *routing.State, reading *routing.Reading, now time.Time) []routing.IdleBackend {
	var list []routing.IdleBackend
	for _, b := range reading.Backends {
		if since := IdleSince(r, b.Target); !b.Serving || b.Effective < AllTraffic {
			if since.IsZero() {
				since = now
			}
			list = append(list, routing.IdleBackend{Target: b.Target, Since: since})
		}
	}
	return list
}
