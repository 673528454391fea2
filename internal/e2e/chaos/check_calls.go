package chaos

import "time"

// checkIntents checks that each call and each write has an intent of its own that is not younger than it.
func (c *checker) checkIntents() {
	for _, call := range c.h.Calls {
		c.checkIntent("call of "+call.Target, call.Service, callKey{call.WebhookID, call.Attempt, call.Fence}, call.Received)
	}
	for _, w := range c.h.Writes {
		c.checkIntent("write to the router", w.Service, callKey{w.WebhookID, w.Attempt, w.Fence}, w.At)
	}
}

func (c *checker) checkIntent(what, service string, key callKey, at time.Time) {
	intent, ok := c.intents[key]
	switch {
	case !ok:
		c.report("E intent first", service, at, "a %s was never written down: %s, attempt %d, fence %d", what, key.webhookID, key.attempt, key.fence)
	case intent.At.After(at.Add(clock)):
		c.report("E intent first", service, at, "a %s came %s before it was written down", what, intent.At.Sub(at))
	}
}

// checkResends checks that one action at one target of one deployment has one id, and each time it comes a higher attempt. A frozen owner
// that wakes sends late what it had written down: that one may be lower.
func (c *checker) checkResends() {
	type action struct{ deployment, target, action string }
	ids, attempts := map[action]string{}, map[action]int{}
	for _, call := range c.h.Calls {
		key := action{call.DeploymentID, call.Target, call.Action}
		if id, ok := ids[key]; ok && id != call.WebhookID {
			c.report("E same id", call.Service, call.Received, "%s of %s came with ids %s and %s", call.Action, call.Target, id, call.WebhookID)
		}
		ids[key] = call.WebhookID
		if call.Attempt <= attempts[key] && !c.lateOfFrozen(call) {
			c.report("E higher attempt", call.Service, call.Received, "%s of %s came with attempt %d after %d", call.Action, call.Target, call.Attempt, attempts[key])
		}
		attempts[key] = max(attempts[key], call.Attempt)
	}
}

func (c *checker) lateOfFrozen(call Call) bool {
	sender := c.senderOf(call.WebhookID, call.Attempt, call.Fence)
	return c.wasFrozen(sender, call.Received, call.Received)
}

// checkFences checks that a target's fence rises with every call; only a frozen owner that wakes may come with a lower one, and such a call
// is not applied.
func (c *checker) checkFences() {
	for _, calls := range c.callsOf() {
		highest := int64(0)
		for _, call := range calls {
			if call.Fence == highest || call.Fence < highest && !c.lateOfFrozen(call) {
				c.report("E fence", call.Service, call.Received, "%s was called with fence %d after %d", call.Target, call.Fence, highest)
			}
			highest = max(highest, call.Fence)
		}
	}
	highest := map[string]int64{}
	for _, w := range c.h.Writes {
		frozen := c.wasFrozen(c.senderOf(w.WebhookID, w.Attempt, w.Fence), w.At, w.At)
		if w.Fence <= highest[w.Service] && !frozen {
			c.report("E fence", w.Service, w.At, "the router was written with fence %d after %d", w.Fence, highest[w.Service])
		}
		highest[w.Service] = max(highest[w.Service], w.Fence)
	}
}

// checkOneCallPerTarget checks that no two calls are open at one target, unless the sender of one was frozen meanwhile.
func (c *checker) checkOneCallPerTarget() {
	for _, calls := range c.callsOf() {
		for i, a := range calls {
			for _, b := range calls[i+1:] {
				if !b.Received.Add(noticed).Before(overlapEnd(a, b)) {
					continue
				}
				first, second := c.senderOf(a.WebhookID, a.Attempt, a.Fence), c.senderOf(b.WebhookID, b.Attempt, b.Fence)
				if !c.wasFrozen(first, a.Received, b.Received) && !c.wasFrozen(second, a.Received, b.Received) {
					c.report("E one call per target", a.Service, b.Received, "%s had fences %d and %d in flight together", a.Target, a.Fence, b.Fence)
				}
			}
		}
	}
}

// overlapEnd returns until when two calls were open together.
func overlapEnd(a, b Call) time.Time {
	switch {
	case a.Answered.IsZero():
		return b.Answered
	case b.Answered.IsZero() || a.Answered.Before(b.Answered):
		return a.Answered
	default:
		return b.Answered
	}
}

// checkDrained checks that a target that gets a call has no traffic at that moment, unless a frozen owner sent it late. A router that has
// restarted since it was written to gives traffic to all, which need not have been noticed yet.
func (c *checker) checkDrained() {
	routed := map[string][]Write{}
	for _, w := range c.h.Writes {
		if w.Applied {
			routed[w.Service] = append(routed[w.Service], w)
		}
	}
	for _, call := range c.h.Calls {
		weight, known, wrote := 0, false, time.Time{}
		for _, w := range routed[call.Service] {
			if w.At.Before(call.Received) {
				weight, known, wrote = w.Weights[call.Target], true, w.At
			}
		}
		known = known && !c.h.routerRestarted(call.Service, wrote, call.Received)
		if known && weight > 0 && !c.lateOfFrozen(call) {
			c.report("S drained", call.Service, call.Received, "%s was called while it had weight %d", call.Target, weight)
		}
	}
}
