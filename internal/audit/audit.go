// Package audit verifies the hash chain of a deployment's events.
package audit

import (
	"fmt"
	"slices"

	"rollcall/internal/rollout"
)

// Report is the result of verifying a chain of events.
type Report struct {
	// Chained counts the events that have a hash, Unchained those in front of them that have none: a
	// server without chains wrote them, and they cannot be verified.
	Chained, Unchained int
	// Violations are in the order of the log; none means that the log is as it was written.
	Violations []Violation
}

// Violation is one thing that is wrong with a log of events.
type Violation struct {
	// Seq is the event that it shows at.
	Seq int64 `json:"seq"`
	// Message says what is wrong.
	Message string `json:"message"`
}

// VerifyChain compares the events of a deployment, all of them in the order of their numbers, with their hashes and with
// the deployment's own, which is the last one's. A writer to the database can write a whole new chain: only a
// hash that was kept elsewhere proves that none did, see ContainsHash.
func VerifyChain(events []rollout.Event, last rollout.Hash) Report {
	c := chain{events: events}
	for i := range events {
		c.checkEvent(i)
	}
	if c.previous != last {
		c.addViolation(c.seq, "the events end here, but the deployment names another last one: what came after it is missing, "+
			"or it was changed together with its hash")
	}
	return c.report
}

// ContainsHash reports whether one of the events has the hash. In a log without faults, with a hash that was read earlier and
// kept elsewhere, it proves that nothing up to that event was changed since.
func ContainsHash(events []rollout.Event, known rollout.Hash) bool {
	return !known.IsZero() && slices.ContainsFunc(events, func(e rollout.Event) bool { return e.Hash == known })
}

// chain is a walk along a log.
type chain struct {
	events   []rollout.Event
	report   Report
	seq      int64        // of the event before
	previous rollout.Hash // its hash
	unsure   bool         // the event before is missing, so nothing can be said of the next one's hash
}

func (c *chain) addViolation(seq int64, message string) {
	c.report.Violations = append(c.report.Violations, Violation{Seq: seq, Message: message})
}

func (c *chain) checkEvent(i int) {
	e := &c.events[i]
	c.checkSeq(e.Seq)
	begun := c.report.Chained > 0
	switch {
	case e.Hash.IsZero() && !begun:
		c.report.Unchained++
	case e.Hash.IsZero():
		c.addViolation(e.Seq, "it has no hash: it was added by hand, or by a server of a version before there was a chain")
	default:
		c.report.Chained++
		if !c.unsure && e.Hash != rollout.HashEvent(c.previous, e) {
			c.addViolation(e.Seq, c.explainMismatch(i))
		}
		c.previous, c.unsure = e.Hash, false
	}
}

// checkSeq checks that an event follows the one before.
func (c *chain) checkSeq(seq int64) {
	switch want := c.seq + 1; {
	case seq == want+1:
		c.addViolation(want, "it is missing")
	case seq > want:
		c.addViolation(want, fmt.Sprintf("it and all up to %d are missing", seq-1))
	case seq < want:
		c.addViolation(seq, fmt.Sprintf("it stands behind %d", c.seq))
	}
	c.unsure = c.unsure || seq != c.seq+1 && c.report.Chained > 0
	c.seq = seq
}

// explainMismatch returns why an event does not follow from the one before: because it stood elsewhere when it was written, or
// because it is not what was written.
func (c *chain) explainMismatch(i int) string {
	moved := c.events[i]
	for j := range c.events {
		moved.Seq = c.events[j].Seq
		before := rollout.Hash{}
		if j > 0 {
			before = c.events[j-1].Hash
		}
		for _, previous := range []rollout.Hash{before, c.events[j].Hash} { // the latter when it changed places with its neighbour
			if j != i && moved.Hash == rollout.HashEvent(previous, &moved) {
				return fmt.Sprintf("it is out of order: it was written as event %d", moved.Seq)
			}
		}
	}
	return "it was changed, or it does not follow the one that was written before it"
}
