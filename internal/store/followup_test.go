package store_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"rollcall/internal/authz"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// rollbackOf is a way back for what has ended, with no regard to its targets.
func rollbackOf(ended *rollout.Snapshot) (storage.NewDeployment, error) {
	n := request(ended.Deployment.Service, 1)
	n.Deployment.Kind, n.Deployment.RollbackOf, n.Reason = rollout.KindRollback, ended.Deployment.ID, "it is bad"
	return n, nil
}

func retryOf(ended *rollout.Snapshot) (storage.NewDeployment, error) {
	n := request(ended.Deployment.Service, 1)
	n.Deployment.Spec.RetryOf = ended.Deployment.ID
	return n, nil
}

// over is a deployment that has touched its first target, if so, and ended.
func over(t testing.TB, touched bool) func(snap *rollout.Snapshot) []rollout.Target {
	t.Helper()
	return func(snap *rollout.Snapshot) []rollout.Target {
		if !touched {
			return nil
		}
		snap.Targets[0].CallsSent, snap.Targets[0].PreviousVersion = 1, "v1"
		return snap.Targets[:1]
	}
}

func TestFollowUp_IsCreatedOnceFromEndedState(t *testing.T) {
	t.Parallel()
	s := open(t)
	snap := started(t, s, "checkout", "r1")
	id := snap.Deployment.ID
	_, err := s.CreateRollback(ctx(t), id, rollbackOf)
	wantCode(t, err, problem.CodeConflict) // it has not ended
	save(t, s, snap, storage.SaveRequest{Targets: over(t, true)(snap)})
	finish(t, s, snap, rollout.StateCompleted)

	var made atomic.Int32
	answers := make([]storage.Created, 10)
	atOnce(len(answers), func(i int) {
		var err error
		answers[i], err = s.CreateRollback(ctx(t), id, func(ended *rollout.Snapshot) (storage.NewDeployment, error) {
			if len(ended.Targets) != 3 || ended.Deployment.State != rollout.StateCompleted || ended.Targets[0].CallsSent != 1 {
				t.Errorf("built from %+v", ended)
			}
			return rollbackOf(ended)
		})
		if err != nil {
			t.Error(err)
			return
		}
		if !answers[i].Replayed {
			made.Add(1)
		}
	})
	for _, a := range answers {
		if a.Deployment.ID == "" || a.Deployment.ID != answers[0].Deployment.ID {
			t.Errorf("%s and %s", a.Deployment.ID, answers[0].Deployment.ID)
		}
	}
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
	by, err := s.RolledBackBy(ctx(t), []string{id, answers[0].Deployment.ID})
	must(t, err)
	if len(by) != 1 || by[id] != answers[0].Deployment.ID {
		t.Errorf("rolled back by %v", by)
	}
	want := "rollback of checkout in production to v2, taking back deployment " + id + ": it is bad"
	if list := events(t, s, answers[0].Deployment.ID); list[0].Message != want {
		t.Errorf("the first event says %q", list[0].Message)
	}
	createDeployment(t, s, request("checkout", 1)) // supersedes it
	if by, err = s.RolledBackBy(ctx(t), []string{id}); err != nil || len(by) != 0 {
		t.Errorf("superseded, and still %v %v", by, err)
	}
}

func TestFollowUp_RefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	snap := started(t, s, "checkout", "r1")
	finish(t, s, snap, rollout.StateCompleted)
	no := errors.New("no")
	_, err := s.CreateRollback(ctx(t), snap.Deployment.ID, func(*rollout.Snapshot) (storage.NewDeployment, error) {
		return storage.NewDeployment{}, no
	})
	if !errors.Is(err, no) {
		t.Errorf("the error is %v", err)
	}
	for _, id := range []string{"x", "00000000-0000-7000-8000-000000000000"} {
		_, err = s.CreateRetry(ctx(t), id, retryOf)
		wantCode(t, err, problem.CodeNotFound)
	}
	if list, err := s.Deployments(ctx(t), authz.Everywhere(), storage.Filter{}, storage.Page{}); err != nil || len(list.Items) != 1 {
		t.Errorf("%d deployments, %v", len(list.Items), err)
	}
}

func TestLatest_IsActiveElseNewestThatTouched(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, err := s.LatestDeployment(ctx(t), "checkout", "production")
	wantCode(t, err, problem.CodeNotFound)
	latest := func() string {
		t.Helper()
		d, err := s.LatestDeployment(ctx(t), "checkout", "production")
		must(t, err)
		return d.ID
	}
	end := func(touched bool) string {
		t.Helper()
		snap := started(t, s, "checkout", "r1")
		if got := latest(); got != snap.Deployment.ID {
			t.Errorf("the active one is %s, the latest %s", snap.Deployment.ID, got)
		}
		save(t, s, snap, storage.SaveRequest{Targets: over(t, touched)(snap)})
		finish(t, s, snap, rollout.StateFailed)
		return snap.Deployment.ID
	}
	untouched := end(false)
	if latest() != untouched {
		t.Error("the newest of all counts where none has touched a target")
	}
	older, touched := end(true), end(true)
	newer := end(false)
	createDeployment(t, s, request("checkout", 1))
	if got := latest(); got != touched {
		t.Errorf("the latest is %s, want %s", got, touched)
	}
	_, err = s.CreateRetry(ctx(t), older, retryOf)
	wantCode(t, err, problem.CodeConflict)
	if e, ok := errors.AsType[*problem.Error](err); !ok || e.ID != touched {
		t.Errorf("%v does not name %s", err, touched)
	}
	retry, err := s.CreateRetry(ctx(t), newer, retryOf)
	must(t, err)
	again, err := s.CreateRetry(ctx(t), newer, retryOf)
	must(t, err)
	if retry.Replayed || !again.Replayed || again.Deployment.ID != retry.Deployment.ID {
		t.Errorf("%+v, then %+v", retry, again)
	}
}
