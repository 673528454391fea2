package storetest

import (
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

func aCommandIsWrittenAndARepeatedOneIsNot(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	before := readDeployment(t, s, snap.Deployment.ID)
	first, err := s.UpdateDeployment(ctx(t), before.ID, 0, pauseDeployment)
	must(t, err)
	if first.Revision != before.Revision+1 || first.OperatorRevision != before.OperatorRevision+1 ||
		first.LastSeq != before.LastSeq+1 || first.State != rollout.StatePaused {
		t.Errorf("before %+v\nafter %+v", before, first)
	}
	second, err := s.UpdateDeployment(ctx(t), before.ID, 0, pauseDeployment)
	must(t, err)
	if !reflect.DeepEqual(first, second) || !reflect.DeepEqual(first, readDeployment(t, s, before.ID)) {
		t.Errorf("first\n%+v\nsecond\n%+v", first, second)
	}
}

func aRefusedCommandHasNoEffect(t *testing.T, s Store) {
	before := createDeployment(t, s, NewRequest("checkout", 1))
	no := errors.New("no")
	_, err := s.UpdateDeployment(ctx(t), before.ID, 0, func(d *rollout.Deployment, _ time.Time) ([]rollout.Event, error) {
		d.State = rollout.StatePaused
		return []rollout.Event{{Type: rollout.EventPaused}}, no
	})
	if !errors.Is(err, no) {
		t.Errorf("the error is %v", err)
	}
	if after := readDeployment(t, s, before.ID); !reflect.DeepEqual(before, after) {
		t.Errorf("before\n%+v\nafter\n%+v", before, after)
	}
	_, err = s.UpdateDeployment(ctx(t), "00000000-0000-7000-8000-000000000000", 0, pauseDeployment)
	wantCode(t, err, problem.CodeNotFound)
	_, err = s.UpdateDeployment(ctx(t), "x", 0, pauseDeployment)
	wantCode(t, err, problem.CodeNotFound)
}

func ofSeveralCommandsAtOneRevisionOneWins(t *testing.T, s Store) {
	d := createDeployment(t, s, NewRequest("checkout", 1))
	var won, stale atomic.Int32
	atOnce(20, func(i int) {
		_, err := s.UpdateDeployment(ctx(t), d.ID, d.Revision, noteChange(i))
		switch {
		case err == nil:
			won.Add(1)
		case problem.CodeOf(err) == problem.CodeStale:
			stale.Add(1)
		default:
			t.Error(err)
		}
	})
	if won.Load() != 1 || stale.Load() != 19 {
		t.Errorf("%d won, %d were stale", won.Load(), stale.Load())
	}
}

func aCommandMayEndADeploymentThatHasNotBegun(t *testing.T, s Store) {
	createDeployment(t, s, NewRequest("checkout", 2))
	snap := claimOne(t, s, "r1")
	d, err := s.UpdateDeployment(ctx(t), snap.Deployment.ID, 0, func(d *rollout.Deployment, _ time.Time) ([]rollout.Event, error) {
		d.Operator.Abort, d.State, d.Reason = true, rollout.StateAborted, "aborted by ann"
		return []rollout.Event{{Type: rollout.EventAborted, Actor: "ann"}}, nil
	})
	must(t, err)
	if d.FinishedAt.IsZero() || d.Result == nil || d.Result.State != rollout.StateAborted || d.Owner != "" {
		t.Errorf("aborted: %+v", d)
	}
	if !reflect.DeepEqual(d, readDeployment(t, s, d.ID)) {
		t.Errorf("answered\n%+v\nstored\n%+v", d, readDeployment(t, s, d.ID))
	}
	targets, err := s.Targets(ctx(t), d.ID, storage.Page{})
	must(t, err)
	for _, target := range targets.Items {
		if target.State != rollout.TargetUnchanged {
			t.Errorf("target %s is %s", target.ID, target.State)
		}
	}
	_, err = s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: snap.Deployment})
	wantCode(t, err, problem.CodeOwnershipLost)
}

func theEndOfADeploymentWakesTheNext(t *testing.T, s Store) {
	active := startDeployment(t, s, "checkout", "r1")
	waiting := createDeployment(t, s, NewRequest("checkout", 1))
	finishDeployment(t, s, active, rollout.StateCompleted)
	if snap := claimOne(t, s, "r1"); snap.Deployment.ID != waiting.ID {
		t.Errorf("claimed %s", snap.Deployment.ID)
	}
}

func whatIsNotThereIsNotFound(t *testing.T, s Store) {
	const missing = "00000000-0000-7000-8000-000000000000"
	_, err := s.Deployment(ctx(t), missing)
	wantCode(t, err, problem.CodeNotFound)
	_, err = s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: rollout.Deployment{ID: missing, Owner: "r1", Epoch: 1}})
	wantCode(t, err, problem.CodeNotFound)
}
