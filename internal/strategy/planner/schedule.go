package planner

import "time"

// schedule collects when a deployment is planned again, and what is shown of it until then.
type schedule struct {
	// wake is the earliest time to plan again, zero for none.
	wake time.Time
	// visible is the earliest time at which users see something happen, zero for none.
	visible time.Time
	// waiting describes what is waited for besides the wave itself, to be appended to a reason; until is when that wait ends.
	waiting string
	until   time.Time
}

// wakeBy plans again at a time, or before.
func (s *schedule) wakeBy(at time.Time) { s.wake = earlierOf(s.wake, at) }

// noteVisible records that users see something happen at a time, or before.
func (s *schedule) noteVisible(at time.Time) { s.visible = earlierOf(s.visible, at) }

// wakeVisible plans again at a time at which users see something happen.
func (s *schedule) wakeVisible(at time.Time) {
	s.wakeBy(at)
	s.noteVisible(at)
}

// waitUntil plans again when a wait ends, and shows what is waited for. Of several waits the first to end is shown.
func (s *schedule) waitUntil(what string, at time.Time) {
	s.wakeVisible(at)
	if s.until.IsZero() || at.Before(s.until) {
		s.waiting, s.until = "; "+what+" "+formatTime(at), at
	}
}

// earlierOf returns the earlier of two times, of which at may not be zero.
func earlierOf(t, at time.Time) time.Time {
	if t.IsZero() || at.Before(t) {
		return at
	}
	return t
}
