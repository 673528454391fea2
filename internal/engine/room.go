package engine

import (
	"sync/atomic"
	"time"
)

const (
	// DefaultMaxCalls is the default limit of deploy calls in flight.
	DefaultMaxCalls = 500
	// minCallsPerDeployment is how many a deployment may have in flight in any case: hanging targets of one deployment do not
	// block another.
	minCallsPerDeployment = 10
	// slotRecheck is how soon a deployment without a free slot tries again.
	slotRecheck = 100 * time.Millisecond
)

// callSlots counts the deploy calls of all deployments that are in flight or about to be.
type callSlots struct{ used atomic.Int64 }

// reserveCall reserves a slot for a deploy call, and reports whether there was one.
func (s *session) reserveCall() bool {
	e := s.engine
	mine, all := s.reserved.Add(1), e.slots.used.Add(1)
	if all <= int64(e.MaxCalls) || mine <= minCallsPerDeployment {
		return true
	}
	s.releaseCalls(1)
	return false
}

// releaseCalls releases the slots of n calls.
func (s *session) releaseCalls(n int) {
	s.reserved.Add(int64(-n))
	s.engine.slots.used.Add(int64(-n))
}
