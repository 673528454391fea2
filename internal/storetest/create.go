package storetest

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

func aCreatedDeploymentIsReadBackAsItWasAsked(t *testing.T, s Store) {
	r := NewRequest("checkout", 3)
	d := createDeployment(t, s, r)

	got := readDeployment(t, s, d.ID)
	if !reflect.DeepEqual(got, d) {
		t.Errorf("stored\n%+v\ncreated\n%+v", got, d)
	}
	if got.State != rollout.StatePending || got.Revision != 1 || got.LastSeq != 1 || got.CreatedAt.IsZero() ||
		got.CreatedAt.Location() != time.UTC || got.DeploySecret.Reveal() != "whsec_c2VjcmV0" {
		t.Errorf("unexpected: %+v", got)
	}
	if !reflect.DeepEqual(got.Spec, r.Deployment.Spec) {
		t.Errorf("spec\n%+v\nwant\n%+v", got.Spec, r.Deployment.Spec)
	}
	list := readEvents(t, s, d.ID)
	if len(list) != 1 || list[0].Type != rollout.EventCreated || list[0].Actor != "ann" || list[0].At.IsZero() {
		t.Errorf("events: %+v", list)
	}
}

func onlyTheNewestWaits(t *testing.T, s Store) {
	active := startDeployment(t, s, "checkout", "r1").Deployment
	second := createDeployment(t, s, NewRequest("checkout", 3))
	third := createDeployment(t, s, NewRequest("checkout", 3))

	if got := eventTypes(readEvents(t, s, second.ID)); !slices.Equal(got, []string{rollout.EventCreated, rollout.EventQueued, rollout.EventSuperseded}) {
		t.Errorf("events of the second: %v", got)
	}
	d := readDeployment(t, s, second.ID)
	if d.State != rollout.StateSuperseded || d.FinishedAt.IsZero() || d.Result == nil || d.Result.Success ||
		d.Result.State != rollout.StateSuperseded || d.Revision != 2 || d.Owner != "" {
		t.Errorf("the second: %+v", d)
	}
	targets, err := s.Targets(ctx(t), second.ID, storage.Page{})
	must(t, err)
	for _, target := range targets.Items {
		if target.State != rollout.TargetUnchanged || target.Phase != rollout.PhaseSettled {
			t.Errorf("target %s of the superseded one: %s, %s", target.ID, target.State, target.Phase)
		}
	}
	if d := readDeployment(t, s, third.ID); d.State != rollout.StatePending || d.Reason == "" {
		t.Errorf("the third: %+v", d)
	}
	if d := readDeployment(t, s, active.ID); d.State != rollout.StateInProgress {
		t.Errorf("the active one became %s", d.State)
	}
}

func manyCreationsAtOnceLeaveOneWaiting(t *testing.T, s Store) {
	var mu sync.Mutex
	var ids []string
	atOnce(50, func(int) {
		created, err := s.CreateDeployment(ctx(t), NewRequest("checkout", 2))
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, created.Deployment.ID)
	})
	count := map[rollout.State]int{}
	for _, id := range ids {
		count[readDeployment(t, s, id).State]++
	}
	if want := (map[rollout.State]int{rollout.StatePending: 1, rollout.StateSuperseded: 49}); !reflect.DeepEqual(count, want) {
		t.Errorf("they are %v", count)
	}
}

// Each creates, claims what it can get, and begins it: what one of them began, none of the others may begin beside it.
func fiftyCreatorsAtOnceNeverMakeTwoActive(t *testing.T, s Store) {
	var begun atomic.Int32
	atOnce(50, func(i int) {
		replica := "r" + strconv.Itoa(i)
		if _, err := s.CreateDeployment(ctx(t), NewRequest("checkout", 1)); err != nil {
			t.Error(err)
		}
		if beginWhatIsFree(t, s, replica) {
			begun.Add(1)
		}
	})
	if begun.Load() == 0 && beginWhatIsFree(t, s, "last") { // each was superseded before it could begin
		begun.Add(1)
	}
	if begun.Load() != 1 {
		t.Errorf("%d of one service and environment are active", begun.Load())
	}
}

func beginWhatIsFree(t *testing.T, s Store, replica string) bool {
	if _, err := s.Heartbeat(ctx(t), replica, lease); err != nil {
		t.Error(err)
	}
	list, _, err := s.ClaimDeployments(ctx(t), replica, nil, 10)
	if err != nil {
		t.Error(err)
	}
	begun := false
	for i := range list {
		d := list[i].Snapshot.Deployment
		d.State, d.StartedAt = rollout.StateInProgress, d.CreatedAt
		_, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: d})
		switch code := problem.CodeOf(err); {
		case err == nil:
			begun = true
		case code != problem.CodeOwnershipLost && code != problem.CodeConflict:
			t.Error(err)
		}
	}
	return begun
}

func aSupersededDeploymentIsLostToItsOwner(t *testing.T, s Store) {
	createDeployment(t, s, NewRequest("checkout", 2))
	snap := claimOne(t, s, "r1")
	createDeployment(t, s, NewRequest("checkout", 2))
	_, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: snap.Deployment})
	wantCode(t, err, problem.CodeOwnershipLost)
}

func aRejectedRequestHasNoEffect(t *testing.T, s Store) {
	rejecting := NewRequest("checkout", 2)
	rejecting.Deployment.Spec.OnConflict = rollout.OnConflictReject
	var mu sync.Mutex
	made, named := map[string]bool{}, map[string]bool{}
	atOnce(50, func(int) {
		created, err := s.CreateDeployment(ctx(t), rejecting)
		mu.Lock()
		defer mu.Unlock()
		var e *problem.Error
		switch {
		case err == nil:
			made[created.Deployment.ID] = true
		case errors.As(err, &e) && e.Code == problem.CodeConflict:
			named[e.ID] = true
		default:
			t.Error(err)
		}
	})
	if len(made) != 1 || !reflect.DeepEqual(made, named) {
		t.Errorf("50 at once made %v, and the others were refused because of %v", made, named)
	}
	another := rejecting
	another.Deployment.Service = "another"
	createDeployment(t, s, another)
}
