package engine

import (
	"sync/atomic"
	"time"
)

const (
	// DefaultMaxCalls is how many deploy calls a server has in flight at once.
	DefaultMaxCalls = 500
	// ownCalls is how many a deployment may have in flight however many others have: targets that hang hold up no other
	// deployment.
	ownCalls = 10
	// roomAgain is how soon a deployment looks for room again that found none.
	roomAgain = 100 * time.Millisecond
)

// room counts the deploy calls of all deployments that are in flight, or written down to be.
type room struct{ used atomic.Int64 }

// takeRoom reserves room for one more deploy call, and reports whether there was any.
func (s *session) takeRoom() bool {
	e := s.engine
	mine, all := s.room.Add(1), e.room.used.Add(1)
	if all <= int64(e.MaxCalls) || mine <= ownCalls {
		return true
	}
	s.giveRoom(1)
	return false
}

// giveRoom gives up the room of n calls.
func (s *session) giveRoom(n int) {
	s.room.Add(int64(-n))
	s.engine.room.used.Add(int64(-n))
}
