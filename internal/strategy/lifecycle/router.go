package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// AllTraffic is the weight, in percent, of a side that gets all traffic.
const AllTraffic = 100

// StartRouterAction writes an action on the router down, in place. For a write, the returned action is complete, and the event
// is the record of the intent. A read carries the fence of the newest write, and says nothing once there is another.
func StartRouterAction(d *rollout.Deployment, a rollout.Action, now time.Time) (rollout.Action, []rollout.Event) {
	r := RouterOf(d)
	d.Progress.Router = &r
	if a.Kind == rollout.ActionReadWeights {
		r.Reading, a.Route.Fence = true, r.Fence
		return a, nil
	}
	attempt := 1
	if r.Sent != nil && r.Sent.Setting.Equal(&a.Route.Setting) && !r.Drifted {
		attempt = r.Sent.Attempt + 1
	} else {
		r.PriorWeights = possibleWeights(&r)
		r.SplitSeq++
		r.RetriesUsed = 0
	}
	r.Fence = nextFence(r.Fence, now)
	a.Route.Attempt, a.Route.Fence = attempt, r.Fence
	a.Route.WebhookID = rollout.WebhookID(d.ID, fmt.Sprintf("router\x00%d", r.SplitSeq), rollout.CallTraffic)
	a.Route.Deadline = now.Add(d.Spec.Traffic.Timeout.Std())
	noteTakenOut(&r, &a.Route.Setting)
	r.Baseline, a.Route.TakenOut = a.Route.Baseline, r.TakenOut
	call := a.Route
	r.Sent, r.InFlight, r.InDoubt, r.Reading, r.Drifted, r.Refused = &call, true, false, false, false, false
	return a, []rollout.Event{trafficEvent(rollout.EventTrafficIntent, d, &call, now, "")}
}

// possibleWeights lists the weights that the router may report before it gets another setting.
func possibleWeights(r *routing.State) []routing.Weights {
	if r.Sent == nil {
		return nil // what an earlier deployment left is distinguished by that one's id
	}
	last := r.Sent.Setting.Weights()
	if r.Applied.Equal(&r.Sent.Setting) {
		return []routing.Weights{last}
	}
	if slices.Contains(r.PriorWeights, last) {
		return r.PriorWeights
	}
	return append(slices.Clone(r.PriorWeights), last)
}

// applyRoute records what came of a write to the router, or of reading it.
func applyRoute(s *rollout.Snapshot, o rollout.Outcome, now time.Time) []rollout.Event {
	d := &s.Deployment
	r := RouterOf(d)
	if o.Action.Kind == rollout.ActionReadWeights {
		return applyReading(s, &r, o, now)
	}
	if r.Sent == nil || r.Sent.Fence != o.Action.Route.Fence || !r.InFlight {
		return nil
	}
	d.Progress.Router = &r
	r.InFlight = false
	answer := VerifyRouterWrite(d, o)
	if o.Reading != nil {
		inferTakenOut(&r, o.Reading)
		noteReading(&r, o.Reading, now)
	}
	kind := applyWrite(d, &r, answer, now)
	return []rollout.Event{trafficEvent(kind, d, r.Sent, now, answer.Message)}
}

// applyWrite records the answer to a write, and returns the type of its event.
func applyWrite(d *rollout.Deployment, r *routing.State, answer rollout.CallResult, now time.Time) string {
	switch answer.Kind {
	case rollout.ResultDone, rollout.ResultAccepted:
		confirmWrite(d, r, now)
	case rollout.ResultUnknown:
		r.Applied, r.InDoubt = nil, true
		noteLateOut(r)
		scheduleRouterRetry(d, r, answer, now)
		return rollout.EventTrafficUnknown
	case rollout.ResultRetry:
		r.Applied = nil // it may have moved traffic before it failed
		scheduleRouterRetry(d, r, answer, now)
	case rollout.ResultNotSent, rollout.ResultNotStarted:
		scheduleRouterRetry(d, r, answer, now)
	case rollout.ResultRefused, rollout.ResultFenced:
		if raiseRouterFence(r, answer, now) {
			scheduleRouterRetry(d, r, answer, now)
			break
		}
		r.Applied = nil // refused halfway through, or another write came after the last that is known
		scheduleRouterRetry(d, r, answer, now)
		r.RetriesUsed = d.Spec.Traffic.Retries + 1
		r.Refused = answer.Kind == rollout.ResultRefused && r.SplitSeq == 1 && r.Sent.Attempt == 1
	}
	return rollout.EventTrafficResult
}

// raiseRouterFence reports whether a 409 is answered with a higher fence: once in a deployment, when it names a higher one, or
// when it is the answer to the deployment's first write.
func raiseRouterFence(r *routing.State, a rollout.CallResult, now time.Time) bool {
	first := r.SplitSeq <= 1 && r.Sent.Attempt <= 1
	if a.Kind != rollout.ResultFenced || r.FenceRaised || !first && a.Fence < r.Sent.Fence {
		return false
	}
	r.Fence, r.FenceRaised = max(r.Fence, a.Fence, now.UnixMilli()), true
	return true
}

func scheduleRouterRetry(d *rollout.Deployment, r *routing.State, a rollout.CallResult, now time.Time) {
	wait := d.Spec.Traffic.Backoff.Std() << min(r.RetriesUsed, maxBackoffDoublings)
	r.NotBefore = now.Add(max(wait, a.RetryAfter, minRouterBackoff))
	r.RetriesUsed, r.Error = r.RetriesUsed+1, a.Message
}

// minRouterBackoff keeps a router that refuses at once from being asked without pause.
const minRouterBackoff = 100 * time.Millisecond

func confirmWrite(d *rollout.Deployment, r *routing.State, now time.Time) {
	setting := r.Sent.Setting
	r.Applied, r.AppliedAt, r.InDoubt, r.RetriesUsed, r.Error, r.Differs = &setting, now, false, 0, "", ""
	d.Progress.Weight = setting.NewWeight
	noteRestored(r, &setting)
}

// markRouterInDoubt marks a write whose owner is gone as unknown.
func markRouterInDoubt(d *rollout.Deployment, now time.Time) []rollout.Event {
	if d.Progress.Router == nil {
		return nil
	}
	r := RouterOf(d)
	d.Progress.Router = &r
	r.Reading, r.Seen, r.LookAt, r.LooksFailed, r.Last = false, false, time.Time{}, 0, nil
	if !r.InFlight {
		return nil
	}
	r.InFlight, r.InDoubt, r.Applied = false, true, nil
	noteLateOut(&r)
	return []rollout.Event{trafficEvent(rollout.EventTrafficUnknown, d, r.Sent, now, "the replica that sent this call died before recording the result")}
}

// RouterOf returns a copy of what is known of the router: what is stored is never changed in place.
func RouterOf(d *rollout.Deployment) routing.State {
	if d.Progress.Router == nil {
		return routing.State{}
	}
	return *d.Progress.Router
}

func trafficEvent(kind string, d *rollout.Deployment, c *routing.Call, now time.Time, message string) rollout.Event {
	weight := c.Setting.NewWeight
	message = cmp.Or(message, fmt.Sprintf("new side %d %%", weight)) + heldNote(d.Progress.Router)
	return rollout.Event{
		At: now, Type: kind, Actor: rollout.ActorEngine, Wave: d.Progress.Wave,
		From: string(d.State), To: string(d.State), Message: message,
		Call: &rollout.Call{
			WebhookID: c.WebhookID, Action: rollout.CallTraffic, Attempt: c.Attempt, Fence: c.Fence, Deadline: c.Deadline,
			NewWeight: &weight,
		},
	}
}
