package syncer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/gitops"
	"rollcall/internal/gitops/mirror"
	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
)

// syncRun is one step of a claimed source.
type syncRun struct {
	*Syncer
	claimed   *gitsource.Claimed
	status    gitsource.Status
	files     []gitsource.File
	startedAt time.Time
	// acked is the last request that was taken into account, synced whether the branch was read, fetched whether a new
	// commit was fetched; settled has the paths whose attempts have just ended.
	acked   int64
	synced  bool
	fetched bool
	settled map[string]bool
}

func newSyncRun(l *Syncer, c *gitsource.Claimed) *syncRun {
	return &syncRun{Syncer: l, claimed: c, status: c.Status, files: c.Files, startedAt: time.Now(), settled: map[string]bool{}}
}

// now returns the database's time.
func (s *syncRun) now() time.Time { return s.claimed.Now.Add(time.Since(s.startedAt)) }

// run takes the step. What was planned before comes first: it is in the database.
func (s *syncRun) run(ctx context.Context) error {
	if err := s.deployPlanned(ctx); err != nil {
		return err
	}
	if s.isDue() && !s.hasReadyAttempt() {
		if err := s.syncBranch(ctx); err != nil {
			return err
		}
	}
	if err := s.observeAttempts(ctx); err != nil {
		return err
	}
	if err := s.startHealing(ctx); err != nil {
		return err
	}
	gitops.UpdateStatus(&s.status, s.files)
	return s.saveProgress(ctx, true)
}

// isDue reports whether the branch is to be read now.
func (s *syncRun) isDue() bool {
	return len(s.claimed.Requests) > 0 || !s.status.NextSyncAt.After(s.now())
}

// hasReadyAttempt reports whether an attempt is planned that can begin now.
func (s *syncRun) hasReadyAttempt() bool {
	return slices.ContainsFunc(s.files, func(f gitsource.File) bool { return f.IsPlanned() && !f.IsBlocked() })
}

// saveProgress stores the step's findings; the last one releases the source.
func (s *syncRun) saveProgress(ctx context.Context, last bool) error {
	runAt := gitops.NextRunAt(&s.status, s.files, s.claimed.Source.Heal, s.now())
	return s.Store.SaveSource(ctx, gitsource.Save{
		Claim: s.claimed.Claim, Status: s.status, Files: s.files, AckedRequests: s.acked, Release: last, RunAt: runAt,
	})
}

// syncBranch reads the branch and makes the deployments that follow. A failure of the remote is part of the status.
func (s *syncRun) syncBranch(ctx context.Context) error {
	began := time.Now()
	err := s.readBranch(ctx)
	if ctx.Err() != nil || problem.CodeOf(err) == problem.CodeUnavailable {
		return err
	}
	s.Recorder.SyncDone(s.claimed.Source.Name, time.Since(began), err != nil)
	s.synced = true
	s.status.LastSyncAt = s.now()
	if err == nil {
		s.status.LastGoodSyncAt, s.status.Failures, s.status.Error = s.status.LastSyncAt, 0, ""
	} else {
		s.status.Failures++
		s.status.Error = gitops.TruncateText(err.Error(), 2*gitops.MaxErrorText)
		s.Log.WarnContext(ctx, "a source could not be synced", "source", s.claimed.Source.Name, "error", err, "failures", s.status.Failures)
	}
	failures := s.status.Failures
	if s.fetched {
		failures = 0 // the remote works, and what is wrong in the repository may be corrected at any moment
	}
	s.status.NextSyncAt = gitops.NextSyncAt(s.now(), s.claimed.Source.Interval.Std(), failures, s.Share())
	for _, request := range s.claimed.Requests {
		s.acked = max(s.acked, request.ID)
	}
	s.status.Serial = gitops.PlanRequested(s.files, s.claimed.Requests, s.status.Serial)
	gitops.UpdateStatus(&s.status, s.files)
	if err := s.saveProgress(ctx, false); err != nil {
		return err
	}
	return s.deployPlanned(ctx)
}

// readBranch updates files and desired revision to the branch.
func (s *syncRun) readBranch(ctx context.Context) error {
	source := &s.claimed.Source
	return s.Mirrors.WithMirror(ctx, source, func(m *mirror.Mirror) error {
		tip, err := m.BranchTip(ctx, source)
		if err != nil || tip == s.status.DesiredRevision && s.isUnchanged() {
			return err
		}
		revision, err := m.FetchCommit(ctx, source, tip)
		if err != nil {
			return err
		}
		s.fetched = true
		if err := m.VerifySignature(ctx, revision, source.AllowedSigners); err != nil {
			return err
		}
		read, err := s.readFiles(ctx, m, source, revision, s.files)
		if err != nil {
			return err
		}
		if err := s.noteRewrite(ctx, m, revision); err != nil {
			return err
		}
		known := s.files
		s.files, s.status.Serial = gitops.MergeFiles(known, read, s.claimed.ManagedElsewhere, s.status.Serial)
		s.status.Removed = gitops.ListRemoved(s.status.Removed, known, s.files, s.claimed.ManagedElsewhere, revision, s.now())
		s.status.DesiredRevision = revision
		return nil
	})
}

// isUnchanged reports whether reading the same commit again can find nothing new.
func (s *syncRun) isUnchanged() bool {
	for i := range s.files {
		if len(s.files[i].Problems) > 0 {
			return false
		}
	}
	return len(s.claimed.Requests) == 0 && s.status.Error == "" && s.status.LastGoodSyncAt.After(s.claimed.Source.UpdatedAt)
}

// noteRewrite records that the branch's history was replaced.
func (s *syncRun) noteRewrite(ctx context.Context, m *mirror.Mirror, revision string) error {
	before := s.status.DesiredRevision
	if before == "" || before == revision {
		return nil
	}
	descends, err := m.DescendsFrom(ctx, revision, before)
	if err != nil {
		return fmt.Errorf("compare the branch with what it was: %w", err)
	}
	if !descends {
		s.status.Rewrite = &gitsource.Rewrite{At: s.now(), From: before, To: revision}
		s.Log.WarnContext(ctx, "the history of a source's branch was rewritten", "source", s.claimed.Source.Name, "from", before, "to", revision)
	}
	return nil
}

// deployPlanned requests the planned deployments. Each attempt has a name of its own, so a repeated request makes no second
// deployment.
func (s *syncRun) deployPlanned(ctx context.Context) error {
	requested := false
	for i := range s.files {
		f := &s.files[i]
		ready, err := s.canDeploy(ctx, f)
		if err != nil {
			return err
		}
		if !ready {
			continue
		}
		requested = true
		body, err := gitops.RequestBody(f)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s@%s#%d", f.Want.Key(), f.Attempt.Commit, f.Attempt.Serial)
		created, err := s.Deployer.Deploy(ctx, body, &s.claimed.Source, s.claimed.Claim, name)
		if err := gitops.RecordDeploy(f.Attempt, &created, err, s.now()); err != nil {
			return fmt.Errorf("deploy %s for source %s: %w", f.Want.Key(), s.claimed.Source.Name, err)
		}
	}
	if !requested {
		return nil
	}
	gitops.UpdateStatus(&s.status, s.files)
	return s.saveProgress(ctx, false)
}

// canDeploy reports whether an attempt is planned and, as far as known, can begin.
func (s *syncRun) canDeploy(ctx context.Context, f *gitsource.File) (bool, error) {
	if !f.IsBlocked() || f.Attempt.TryAt.After(s.now()) {
		return f.IsPlanned() && !f.IsBlocked(), nil
	}
	busy, err := s.Deployments.HasUnfinished(ctx, f.Want.Service, f.Want.Environment)
	if err != nil {
		return false, fmt.Errorf("check whether %s can be deployed: %w", f.Want.Key(), err)
	}
	if busy {
		f.Attempt.TryAt = s.now().Add(gitops.RecheckInterval)
	}
	return !busy, nil
}
