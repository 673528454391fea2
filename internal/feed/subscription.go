package feed

import (
	"context"
	"io"
	"sync"
)

// Subscription is a reader's position in a feed. One goroutine at a time may use it.
type Subscription struct {
	feed  *feed
	want  func(*Frame) bool
	leave func()
	place int64
	// number is that of the next frame in the journal; -1 while the watcher is behind what is kept there.
	number int
	// resets is how many of the feed's resets the watcher knows of.
	resets int
	// lost is where the watcher begins when it asked for a place that is not there; nil once it knows.
	lost *beginning
}

// behind stands for no number.
const behind = -1

// from is where a watcher begins.
type from struct {
	place int64
	// resets is how often the feed had begun again before the place was found.
	resets int
	// lost says that the place is another one than was asked for, which is not there.
	lost *beginning
}

func newSubscription(f *feed, at from, want func(*Frame) bool, leave func()) *Subscription {
	return &Subscription{feed: f, want: want, leave: sync.OnceFunc(leave), place: at.place, number: behind, resets: at.resets, lost: at.lost}
}

// Close ends the subscription; the last one of a feed stops it.
func (w *Subscription) Close() { w.leave() }

// Done reports whether the subscription has delivered every event there will be.
func (w *Subscription) Done() bool { return w.lost == nil && w.feed.journal.isFinishedAfter(w.place) }

// Next waits for the next frames. io.EOF means that there will be no more. After any other error it can
// be called again.
func (w *Subscription) Next(ctx context.Context) ([]*Frame, error) {
	for {
		frames, grown, err := w.readyFrames(ctx)
		if err != nil || len(frames) > 0 {
			return frames, err
		}
		if grown == nil {
			continue
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// readyFrames returns the frames that there are. If there are none, look again when the channel is closed, or at once when
// it is nil.
func (w *Subscription) readyFrames(ctx context.Context) ([]*Frame, <-chan struct{}, error) {
	if frames := w.beginAgain(); frames != nil {
		return frames, nil, nil
	}
	if w.number == behind {
		number, since, ok := w.feed.journal.numberAfter(w.place)
		if !ok {
			frames, err := w.catchUp(ctx, since)
			return frames, nil, err
		}
		w.number = number
	}
	frames, grown, ok, done := w.feed.journal.framesFrom(w.number)
	switch {
	case done:
		return nil, nil, io.EOF
	case !ok:
		w.number = behind
		return nil, nil, nil
	case len(frames) == 0:
		return nil, grown, nil
	}
	w.number += len(frames)
	seen := w.place // another replica may have been ahead of this one
	w.place = max(seen, frames[len(frames)-1].place)
	return latestStates(frames, func(f *Frame) bool { return f.isAfter(seen) && w.want(f) }), nil, nil
}

// beginAgain returns the frame that reports that the watcher's place is not there any more; nil when it is.
func (w *Subscription) beginAgain() []*Frame {
	resets, at := w.feed.journal.lastReset()
	switch {
	case resets != w.resets:
		w.resets, w.place, w.number = resets, at.place, behind
	case w.lost != nil:
		at = *w.lost
	default:
		return nil
	}
	w.lost = nil
	return []*Frame{{Reset: true, ID: at.eventID}}
}

// catchUp reads a page of what the journal has kept no longer.
func (w *Subscription) catchUp(ctx context.Context, upTo int64) ([]*Frame, error) {
	frames, place, err := w.feed.source.readPage(ctx, w.place, upTo)
	if err != nil {
		return nil, err
	}
	w.place = place
	return latestStates(frames, w.want), nil
}
