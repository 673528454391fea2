package gitops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"rollcall/internal/clock"
	"rollcall/internal/gitsource"
	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

const (
	// pollEvery is how often a replica looks for sources that want attention; a notification makes it look sooner.
	pollEvery = 500 * time.Millisecond
	// tidyEvery is how often unneeded mirrors are looked for.
	tidyEvery = time.Hour
	// faultPause is how long a source is left alone when it could not be worked on.
	faultPause = 2 * time.Second
	// mostAtOnce bounds the sources that a replica works on at the same time.
	mostAtOnce = 4
	// releaseTimeout bounds the good-bye of a replica that stops.
	releaseTimeout = 2 * time.Second
	claimTimeout   = 2 * time.Second

	defaultFetchTime  = 2 * time.Minute
	defaultFetchBytes = 512 << 20
)

// Store remembers sources. Its errors carry rollout codes: CodeOwnershipLost when a claim is no longer held, CodeConflict when
// another source manages a key by now.
type Store interface {
	ClaimSources(ctx context.Context, replica string, mine []string, limit int) ([]gitsource.Claimed, error)
	SaveSource(ctx context.Context, save gitsource.Save) error
	ReleaseSources(ctx context.Context, replica string) error
	SubscribeSources() (<-chan struct{}, func())
	Source(ctx context.Context, name string) (gitsource.Report, error)
	SourceWithoutFiles(ctx context.Context, name string) (gitsource.Report, error)
	// SourceIDs are the ids of all sources.
	SourceIDs(ctx context.Context) ([]string, error)
	// ManagedElsewhere returns by key which other sources manage what.
	ManagedElsewhere(ctx context.Context, source string) (map[string]string, error)
	// RecordPush requests a sync because of a notification; false for a replay.
	RecordPush(ctx context.Context, p gitsource.Push) (bool, error)
}

// Deployments reports what became of deployments.
type Deployments interface {
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
	RolledBackBy(ctx context.Context, ids []string) (map[string]string, error)
	// HasUnfinished reports whether a deployment of the service and environment has not ended.
	HasUnfinished(ctx context.Context, service, environment string) (bool, error)
}

// Deployer makes deployments as POST /deployments does.
type Deployer interface {
	// Check returns what a request would become; a CodeInvalid error lists what is wrong with it.
	Check(ctx context.Context, body []byte) (storage.NewDeployment, error)
	// Deploy stores it, once for each name that the source gives it, and not when the claim is lost.
	Deploy(ctx context.Context, body []byte, source *gitsource.Source, claim storage.SourceClaim, name string) (storage.Created, error)
	// Abort ends a deployment for the source.
	Abort(ctx context.Context, id, source, why string) error
}

// Prober asks a target what it runs.
type Prober interface {
	Probe(ctx context.Context, check healthcheck.Check, address string, trust *rollout.TLS) healthcheck.ProbeResult
}

// Recorder counts syncs.
type Recorder interface {
	SyncDone(source string, took time.Duration, failed bool)
}

// Config is what a Loop is made of; everything without a default is required.
type Config struct {
	Replica string
	// Folder is where mirrors are kept; it is made when it is needed. No other process may use it.
	Folder      string
	Store       Store
	Deployments Deployments
	Deployer    Deployer
	Prober      Prober
	Resolver    Resolver
	Recorder    Recorder
	Log         *slog.Logger
	// FetchTime and FetchBytes bound one fetch and the size of a mirror (2m, 512 MiB).
	FetchTime  time.Duration
	FetchBytes int64
	// Share gives a number from 0 to 1, by chance: it spreads polls.
	Share func() float64
}

// Loop works on the sources that it claims, beside other replicas that do the same.
type Loop struct {
	Config
	mirrors mirrors
	work    sync.WaitGroup
	mu      sync.Mutex
	mine    map[string]struct{}
}

// New prepares a loop, and throws away what is left of a predecessor's calls.
func New(c Config) (*Loop, error) {
	if c.FetchTime == 0 {
		c.FetchTime = defaultFetchTime
	}
	if c.FetchBytes == 0 {
		c.FetchBytes = defaultFetchBytes
	}
	left, err := filepath.Glob(filepath.Join(c.Folder, "call-*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return nil, fmt.Errorf("tidy the folder for mirrors: %w", err)
	}
	return &Loop{
		Config: c, mine: map[string]struct{}{},
		mirrors: mirrors{folder: c.Folder, fetchTime: c.FetchTime, fetchBytes: c.FetchBytes},
	}, nil
}

// Run works until ctx ends, then gives up what it owns.
func (l *Loop) Run(ctx context.Context) {
	changed, stop := l.Store.SubscribeSources()
	defer stop()
	ticker, tidy := time.NewTicker(pollEvery), time.NewTicker(tidyEvery)
	defer ticker.Stop()
	defer tidy.Stop()
	l.tidy(ctx)
	for ctx.Err() == nil {
		l.claim(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-changed:
		case <-tidy.C:
			l.tidy(ctx)
		}
	}
	l.work.Wait()
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := l.Store.ReleaseSources(bound, l.Replica); err != nil {
		l.Log.WarnContext(bound, "sources could not be given up: others wait until this replica's lease ends", "error", err)
	}
}

// tidy removes mirrors that are not needed any more.
func (l *Loop) tidy(ctx context.Context) {
	ids, err := l.Store.SourceIDs(ctx)
	if err == nil {
		err = l.mirrors.keepOnly(ids)
	}
	if err != nil && ctx.Err() == nil {
		l.Log.WarnContext(ctx, "old mirrors could not be removed", "error", err)
	}
}

// claim takes what wants attention, as far as there is room, and works on it.
func (l *Loop) claim(ctx context.Context) {
	mine := l.working()
	room := mostAtOnce - len(mine)
	if room <= 0 {
		return
	}
	bound, cancel := context.WithTimeout(ctx, claimTimeout) // a database that is gone without a word would hold it for minutes
	defer cancel()
	claimed, err := l.Store.ClaimSources(bound, l.Replica, mine, room)
	if err != nil && ctx.Err() == nil {
		l.Log.WarnContext(ctx, "sources could not be claimed", "error", err)
	}
	for i := range claimed {
		c := &claimed[i]
		l.begin(c.Source.Name)
		l.work.Go(func() {
			defer l.end(c.Source.Name)
			l.attend(ctx, c)
		})
	}
}

// attend does one step for a source, and logs what stood in its way.
func (l *Loop) attend(ctx context.Context, c *gitsource.Claimed) {
	err := newStep(l, c).run(ctx)
	switch {
	case err == nil, ctx.Err() != nil:
	case problem.CodeOf(err) == problem.CodeOwnershipLost:
		l.Log.InfoContext(ctx, "a source was changed or taken over", "source", c.Source.Name)
	default:
		l.Log.WarnContext(ctx, "a source could not be worked on", "source", c.Source.Name, "error", err)
		clock.Sleep(ctx, faultPause) // it counts as worked on meanwhile, and so is not claimed again at once
	}
}

func (l *Loop) working() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := make([]string, 0, len(l.mine))
	for name := range l.mine {
		names = append(names, name)
	}
	return names
}

func (l *Loop) begin(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mine[name] = struct{}{}
}

func (l *Loop) end(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mine, name)
}
