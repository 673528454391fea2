package syncer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rollcall/internal/clock"
	"rollcall/internal/gitops/mirror"
	"rollcall/internal/gitsource"
	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

const (
	// pollInterval is how often a replica looks for sources that want attention; a notification makes it look sooner.
	pollInterval = 500 * time.Millisecond
	// pruneInterval is how often unneeded mirrors are looked for.
	pruneInterval = time.Hour
	// faultPause is how long a source is left alone when it could not be worked on.
	faultPause = 2 * time.Second
	// maxConcurrentSources bounds the sources that a replica works on at the same time.
	maxConcurrentSources = 4
	// releaseTimeout bounds the good-bye of a replica that stops.
	releaseTimeout = 2 * time.Second
	claimTimeout   = 2 * time.Second
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
	Replica     string
	Mirrors     *mirror.Cache
	Store       Store
	Deployments Deployments
	Deployer    Deployer
	Prober      Prober
	Recorder    Recorder
	Log         *slog.Logger
	// Share gives a number from 0 to 1, by chance: it spreads polls.
	Share func() float64
}

// Syncer works on the sources that it claims, beside other replicas that do the same.
type Syncer struct {
	Config
	running   sync.WaitGroup
	mu     sync.Mutex
	inWork map[string]struct{}
}

// New prepares a syncer.
func New(c Config) *Syncer { return &Syncer{Config: c, inWork: map[string]struct{}{}} }

// Run works until ctx ends, then gives up what it owns.
func (l *Syncer) Run(ctx context.Context) {
	changed, stop := l.Store.SubscribeSources()
	defer stop()
	ticker, tidy := time.NewTicker(pollInterval), time.NewTicker(pruneInterval)
	defer ticker.Stop()
	defer tidy.Stop()
	l.pruneMirrors(ctx)
	for ctx.Err() == nil {
		l.claimSources(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-changed:
		case <-tidy.C:
			l.pruneMirrors(ctx)
		}
	}
	l.running.Wait()
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := l.Store.ReleaseSources(bound, l.Replica); err != nil {
		l.Log.WarnContext(bound, "sources could not be given up: others wait until this replica's lease ends", "error", err)
	}
}

// pruneMirrors removes mirrors that are not needed any more.
func (l *Syncer) pruneMirrors(ctx context.Context) {
	ids, err := l.Store.SourceIDs(ctx)
	if err == nil {
		err = l.Mirrors.KeepOnly(ids)
	}
	if err != nil && ctx.Err() == nil {
		l.Log.WarnContext(ctx, "old mirrors could not be removed", "error", err)
	}
}

// claimSources takes what wants attention, as far as there is room, and works on it.
func (l *Syncer) claimSources(ctx context.Context) {
	mine := l.sourcesInWork()
	room := maxConcurrentSources - len(mine)
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
		l.startWork(c.Source.Name)
		l.running.Go(func() {
			defer l.endWork(c.Source.Name)
			l.processSource(ctx, c)
		})
	}
}

// processSource does one step for a source, and logs what stood in its way.
func (l *Syncer) processSource(ctx context.Context, c *gitsource.Claimed) {
	err := newSyncRun(l, c).run(ctx)
	switch {
	case err == nil, ctx.Err() != nil:
	case problem.CodeOf(err) == problem.CodeOwnershipLost:
		l.Log.InfoContext(ctx, "a source was changed or taken over", "source", c.Source.Name)
	default:
		l.Log.WarnContext(ctx, "a source could not be worked on", "source", c.Source.Name, "error", err)
		clock.Sleep(ctx, faultPause) // it counts as worked on meanwhile, and so is not claimed again at once
	}
}

func (l *Syncer) sourcesInWork() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := make([]string, 0, len(l.inWork))
	for name := range l.inWork {
		names = append(names, name)
	}
	return names
}

func (l *Syncer) startWork(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inWork[name] = struct{}{}
}

func (l *Syncer) endWork(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.inWork, name)
}
