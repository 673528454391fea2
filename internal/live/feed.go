package live

import (
	"context"
	"log/slog"
	"time"
)

const (
	// pollEvery is how often a feed looks by itself: notifications only wake.
	pollEvery = 500 * time.Millisecond
	// pace is the least time between two readings, so that a busy deployment costs a bounded number of them.
	pace = 50 * time.Millisecond
	// pageSize bounds the events of one reading.
	pageSize = 1000
)

// source is what a feed reads: one deployment, or all.
type source interface {
	// begin finds the place from which on the feed keeps what it reads.
	begin(ctx context.Context) (place int64, err error)
	// next reads what is new. After an error the same is read again.
	next(ctx context.Context) (reading, error)
	// page reads some of what comes after a place, not beyond upTo, and says up to which place it was read.
	page(ctx context.Context, after, upTo int64) (frames []*Frame, place int64, err error)
	// place translates an event's id.
	place(ctx context.Context, eventID int64) (int64, error)
}

// reading is what was new.
type reading struct {
	frames []*Frame
	// soon: there is more, or it is not known yet whether there is.
	soon bool
	// ended: there will never be more.
	ended bool
}

// feed is a source with those who watch it.
type feed struct {
	source  source
	journal *journal
	cancel  context.CancelFunc
	// begun is closed when journal is there, or err says why not.
	begun chan struct{}
	err   error
	// watchers is guarded by Feeds.mu.
	watchers int
}

// begin makes the journal, with a first reading in it.
func (f *feed) begin(ctx context.Context) error {
	place, err := f.source.begin(ctx)
	if err != nil {
		return err
	}
	f.journal = newJournal(place)
	first, err := f.source.next(ctx)
	if err != nil {
		return err
	}
	f.journal.publish(first.frames, first.ended)
	return nil
}

// follow reads what is new until there will never be more, or ctx ends because nobody watches.
func (f *feed) follow(ctx context.Context, changed <-chan struct{}, log *slog.Logger) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	failing := false
	for ctx.Err() == nil && !f.journal.done() {
		got, err := f.source.next(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			log.WarnContext(ctx, "watchers wait: what is new cannot be read", "error", err)
		}
		failing = err != nil
		if err == nil {
			f.journal.publish(got.frames, got.ended)
		}
		rest(ctx)
		if got.soon {
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-poll.C:
		}
	}
}

func rest(ctx context.Context) {
	timer := time.NewTimer(pace)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
