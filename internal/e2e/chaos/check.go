package chaos

import (
	"fmt"
	"slices"
	"time"
)

// Tolerances of what is seen over a network on a busy machine.
const (
	// noticed is how long a target may take to notice that a caller is gone.
	noticed = 400 * time.Millisecond
	// clock is how far an event's time, the database's as a replica knows it, may be off.
	clock = 2 * time.Second
	// felt is how long a command may take to be felt.
	felt = time.Second
	// awake is for how long a frozen owner that wakes may send what it had written down before.
	awake = 1500 * time.Millisecond
)

// CheckHistory compares a history with the promises and lists what broke them.
func CheckHistory(h *History) []Violation {
	c := &checker{h: h, intents: map[callKey]Event{}, of: map[string]*Deployment{}}
	c.indexHistory()
	for _, promise := range []func(){
		c.checkResponses, c.checkCreations, c.checkTerminalStates, c.checkOneActive,
		c.checkIntents, c.checkResends, c.checkFences, c.checkOneCallPerTarget,
		c.checkWaves, c.checkTouchedTargets, c.checkTraffic, c.checkNoForwardCalls, c.checkFailureBudget, c.checkDrained, c.checkRollbacks,
		c.checkPauses, c.checkAborts, c.checkPromotions, c.checkCommandsKept, c.checkCommandsOnce, c.checkTransitions,
		c.checkPauseDelay, c.checkEndStates, c.checkReportedVersions, c.checkFinalWeights, c.checkRoutersAtEnd, c.checkEventLogs, c.checkMetrics, c.checkCleanStops, c.checkBounds,
	} {
		promise()
	}
	return c.found
}

type checker struct {
	h       *History
	found   []Violation
	intents map[callKey]Event
	of      map[string]*Deployment
}

// callKey is what a call and its intent have in common.
type callKey struct {
	webhookID string
	attempt   int
	fence     int64
}

func (c *checker) indexHistory() {
	for i := range c.h.Deployments {
		d := &c.h.Deployments[i]
		c.of[d.ID] = d
		for _, e := range d.Events {
			if e.Type == "target.intent" || e.Type == "traffic.intent" {
				c.intents[callKey{e.WebhookID, e.Attempt, e.Fence}] = e
			}
		}
	}
	slices.SortFunc(c.h.Calls, func(a, b Call) int { return a.Received.Compare(b.Received) })
	slices.SortFunc(c.h.Writes, func(a, b Write) int { return a.At.Compare(b.At) })
}

func (c *checker) report(promise, service string, at time.Time, format string, args ...any) {
	c.found = append(c.found, Violation{Promise: promise, Service: service, At: at, Text: fmt.Sprintf(format, args...)})
}

// senderOf returns the replica that recorded a call, "" when none did.
func (c *checker) senderOf(webhookID string, attempt int, fence int64) string {
	return c.intents[callKey{webhookID, attempt, fence}].Replica
}

// wasFrozen reports whether the replica was frozen at some moment of a span, or had been until shortly before it.
func (c *checker) wasFrozen(replica string, from, to time.Time) bool {
	return slices.ContainsFunc(c.h.Faults, func(f Fault) bool {
		return slices.Contains(freezeKinds(), f.Kind) && f.ReplicaID == replica && !f.From.After(to) && f.To.Add(awake).After(from)
	})
}

// freezeKinds returns the faults that stop a process and let it continue.
func freezeKinds() []Kind { return []Kind{Freeze, FrozenOwner, Outlived} }

// callsOf groups the calls by target, in order.
func (c *checker) callsOf() map[[2]string][]Call {
	by := map[[2]string][]Call{}
	for _, call := range c.h.Calls {
		key := [2]string{call.Service, call.Target}
		by[key] = append(by[key], call)
	}
	return by
}

// opsOf returns the requests of one method whose path ends so, that were answered with success.
func (c *checker) opsOf(id, command string) []Op {
	var ops []Op
	for _, op := range c.h.Ops {
		if op.Path == "/deployments/"+id+"/"+command && op.Status == 200 && !op.Again {
			ops = append(ops, op)
		}
	}
	return ops
}
