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
	// place translates an event's id. known: there is such an event, or the id is Beginning.
	place(ctx context.Context, eventID int64) (place int64, known bool, err error)
}

// boundedSource bounds each reading of a source.
type boundedSource struct {
	source  source
	timeout time.Duration
}

func (b boundedSource) begin(ctx context.Context) (place int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.source.begin(ctx)
}

func (b boundedSource) next(ctx context.Context) (reading, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.source.next(ctx)
}

func (b boundedSource) page(ctx context.Context, after, upTo int64) (frames []*Frame, place int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.source.page(ctx, after, upTo)
}

func (b boundedSource) place(ctx context.Context, eventID int64) (place int64, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.source.place(ctx, eventID)
}

// reading is what was new.
type reading struct {
	frames []*Frame
	// soon: there is more, or it is not known yet whether there is.
	soon bool
	// ended: there will never be more.
	ended bool
	// reset: what was read before may not be there any more; what is new comes after the place. No frames come with it.
	reset *beginning
}

// beginning is where watchers begin again: a place, and the id of the event there, 0 for the first.
type beginning struct{ place, eventID int64 }

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
			f.pass(ctx, &got, log)
		}
		rest(ctx)
		if got.soon || got.reset != nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-poll.C:
		}
	}
}

// pass hands on what was read.
func (f *feed) pass(ctx context.Context, got *reading, log *slog.Logger) {
	if got.reset != nil {
		log.WarnContext(ctx, "the database has lost events that were read: watchers begin again", "after_event", got.reset.eventID)
		f.journal.reset(*got.reset)
	}
	f.journal.publish(got.frames, got.ended)
}

func rest(ctx context.Context) {
	timer := time.NewTimer(pace)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
