package feed

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// Store reads deployments and their events.
type Store interface {
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
	// DeploymentsByID reads those of the deployments that there are, in any order.
	DeploymentsByID(ctx context.Context, ids []string) ([]rollout.Deployment, error)
	// DeploymentEvents reads a deployment's events with a number above after and not above upTo, SeqForEventID the number of
	// its newest event whose id is not above eventID.
	DeploymentEvents(ctx context.Context, id string, after, upTo int64, limit int) ([]rollout.Event, error)
	SeqForEventID(ctx context.Context, id string, eventID int64) (int64, error)
	// HasEvent reports whether an event with the id is there, of whichever deployment.
	HasEvent(ctx context.Context, eventID int64) (bool, error)
	// LastCommon is the highest of the ids at which an event with the hash beside it is there; 0 when there is none.
	LastCommon(ctx context.Context, marks []rollout.EventMark) (int64, error)
	// AllEvents reads the events of all deployments with an id above after and not above upTo.
	AllEvents(ctx context.Context, after, upTo int64, limit int) ([]rollout.Event, error)
	// LatestEventID is the newest id below which no event will appear any more, EventsAfter reads what comes after a cursor.
	// It is problem.CodeOwnershipLost when the event at the cursor is not there any more, or another one.
	LatestEventID(ctx context.Context) (int64, error)
	EventsAfter(ctx context.Context, t storage.EventCursor, limit int) ([]rollout.Event, storage.EventCursor, error)
	// SubscribeChanges hints that a deployment may have changed, or any of them with an empty id.
	SubscribeChanges(id string) (<-chan struct{}, func())
}

// Config configures a Hub. All fields are required.
type Config struct {
	Store Store
	// ReadTimeout bounds each reading of the store.
	ReadTimeout time.Duration
	Log         *slog.Logger
	// Event and Deployments encode what the watchers get; Deployments gives one encoding for each.
	Event       func(e *rollout.Event) ([]byte, error)
	Deployments func(ctx context.Context, list []rollout.Deployment) ([][]byte, error)
}

// Hub holds the feeds of this replica. It is safe for concurrent use.
type Hub struct {
	config Config
	mu     sync.Mutex
	open   map[string]*feed
}

// New returns a Hub without feeds.
func New(c Config) *Hub { return &Hub{config: c, open: map[string]*feed{}} }

// FromStart is the position before the first event.
const FromStart = 0

// SubscribeDeployment subscribes to one deployment from the event after the one with the given id: its events and, after
// them, its state whenever it has changed, the current one first. It ends with the deployment. The error is the store's, if
// the deployment does not exist or cannot be read.
func (f *Hub) SubscribeDeployment(ctx context.Context, id string, after int64) (*Subscription, error) {
	source := &deploymentSource{config: &f.config, id: id}
	fd, err := f.joinFeed(ctx, id, source)
	if err != nil {
		return nil, err
	}
	leave := func() { f.leaveFeed(id, fd) }
	resets, _ := fd.journal.lastReset()
	at := from{resets: resets}
	place, known, err := fd.source.findPosition(ctx, after)
	switch {
	case err != nil:
		leave()
		return nil, err
	case known:
		at.place = place
	default:
		at.lost = &beginning{}
	}
	return newSubscription(fd, at, func(*Frame) bool { return true }, leave), nil
}

// Selection selects deployments. An empty name selects all within the scopes.
type Selection struct {
	Service, Environment string
	Scopes               authz.Scopes
}

func (s Selection) matchesFrame(f *Frame) bool {
	return s.Scopes.Allow(f.Service, f.Environment) && (s.Service == "" || s.Service == f.Service) && (s.Environment == "" || s.Environment == f.Environment)
}

// SubscribeAll subscribes to all deployments from the event after the one with the given id, or from now on if that is nil.
// It never ends. position is where it begins.
func (f *Hub) SubscribeAll(ctx context.Context, s Selection, after *int64) (w *Subscription, position int64, err error) {
	fd, err := f.joinFeed(ctx, everything, &allSource{config: &f.config})
	if err != nil {
		return nil, 0, err
	}
	leave := func() { f.leaveFeed(everything, fd) }
	resets, _ := fd.journal.lastReset()
	position, known, err := f.findPosition(ctx, fd, after)
	if err != nil {
		leave()
		return nil, 0, err
	}
	at := from{place: position, resets: resets}
	if !known {
		at.lost = &beginning{place: position, eventID: position}
	}
	return newSubscription(fd, at, s.matchesFrame, leave), position, nil
}

// findPosition returns the place to begin at. An id that does not exist, for example after a restore, is not known, and the
// place is then no later than now.
func (f *Hub) findPosition(ctx context.Context, fd *feed, after *int64) (position int64, known bool, err error) {
	end := fd.journal.newestPosition()
	if after == nil {
		return end, true, nil
	}
	position, known, err = fd.source.findPosition(ctx, *after)
	if err != nil || known {
		return position, known, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.config.ReadTimeout)
	defer cancel()
	newest, err := f.config.Store.LatestEventID(ctx)
	return min(*after, max(newest, end)), false, err
}

// everything is the key of the feed of all deployments.
const everything = ""

// joinFeed returns the feed of the key, with one more subscription; source is for a new feed. It waits until there is a first
// reading.
func (f *Hub) joinFeed(ctx context.Context, key string, source source) (*feed, error) {
	fd := f.openFeed(key, source)
	select {
	case <-fd.begun:
	case <-ctx.Done():
		f.leaveFeed(key, fd)
		return nil, ctx.Err()
	}
	if fd.err != nil {
		f.leaveFeed(key, fd)
		return nil, fd.err
	}
	return fd, nil
}

func (f *Hub) openFeed(key string, source source) *feed {
	f.mu.Lock()
	defer f.mu.Unlock()
	fd := f.open[key]
	if fd == nil {
		ctx, cancel := context.WithCancel(context.Background())
		fd = &feed{source: boundedSource{source, f.config.ReadTimeout}, begun: make(chan struct{}), cancel: cancel}
		f.open[key] = fd
		go f.runFeed(ctx, key, fd)
	}
	fd.subscriptions++
	return fd
}

// runFeed runs a feed, in a goroutine of its own.
func (f *Hub) runFeed(ctx context.Context, key string, fd *feed) {
	changed, stop := f.config.Store.SubscribeChanges(key) // before the first reading, so that no change falls in between
	defer stop()
	err := fd.startJournal(ctx)
	if err != nil {
		f.mu.Lock()
		f.dropFeed(key, fd)
		f.mu.Unlock()
	}
	fd.err = err
	close(fd.begun)
	if err == nil {
		fd.followSource(ctx, changed, f.config.Log)
	}
}

// leaveFeed removes one subscription; without any, the feed stops.
func (f *Hub) leaveFeed(key string, fd *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fd.subscriptions--; fd.subscriptions > 0 {
		return
	}
	fd.cancel()
	f.dropFeed(key, fd)
}

// dropFeed drops the feed, so that the next subscription opens a new one; mu must be held.
func (f *Hub) dropFeed(key string, fd *feed) {
	if f.open[key] == fd {
		delete(f.open, key)
	}
}
