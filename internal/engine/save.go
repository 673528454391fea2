package engine

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"rollcall/internal/clock"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy/lifecycle"
)

// saveChanges stores all changes, and retries for as long as the lease lasts. It reverts a step that is rejected.
func (s *session) saveChanges(dr *pendingStep, release bool) error {
	sv := storage.SaveRequest{Deployment: s.snap.Deployment, Events: s.events, Release: release, RunAt: dr.wake}
	sv.Deployment.Counts = rollout.CountStates(s.snap.Targets)
	changed := s.dirty
	if release {
		changed = s.touched
	}
	inFlight := s.addTargets(&sv, changed)
	saved, err := s.saveWithRetry(sv)
	if err != nil {
		s.revertStep(dr)
		return s.handleRejectedSave(err, dr)
	}
	d := &s.snap.Deployment
	d.Revision, d.LastSeq, d.EventsHash, d.Saves = saved.Revision, saved.LastSeq, saved.EventsHash, saved.Saves
	d.Counts = sv.Deployment.Counts
	for i := range changed {
		delete(s.touched, i)
	}
	s.stored, s.ownerless = d.Status, false
	s.events, s.dirty, s.oldest, s.savedInFlight = nil, map[int]struct{}{}, time.Time{}, inFlight
	s.unlogged = append(s.unlogged, sv.Events...)
	return nil
}

// addTargets adds the changed targets to a save, and those that are stored as in flight. It returns which of them this save
// stores so, and how often without a change: those that will soon change again, unless it may be the session's last save.
func (s *session) addTargets(sv *storage.SaveRequest, changed map[int]struct{}) map[int]int {
	inFlight := map[int]int{}
	for i, unchanged := range s.savedInFlight {
		inFlight[i] = unchanged + 1
	}
	for i := range changed {
		inFlight[i] = 0
	}
	all := slices.Sorted(maps.Keys(inFlight))
	last := sv.Release || sv.Deployment.State.Terminal()
	maps.DeleteFunc(inFlight, func(i, unchanged int) bool {
		return last || unchanged > maxUnchanged || s.snap.Targets[i].Done()
	})
	if len(inFlight) > maxInFlight {
		clear(inFlight)
	}
	for _, i := range all {
		t := s.snap.Targets[i].Clone()
		if _, ok := inFlight[i]; ok {
			sv.InFlight = append(sv.InFlight, t)
		} else {
			sv.Targets = append(sv.Targets, t)
		}
	}
	return inFlight
}

// handleRejectedSave handles a save that the database rejected.
func (s *session) handleRejectedSave(err error, dr *pendingStep) error {
	if problem.CodeOf(err) != problem.CodeConflict || dr.deployment.Active() {
		return err
	}
	// Another deployment of the service started first: this one queues as if it had never been claimed.
	dr.wake = s.engine.now().Add(pollEvery)
	s.events, s.dirty = nil, map[int]struct{}{}
	if _, err := s.saveWithRetry(storage.SaveRequest{Deployment: s.snap.Deployment, Release: true, RunAt: dr.wake}); err != nil {
		return err
	}
	return errReleased
}

// saveWithRetry repeats a save until the database has accepted or rejected it, or the ownership has ended.
func (s *session) saveWithRetry(sv storage.SaveRequest) (storage.SaveResult, error) {
	for {
		ctx, cancel := context.WithTimeout(s.ctx, saveTimeout)
		began := time.Now()
		saved, err := s.engine.Deployments.SaveDeployment(ctx, sv)
		cancel()
		s.engine.Recorder.SaveDone(time.Since(began), len(sv.Targets)+len(sv.InFlight), err != nil && !isRejection(err))
		if err == nil || isRejection(err) {
			return saved, err
		}
		level := slog.LevelWarn
		if problem.CodeOf(err) != problem.CodeUnavailable && s.ctx.Err() == nil {
			level = slog.LevelError // the database responds and does not accept it: a retry may not help
		}
		s.log.Log(s.ctx, level, "failed to save deployment; retrying", "error", err)
		clock.Sleep(s.ctx, saveRetry)
		if s.ctx.Err() != nil {
			return saved, errDropped
		}
	}
}

// isRejection reports whether the database rejected a save, rather than not responding.
func isRejection(err error) bool {
	code := problem.CodeOf(err)
	return code == problem.CodeOwnershipLost || code == problem.CodeStale || code == problem.CodeConflict || code == problem.CodeNotFound
}

// reloadDeployment reads the deployment's row again, after an operator changed it.
func (s *session) reloadDeployment() error {
	for {
		ctx, cancel := context.WithTimeout(s.ctx, queryTimeout)
		fresh, err := s.engine.Deployments.Deployment(ctx, s.id)
		cancel()
		if err == nil {
			return s.replaceDeployment(fresh)
		}
		s.log.WarnContext(s.ctx, "failed to reload deployment; retrying", "error", err)
		clock.Sleep(s.ctx, saveRetry)
		if s.ctx.Err() != nil {
			return errDropped
		}
	}
}

func (s *session) replaceDeployment(fresh rollout.Deployment) error {
	d := &s.snap.Deployment
	if fresh.Owner != d.Owner || fresh.Epoch != d.Epoch {
		return &problem.Error{Code: problem.CodeOwnershipLost, Message: "the deployment has a new owner"}
	}
	if fresh.Saves != d.Saves {
		return &problem.Error{Code: problem.CodeOwnershipLost, Message: "the database has lost a save; continuing from the stored state"}
	}
	fresh.DeploySecret = d.DeploySecret
	s.stored = fresh.Status
	// The router's state and the active slot may not be stored yet, and only the owner writes them.
	fresh.Progress.Router, fresh.Progress.Weight = d.Progress.Router, d.Progress.Weight
	fresh.Progress.ActiveSlot = d.Progress.ActiveSlot
	*d = fresh
	if s.ownerless {
		lifecycle.CompensateDowntime(s.snap, s.engine.now()) // it was not stored yet, and so lost with the replaced row
	}
	return nil
}
