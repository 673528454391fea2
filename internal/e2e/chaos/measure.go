package chaos

import (
	"slices"
	"time"
)

// Measure is how long a promise of a time took to keep, each time.
type Measure struct {
	Name  string
	Bound time.Duration
	Took  []time.Duration
	at    []time.Time
}

// busy is what a machine that does other work adds to a time, beside what the round noticed of it itself.
const busy = time.Second

// takeoverMargin is how long after a lease's end a takeover may be.
const takeoverMargin = 2 * time.Second

// The times that are measured in every round.
const (
	saysUnavailable = "503 while the database is away"
	resumption      = "resumption once it is back"
	takesOver       = "takeover"
	handsOver       = "SIGTERM to the end"
	setsAgain       = "a restarted router is set again"
)

// MeasureTimes takes the times of a round, each where nothing else was broken that would lengthen it.
func MeasureTimes(h *History) []Measure {
	return []Measure{h.measureUnavailability(), h.measureResumptions(), h.measureTakeovers(), h.measureHandovers(), h.measureDeadlines(), h.measureRewrites()}
}

// checkBounds compares what was measured with its bound.
func (c *checker) checkBounds() {
	for _, m := range MeasureTimes(c.h) {
		for i, took := range m.Took {
			if took > m.Bound+busy+c.h.Starved {
				c.report("T "+m.Name, "", m.at[i], "it took %s, more than %s", took, m.Bound)
			}
		}
	}
}

func (m *Measure) add(took time.Duration, at time.Time) {
	m.Took, m.at = append(m.Took, took), append(m.at, at)
}

// measureUnavailability measures how soon a replica that was not frozen says that the database is away; polls wait on purpose.
func (h *History) measureUnavailability() Measure {
	m := Measure{Name: saysUnavailable, Bound: 2 * time.Second}
	for _, op := range h.Ops {
		if op.Status == 503 && !op.Waits && !h.wasFaulted(op.Replica, op.Sent, op.Answered, freezeKinds()...) {
			m.add(op.Answered.Sub(op.Sent), op.Answered)
		}
	}
	return m
}

// measureResumptions measures how soon after the database was repaired something is written down again, when much was under way and a replica
// was well.
func (h *History) measureResumptions() Measure {
	m := Measure{Name: resumption, Bound: resumesWithin}
	for _, f := range h.Faults {
		if f.Replica >= 0 || !h.isCalm(f, f.To, f.To.Add(m.Bound)) || h.underWay(f.To) < much {
			continue
		}
		if next := h.nextEvent(f.To); !next.IsZero() {
			m.add(next.Sub(f.To), f.To)
		}
	}
	return m
}

// measureTakeovers measures how soon after a replica was killed or frozen what it owned resumes elsewhere, when the database and another
// replica were well.
func (h *History) measureTakeovers() Measure {
	m := Measure{Name: takesOver, Bound: h.Lease + takeoverMargin}
	for _, f := range h.Faults {
		if !f.Kind.Kills() && f.Kind != Freeze || !h.isCalm(f, f.From, f.From.Add(m.Bound)) {
			continue
		}
		for i := range h.Deployments {
			d := &h.Deployments[i]
			for _, e := range d.Events {
				if e.Type == "deployment.taken_over" && h.causedTakeover(f, d, e) {
					m.add(e.At.Sub(f.From), e.At)
				}
			}
		}
	}
	return m
}

// checkCleanStops checks that a replica that receives SIGTERM ends cleanly, with its database there.
func (c *checker) checkCleanStops() {
	for _, f := range c.h.Faults {
		if (f.Kind == Term || f.Kind == Successor) && f.Exit != 0 && !c.h.databaseFaulted(f, f.From.Add(-time.Second), f.Ended) {
			c.report("T stops cleanly", "", f.Ended, "replica %d received SIGTERM and ended with status %d", f.Replica, f.Exit)
		}
	}
}

// measureHandovers measures how long a replica that receives SIGTERM takes, with its database there.
func (h *History) measureHandovers() Measure {
	m := Measure{Name: handsOver, Bound: 2 * time.Second}
	for _, f := range h.Faults {
		frozen := h.wasFaulted(f.Replica, f.From, f.Ended, freezeKinds()...)
		if (f.Kind == Term || f.Kind == Successor) && !frozen && !h.databaseFaulted(f, f.From, f.Ended) {
			m.add(f.Ended.Sub(f.From), f.From)
		}
	}
	return m
}

// wasFaulted reports whether a replica suffered one of the faults at some moment of a span.
func (h *History) wasFaulted(replica int, from, to time.Time, kinds ...Kind) bool {
	return slices.ContainsFunc(h.Faults, func(f Fault) bool {
		return f.Replica == replica && slices.Contains(kinds, f.Kind) && !f.From.After(to) && !f.To.Before(from)
	})
}

// isCalm reports whether in a span no other fault hit the database, and none at all some replica that f did not hit.
func (h *History) isCalm(f Fault, from, to time.Time) bool {
	if h.databaseFaulted(f, from, to) {
		return false
	}
	for replica := range h.Replicas {
		if replica != f.Replica && !h.wasFaulted(replica, from, to, AllKinds()...) {
			return true
		}
	}
	return false
}

// databaseFaulted reports whether another fault than f hit the database at some moment of a span.
func (h *History) databaseFaulted(f Fault, from, to time.Time) bool {
	return slices.ContainsFunc(h.Faults, func(o Fault) bool {
		same := o.Kind == f.Kind && o.From.Equal(f.From)
		return o.Replica < 0 && !same && !o.From.After(to) && !o.To.Before(from)
	})
}

// much is how many deployments must be under way for something to be due soon: some wait for people.
const much = 3

func (h *History) underWay(at time.Time) int {
	n := 0
	for _, d := range h.Deployments {
		if !d.StartedAt.IsZero() && d.StartedAt.Before(at) && d.FinishedAt.After(at) {
			n++
		}
	}
	return n
}

// nextEvent returns when the engine first recorded an event after a time.
func (h *History) nextEvent(after time.Time) time.Time {
	var next time.Time
	for _, d := range h.Deployments {
		for _, e := range d.Events {
			if e.Actor == "engine" && e.At.After(after) && (next.IsZero() || e.At.Before(next)) {
				next = e.At
			}
		}
	}
	return next
}

// causedTakeover reports whether a takeover was due because of f: its replica had the deployment, wrote nothing in it since, and
// suffered nothing else since.
func (h *History) causedTakeover(f Fault, d *Deployment, taken Event) bool {
	owner, last := "", time.Time{}
	for _, e := range d.Events {
		if e.Seq < taken.Seq && e.Replica != "" {
			owner, last = e.Replica, e.At
		}
	}
	again := slices.ContainsFunc(h.Faults, func(o Fault) bool {
		return o.Replica == f.Replica && o.From.After(f.From) && o.From.Before(taken.At)
	})
	return owner == f.ReplicaID && last.Before(f.From) && taken.At.After(f.From) && !again
}
