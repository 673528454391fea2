package engine

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// save stores everything that has changed, and tries for as long as the lease lasts. A draft that is refused is taken
// back.
func (s *session) save(dr *draft, release bool) error {
	sv := rollout.SaveRequest{Deployment: s.snap.Deployment, Events: s.events, Release: release, RunAt: dr.wake}
	sv.Deployment.Counts = rollout.Count(s.snap.Targets)
	changed := s.dirty
	if release {
		changed = s.touched
	}
	for _, i := range slices.Sorted(maps.Keys(changed)) {
		sv.Targets = append(sv.Targets, s.snap.Targets[i].Clone())
	}
	saved, err := s.saveUntilSure(sv)
	if err != nil {
		s.takeBack(dr)
		return s.refused(err, dr)
	}
	d := &s.snap.Deployment
	d.Revision, d.LastSeq, d.EventsHash, d.Saves = saved.Revision, saved.LastSeq, saved.EventsHash, saved.Saves
	d.Counts = sv.Deployment.Counts
	for i := range changed {
		delete(s.touched, i)
	}
	s.stored, s.orphaned = d.Status, false
	s.events, s.dirty, s.oldest = nil, map[int]struct{}{}, time.Time{}
	s.unlogged = append(s.unlogged, sv.Events...)
	return nil
}

// refused deals with a save that the database did not take.
func (s *session) refused(err error, dr *draft) error {
	if problem.CodeOf(err) != problem.CodeConflict || dr.deployment.Active() {
		return err
	}
	// Another deployment of the pair began first: this one waits for its turn as if it had never been claimed.
	dr.wake = s.engine.now().Add(pollEvery)
	s.events, s.dirty = nil, map[int]struct{}{}
	if _, err := s.saveUntilSure(rollout.SaveRequest{Deployment: s.snap.Deployment, Release: true, RunAt: dr.wake}); err != nil {
		return err
	}
	return errReleased
}

// saveUntilSure repeats a save until the database has said yes or no, or the ownership has ended.
func (s *session) saveUntilSure(sv rollout.SaveRequest) (rollout.SaveResult, error) {
	for {
		ctx, cancel := context.WithTimeout(s.ctx, saveTimeout)
		began := time.Now()
		saved, err := s.engine.Deployments.Save(ctx, sv)
		cancel()
		s.engine.Recorder.SaveDone(time.Since(began), len(sv.Targets), err != nil && !answered(err))
		if err == nil || answered(err) {
			return saved, err
		}
		level := slog.LevelWarn
		if problem.CodeOf(err) != problem.CodeUnavailable && s.ctx.Err() == nil {
			level = slog.LevelError // the database answers and does not take it: trying again may not help
		}
		s.log.Log(s.ctx, level, "a save has not landed; trying again", "error", err)
		wait(s.ctx, saveRetry)
		if s.ctx.Err() != nil {
			return saved, errDropped
		}
	}
}

// answered reports whether the database has said no, rather than nothing.
func answered(err error) bool {
	code := problem.CodeOf(err)
	return code == problem.CodeOwnershipLost || code == problem.CodeStale || code == problem.CodeConflict || code == problem.CodeNotFound
}

// reload reads the deployment's row again, because an operator has changed it.
func (s *session) reload() error {
	for {
		ctx, cancel := context.WithTimeout(s.ctx, queryTimeout)
		fresh, err := s.engine.Deployments.Deployment(ctx, s.id)
		cancel()
		if err == nil {
			return s.refresh(fresh)
		}
		s.log.WarnContext(s.ctx, "the deployment could not be read again; trying again", "error", err)
		wait(s.ctx, saveRetry)
		if s.ctx.Err() != nil {
			return errDropped
		}
	}
}

func (s *session) refresh(fresh rollout.Deployment) error {
	d := &s.snap.Deployment
	if fresh.Owner != d.Owner || fresh.Epoch != d.Epoch {
		return &problem.Error{Code: problem.CodeOwnershipLost, Message: "the deployment has a new owner"}
	}
	if fresh.Saves != d.Saves {
		return &problem.Error{Code: problem.CodeOwnershipLost, Message: "the database has lost what was saved: what is stored counts"}
	}
	fresh.DeploySecret = d.DeploySecret
	s.stored = fresh.Status
	// What the router answered, and which slot served when the owner looked, may not be stored yet, and nobody else writes it.
	fresh.Progress.Router, fresh.Progress.Weight = d.Progress.Router, d.Progress.Weight
	fresh.Progress.ActiveSlot = d.Progress.ActiveSlot
	*d = fresh
	if s.orphaned {
		lifecycle.CompensateDowntime(s.snap, s.engine.now()) // not stored yet, and so forgotten with the row that was replaced
	}
	return nil
}
