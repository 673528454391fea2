package feed

import (
	"context"
	"log/slog"
	"time"
)

const (
	// pollEvery is the polling interval: notifications are only hints.
	pollEvery = 500 * time.Millisecond
	// minPause is the minimum time between two readings, so that a busy deployment costs a bounded number of them.
	minPause = 50 * time.Millisecond
	// pageSize bounds the events of one reading.
	pageSize = 1000
)

// source reads one deployment, or all.
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

// feed is a source with its subscriptions.
type feed struct {
	source  source
	journal *journal
	cancel  context.CancelFunc
	// begun is closed when journal is there, or err says why not.
	begun chan struct{}
	err   error
	// subscriptions is guarded by Hub.mu.
	subscriptions int
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

// follow reads new events until the source ends for good, or ctx ends because there are no subscriptions.
func (f *feed) follow(ctx context.Context, changed <-chan struct{}, log *slog.Logger) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	failing := false
	for ctx.Err() == nil && !f.journal.done() {
		got, err := f.source.next(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			log.WarnContext(ctx, "event feed stalled", "error", err)
		}
		failing = err != nil
		if err == nil {
			f.pass(ctx, &got, log)
		}
		pause(ctx)
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
		log.WarnContext(ctx, "the database has lost events; event feed restarted", "after_event", got.reset.eventID)
		f.journal.reset(*got.reset)
	}
	f.journal.publish(got.frames, got.ended)
}

func pause(ctx context.Context) {
	timer := time.NewTimer(minPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
