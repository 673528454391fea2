package chaos

import "time"

// endsInTime is a measure beside those of measure.go.
const endsInTime = "end or turn after a deadline"

// step is how finely time is looked at for whether anybody could work.
const step = 100 * time.Millisecond

// measureDeadlines measures how long after its deadline a deployment ended or rolled back, less the time in which its owners or the
// database were faulted, or had been just before, and the time in which every replica was.
func (h *History) measureDeadlines() Measure {
	m := Measure{Name: endsInTime, Bound: 5 * time.Second}
	for i := range h.Deployments {
		d := &h.Deployments[i]
		for _, read := range h.deadlinesOf(d.ID) {
			moved := d.nextMove(read.Answered, h)
			if late := moved.Sub(read.Deadline); late > 0 {
				m.add(max(late-h.troubledTime(d, read.Deadline, moved), 0), read.Deadline)
			}
		}
	}
	return m
}

// deadlinesOf returns the last answers with each deadline that were returned for a deployment.
func (h *History) deadlinesOf(id string) []Op {
	last := map[time.Time]Op{}
	for _, op := range h.Ops {
		if op.ID == id && !op.Deadline.IsZero() && op.Answered.After(last[op.Deadline].Answered) {
			last[op.Deadline] = op
		}
	}
	var ops []Op
	for _, op := range last {
		ops = append(ops, op)
	}
	return ops
}

// nextMove returns when a deployment first ended, rolled back, was held, or got another deadline after it was asked about; the
// end of the round when it never did.
func (d *Deployment) nextMove(asked time.Time, h *History) time.Time {
	for _, e := range d.Events {
		if !e.At.Before(asked.Add(-clock)) && d.isMove(e) {
			return e.At
		}
	}
	return h.roundEnd()
}

func (d *Deployment) isMove(e Event) bool {
	switch e.Type {
	case "target.verified", "gate.waiting", "deployment.paused", "deployment.resumed", "deployment.promoted",
		"deployment.rollback_started", "deployment.abort_requested",
		"deployment.completed", "deployment.failed", "deployment.aborted", "deployment.rolled_back":
		return true
	default:
		return false
	}
}

// troubledTime returns for how much of a span no replica could be expected to work on a deployment.
func (h *History) troubledTime(d *Deployment, from, to time.Time) time.Duration {
	total := time.Duration(0)
	for at := from; at.Before(to); at = at.Add(step) {
		if h.databaseFaulted(Fault{}, at.Add(-resumesWithin), at) || h.ownerFaulted(d, at) || h.allFaulted(at) {
			total += step
		}
	}
	return total
}

// resumesWithin is how soon work resumes when the database is back.
const resumesWithin = 5 * time.Second

// ownerFaulted reports whether a replica that had the deployment was faulted so shortly before that it may not have been taken
// over yet.
func (h *History) ownerFaulted(d *Deployment, at time.Time) bool {
	for _, f := range h.Faults {
		if f.Replica >= 0 && !f.From.After(at) && f.To.Add(h.Lease+takeoverMargin).After(at) && d.wasOwnedBy(f.ReplicaID) {
			return true
		}
	}
	return false
}

func (d *Deployment) wasOwnedBy(replica string) bool {
	for _, e := range d.Events {
		if e.Replica == replica {
			return true
		}
	}
	return false
}

func (h *History) allFaulted(at time.Time) bool {
	for replica := range h.Replicas {
		if !h.wasFaulted(replica, at, at, AllKinds()...) {
			return false
		}
	}
	return true
}
