package feed

import (
	"context"
	"log/slog"
	"time"

	"rollcall/internal/clock"
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
	// findStart finds the place from which on the feed keeps what it reads.
	findStart(ctx context.Context) (place int64, err error)
	// readNext reads what is new. After an error the same is read again.
	readNext(ctx context.Context) (reading, error)
	// readPage reads some of what comes after a place, not beyond upTo, and says up to which place it was read.
	readPage(ctx context.Context, after, upTo int64) (frames []*Frame, place int64, err error)
	// findPosition translates an event's id. known: there is such an event, or the id is FromStart.
	findPosition(ctx context.Context, eventID int64) (place int64, known bool, err error)
}

// boundedSource bounds each reading of a source.
type boundedSource struct {
	source  source
	timeout time.Duration
}

func (b boundedSource) findStart(ctx context.Context) (place int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.source.findStart(ctx)
}

func (b boundedSource) readNext(ctx context.Context) (reading, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.source.readNext(ctx)
}

func (b boundedSource) readPage(ctx context.Context, after, upTo int64) (frames []*Frame, place int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.source.readPage(ctx, after, upTo)
}

func (b boundedSource) findPosition(ctx context.Context, eventID int64) (place int64, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.source.findPosition(ctx, eventID)
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

// startJournal makes the journal, with a first reading in it.
func (f *feed) startJournal(ctx context.Context) error {
	place, err := f.source.findStart(ctx)
	if err != nil {
		return err
	}
	f.journal = newJournal(place)
	first, err := f.source.readNext(ctx)
	if err != nil {
		return err
	}
	f.journal.addFrames(first.frames, first.ended)
	return nil
}

// followSource reads new events until the source ends for good, or ctx ends because there are no subscriptions.
func (f *feed) followSource(ctx context.Context, changed <-chan struct{}, log *slog.Logger) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	failing := false
	for ctx.Err() == nil && !f.journal.isFinished() {
		got, err := f.source.readNext(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			log.WarnContext(ctx, "event feed stalled", "error", err)
		}
		failing = err != nil
		if err == nil {
			f.publishReading(ctx, &got, log)
		}
		clock.Sleep(ctx, minPause)
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

// publishReading adds what was read to the journal.
func (f *feed) publishReading(ctx context.Context, got *reading, log *slog.Logger) {
	if got.reset != nil {
		log.WarnContext(ctx, "the database has lost events; event feed restarted", "after_event", got.reset.eventID)
		f.journal.resetTo(*got.reset)
	}
	f.journal.addFrames(got.frames, got.ended)
}
