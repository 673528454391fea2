package live

import (
	"context"
	"io"
	"sync"
)

// Watcher is one reader's place in a feed. One goroutine at a time may use it.
type Watcher struct {
	feed  *feed
	want  func(*Frame) bool
	leave func()
	place int64
	// number is that of the next frame in the journal; -1 while the watcher is behind what is kept there.
	number int
}

// behind stands for no number.
const behind = -1

func newWatcher(f *feed, place int64, want func(*Frame) bool, leave func()) *Watcher {
	return &Watcher{feed: f, want: want, leave: sync.OnceFunc(leave), place: place, number: behind}
}

// Close gives the place up; the last one who does ends the reading.
func (w *Watcher) Close() { w.leave() }

// Done reports whether the watcher has seen every event that there will ever be.
func (w *Watcher) Done() bool { return w.feed.journal.over(w.place) }

// Next waits for what comes after the watcher's place. io.EOF means that nothing ever will. After any other error it can
// be called again.
func (w *Watcher) Next(ctx context.Context) ([]*Frame, error) {
	for {
		frames, grown, err := w.ready(ctx)
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

// ready gives what there is. If that is nothing, it is worth while to look again when the channel is closed, or at once
// when that is nil.
func (w *Watcher) ready(ctx context.Context) ([]*Frame, <-chan struct{}, error) {
	if w.number == behind {
		number, since, ok := w.feed.journal.join(w.place)
		if !ok {
			frames, err := w.catchUp(ctx, since)
			return frames, nil, err
		}
		w.number = number
	}
	frames, grown, ok, done := w.feed.journal.from(w.number)
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
	return chosen(frames, func(f *Frame) bool { return f.after(seen) && w.want(f) }), nil, nil
}

// catchUp reads a page of what the journal has kept no longer.
func (w *Watcher) catchUp(ctx context.Context, upTo int64) ([]*Frame, error) {
	frames, place, err := w.feed.source.page(ctx, w.place, upTo)
	if err != nil {
		return nil, err
	}
	w.place = place
	return chosen(frames, w.want), nil
}
