package syncer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"rollcall/internal/gitops"
	"rollcall/internal/gitops/manifest"
	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

const (
	// maxConcurrentProbes bounds the targets that are probed at the same time, probeTime the probes of one file.
	maxConcurrentProbes = 16
	probeTime           = 20 * time.Second
)

// observeAttempts updates the attempts from their deployments, and what targets run.
func (s *syncRun) observeAttempts(ctx context.Context) error {
	var done []string
	for i := range s.files {
		f := &s.files[i]
		if f.Attempt == nil {
			continue
		}
		if err := s.abortStale(ctx, f); err != nil {
			return err
		}
		if f.Attempt.State == gitsource.AttemptRunning {
			if err := s.followDeployment(ctx, f); err != nil {
				return err
			}
		}
		if f.Attempt.State == gitsource.AttemptDone {
			done = append(done, f.Attempt.DeploymentID)
		}
	}
	undone, err := s.Deployments.RolledBackBy(ctx, done)
	if err != nil {
		return fmt.Errorf("look for rollbacks: %w", err)
	}
	for i := range s.files {
		f := &s.files[i]
		if f.Attempt != nil && f.Attempt.State == gitsource.AttemptDone && undone[f.Attempt.DeploymentID] != "" {
			gitops.HoldRolledBack(f, undone[f.Attempt.DeploymentID])
			s.settled[f.Path] = true
		}
	}
	return s.observeTargets(ctx)
}

// followDeployment updates an attempt from its deployment.
func (s *syncRun) followDeployment(ctx context.Context, f *gitsource.File) error {
	d, err := s.Deployments.Deployment(ctx, f.Attempt.DeploymentID)
	if err != nil {
		return fmt.Errorf("look at the deployment of %s: %w", f.Path, err)
	}
	if d.State == rollout.StateSuperseded && f.Attempt.Kind != gitsource.AttemptHeal {
		return s.replanSuperseded(ctx, f, &d)
	}
	gitops.SettleAttempt(f, &d, s.now())
	s.settled[f.Path] = !f.IsRunning()
	return nil
}

// replanSuperseded plans an attempt again whose deployment was superseded by a person's before it began: it waits for the end
// of that one. When that one is a rollback, the version is held as if it had been rolled back.
func (s *syncRun) replanSuperseded(ctx context.Context, f *gitsource.File, d *rollout.Deployment) error {
	by, _ := d.Result.Metadata["superseded_by"].(string)
	newer, err := s.Deployments.Deployment(ctx, by)
	switch {
	case problem.CodeOf(err) == problem.CodeNotFound:
	case err != nil:
		return fmt.Errorf("look at the deployment that superseded that of %s: %w", f.Path, err)
	case newer.Kind == rollout.KindRollback:
		f.Attempt.State = gitsource.AttemptHeld
		f.Attempt.Reason = "deployment " + d.ID + " was superseded by the rollback " + by +
			": it is not deployed again until Git has something newer or it is released"
		return nil
	}
	s.status.Serial++
	gitops.PlanAttempt(f, f.Attempt.Kind, s.status.Serial)
	f.Attempt.TryAt = s.now()
	f.Attempt.Reason = fmt.Sprintf("waits: deployment %s was superseded by %s before it began, and is requested again when that one has ended", d.ID, by)
	return nil
}

// abortStale aborts deployments of older attempts that wait in a failing state, and drops those that have ended.
func (s *syncRun) abortStale(ctx context.Context, f *gitsource.File) error {
	a := f.Attempt
	var left []string
	for _, id := range a.Superseded {
		d, err := s.Deployments.Deployment(ctx, id)
		if err != nil {
			return fmt.Errorf("look at the deployment of an older commit: %w", err)
		}
		if d.State.Terminal() {
			continue
		}
		left = append(left, id)
		if f.IsPlanned() && !f.IsBlocked() || !gitops.IsStuckFailing(&d) {
			continue
		}
		why := "commit " + a.Commit + " is newer, and this deployment waits in a failing state"
		if err := s.Deployer.Abort(ctx, id, s.claimed.Source.Name, why); err != nil && problem.CodeOf(err) != problem.CodeConflict {
			return fmt.Errorf("end the deployment of an older commit: %w", err)
		}
	}
	a.Superseded = left
	return nil
}

// observeTargets probes what targets run, after a sync and where something has just ended.
func (s *syncRun) observeTargets(ctx context.Context) error {
	for i := range s.files {
		f := &s.files[i]
		if !s.shouldObserve(f) {
			continue
		}
		f.SeenAt = s.status.DesiredRevision
		wanted, err := s.Deployer.Check(ctx, f.Want.Body)
		if problems, wrong := manifest.FileProblems(err, &manifest.Document{}); wrong {
			for j := range problems {
				problems[j].Commit = f.Want.Commit.SHA
			}
			f.Problems, f.Targets = problems, nil
			continue
		}
		if err != nil {
			return fmt.Errorf("resolve the targets of %s: %w", f.Path, err)
		}
		f.Targets = s.probeTargets(ctx, &wanted)
		if drifted, unknown := f.CountDrift(); drifted+unknown == 0 {
			f.HealFailures = 0
		}
	}
	return ctx.Err()
}

// shouldObserve reports whether the targets of a file are to be probed now.
func (s *syncRun) shouldObserve(f *gitsource.File) bool {
	healDue := f.HealFailures > 0 && !f.HealAt.After(s.now())
	due := s.synced || s.settled[f.Path] || healDue || f.SeenAt != s.status.DesiredRevision
	return f.Want != nil && !f.IsRunning() && due
}

// probeTargets returns what each target runs: what it reports itself where a check can read that, else what was deployed last.
func (s *syncRun) probeTargets(ctx context.Context, wanted *storage.NewDeployment) []gitsource.Drift {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	targets := targetsInScope(wanted)
	drifts := make([]gitsource.Drift, len(targets))
	spec := &wanted.Deployment.Spec
	i := spec.VersionCheck()
	room := make(chan struct{}, maxConcurrentProbes)
	var all sync.WaitGroup
	for n, t := range targets {
		drifts[n] = gitsource.Drift{Target: t.ID, Wanted: wanted.Deployment.Version, Actual: t.Version}
		if i < 0 {
			continue
		}
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			drifts[n].Actual = s.Prober.Probe(ctx, spec.Checks[i], t.Address, spec.TLS).Version
		})
	}
	all.Wait()
	return drifts
}

// targetsInScope returns the targets that should run the version: with slots only those of the slot that serves, since the other
// one keeps the version before.
func targetsInScope(wanted *storage.NewDeployment) []*rollout.Target {
	active := wanted.Deployment.Spec.ActiveSlot
	var targets []*rollout.Target
	for i := range wanted.Targets {
		t := &wanted.Targets[i]
		if wanted.Deployment.Spec.IdleSlot != "" && t.Slot != active {
			continue
		}
		targets = append(targets, t)
	}
	return targets
}

// startHealing deploys one file again whose targets have drifted, when the source heals.
func (s *syncRun) startHealing(ctx context.Context) error {
	if !s.claimed.Source.Heal {
		return nil
	}
	chosen, err := s.selectForHealing(ctx)
	if err != nil || chosen == nil {
		return err
	}
	s.status.Serial++
	gitops.PlanAttempt(chosen, gitsource.AttemptHeal, s.status.Serial)
	gitops.UpdateStatus(&s.status, s.files)
	if err := s.saveProgress(ctx, false); err != nil {
		return err
	}
	return s.deployPlanned(ctx)
}

// selectForHealing returns the file whose targets are healed now, or nil.
func (s *syncRun) selectForHealing(ctx context.Context) (*gitsource.File, error) {
	now, busy := s.now(), map[string]bool{} // one moment for all: of a file that is due later the services were not checked
	for i := range s.files {
		f := &s.files[i]
		if !gitops.CanHeal(f, now) {
			continue
		}
		b, err := s.Deployments.HasUnfinished(ctx, f.Want.Service, f.Want.Environment)
		if err != nil {
			return nil, fmt.Errorf("check whether %s may be healed: %w", f.Want.Key(), err)
		}
		busy[f.Want.Key()] = b
	}
	return gitops.SelectForHealing(s.files, busy, now), nil
}
