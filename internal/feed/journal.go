package feed

import (
	"slices"
	"sync"
)

// journal is the newest part of a feed.
type journal struct {
	mu     sync.Mutex
	frames []*Frame
	// dropped counts the frames that were kept once: frames[0] has this number.
	dropped int
	// since is the place after which all events are kept.
	since int64
	// grown is closed and replaced when there are new frames.
	grown chan struct{}
	// ended: there will never be more.
	ended bool
	// resets counts how often the feed began again; begun is where it did so last.
	resets int
	begun  beginning
}

// bufferSize limits the frames of a feed in memory: some 500 bytes each.
const bufferSize = 1024

func newJournal(since int64) *journal { return &journal{since: since, grown: make(chan struct{})} }

// addFrames adds frames, drops the oldest, and wakes all subscriptions.
func (j *journal) addFrames(frames []*Frame, ended bool) {
	if len(frames) == 0 && !ended {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.frames, j.ended = append(j.frames, frames...), ended
	if over := len(j.frames) - bufferSize; over > 0 {
		j.since = j.frames[over-1].place
		j.dropped += over
		j.frames = slices.Clone(j.frames[over:]) // the memory of the others is free again
	}
	close(j.grown)
	j.grown = make(chan struct{})
}

// resetTo drops all frames, and makes subscriptions begin again.
func (j *journal) resetTo(at beginning) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dropped += len(j.frames) + 1 // no watcher's number is one of what follows
	j.frames, j.since = nil, at.place
	j.resets, j.begun = j.resets+1, at
	close(j.grown)
	j.grown = make(chan struct{})
}

// lastReset returns how often the feed began again, and where it did so last.
func (j *journal) lastReset() (resets int, at beginning) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.resets, j.begun
}

// numberAfter returns the number of the first frame after the place. ok is false when some of them are kept no longer, up to
// since.
func (j *journal) numberAfter(place int64) (number int, since int64, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if place < j.since {
		return 0, j.since, false
	}
	for i := range j.frames {
		if j.frames[i].isAfter(place) {
			return j.dropped + i, j.since, true
		}
	}
	return j.dropped + len(j.frames), j.since, true
}

// framesFrom returns the frames from a number on, and a channel that is closed when there are more. ok is false when some of
// them are kept no longer; done when there are none and never will be.
func (j *journal) framesFrom(number int) (frames []*Frame, grown <-chan struct{}, ok, done bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if number < j.dropped {
		return nil, j.grown, false, false
	}
	frames = j.frames[number-j.dropped:]
	return frames, j.grown, true, j.ended && len(frames) == 0
}

// isFinishedAfter reports whether no event after the place is there or will ever be.
func (j *journal) isFinishedAfter(place int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ended && (len(j.frames) == 0 || j.frames[len(j.frames)-1].place <= place)
}

// isFinished reports whether there will never be more.
func (j *journal) isFinished() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ended
}

// newestPosition returns the place of the newest event.
func (j *journal) newestPosition() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.frames) == 0 {
		return j.since
	}
	return j.frames[len(j.frames)-1].place
}
