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
	// pollInterval is how often a replica looks for sources that are due; a notification makes it look sooner.
	pollInterval = 500 * time.Millisecond
	// pruneInterval is how often unneeded mirrors are removed.
	pruneInterval = time.Hour
	// faultPause is how long a source rests after a step failed.
	faultPause = 2 * time.Second
	// maxConcurrentSources bounds the sources that a replica works on at the same time.
	maxConcurrentSources = 4
	// releaseTimeout bounds how long a replica that stops releases its sources.
	releaseTimeout = 2 * time.Second
	claimTimeout   = 2 * time.Second
)

// Store stores sources. Its errors carry rollout codes: CodeOwnershipLost when a claim is no longer held, CodeConflict when
// another source manages a key by now.
type Store interface {
	ClaimSources(ctx context.Context, replica string, inWork []string, limit int) ([]gitsource.Claimed, error)
	SaveSource(ctx context.Context, save gitsource.Save) error
	ReleaseSources(ctx context.Context, replica string) error
	SubscribeSources() (<-chan struct{}, func())
	Source(ctx context.Context, name string) (gitsource.Report, error)
	SourceWithoutFiles(ctx context.Context, name string) (gitsource.Report, error)
	// SourceIDs returns the ids of all sources.
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
	// Deploy stores it, once for each name that the source has for it, and not when the claim is lost.
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

// Config has what a Syncer needs; all of it is required.
type Config struct {
	Replica     string
	Mirrors     *mirror.Cache
	Store       Store
	Deployments Deployments
	Deployer    Deployer
	Prober      Prober
	Recorder    Recorder
	Log         *slog.Logger
	// Share returns a random number from 0 to 1, which spreads polls.
	Share func() float64
}

// Syncer works on the sources that it claims, beside other replicas that do the same.
type Syncer struct {
	Config
	running sync.WaitGroup
	mu      sync.Mutex
	// inWork has the names of the sources that are being processed.
	inWork map[string]struct{}
}

// New prepares a syncer.
func New(c Config) *Syncer { return &Syncer{Config: c, inWork: map[string]struct{}{}} }

// Run syncs sources until ctx ends, then releases those that it owns.
func (s *Syncer) Run(ctx context.Context) {
	changed, stop := s.Store.SubscribeSources()
	defer stop()
	ticker, prune := time.NewTicker(pollInterval), time.NewTicker(pruneInterval)
	defer ticker.Stop()
	defer prune.Stop()
	s.pruneMirrors(ctx)
	for ctx.Err() == nil {
		s.claimSources(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-changed:
		case <-prune.C:
			s.pruneMirrors(ctx)
		}
	}
	s.running.Wait()
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := s.Store.ReleaseSources(bound, s.Replica); err != nil {
		s.Log.WarnContext(bound, "sources could not be released: others wait until this replica's lease ends", "error", err)
	}
}

// pruneMirrors removes mirrors that are not needed any more.
func (s *Syncer) pruneMirrors(ctx context.Context) {
	ids, err := s.Store.SourceIDs(ctx)
	if err == nil {
		err = s.Mirrors.KeepOnly(ids)
	}
	if err != nil && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "old mirrors could not be removed", "error", err)
	}
}

// claimSources claims sources that are due, up to maxConcurrentSources, and processes each.
func (s *Syncer) claimSources(ctx context.Context) {
	inWork := s.sourcesInWork()
	room := maxConcurrentSources - len(inWork)
	if room <= 0 {
		return
	}
	bound, cancel := context.WithTimeout(ctx, claimTimeout) // a database that does not answer would block it for minutes
	defer cancel()
	claimed, err := s.Store.ClaimSources(bound, s.Replica, inWork, room)
	if err != nil && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "sources could not be claimed", "error", err)
	}
	for i := range claimed {
		c := &claimed[i]
		s.startWork(c.Source.Name)
		s.running.Go(func() {
			defer s.endWork(c.Source.Name)
			s.processSource(ctx, c)
		})
	}
}

// processSource takes one step for a source, and logs why it failed.
func (s *Syncer) processSource(ctx context.Context, c *gitsource.Claimed) {
	err := newSyncRun(s, c).run(ctx)
	switch {
	case err == nil, ctx.Err() != nil:
	case problem.CodeOf(err) == problem.CodeOwnershipLost:
		s.Log.InfoContext(ctx, "a source was changed or taken over", "source", c.Source.Name)
	default:
		s.Log.WarnContext(ctx, "a source could not be worked on", "source", c.Source.Name, "error", err)
		clock.Sleep(ctx, faultPause) // it counts as in work meanwhile, and so is not claimed again at once
	}
}

func (s *Syncer) sourcesInWork() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.inWork))
	for name := range s.inWork {
		names = append(names, name)
	}
	return names
}

func (s *Syncer) startWork(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inWork[name] = struct{}{}
}

func (s *Syncer) endWork(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.inWork, name)
}
