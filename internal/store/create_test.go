package store_test

import (
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/internal/rollout"
)

func TestACreatedDeploymentIsReadBackAsItWasAsked(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := request("checkout", 3)
	d := create(t, s, r)

	got := stored(t, s, d.ID)
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
	list := events(t, s, d.ID)
	if len(list) != 1 || list[0].Type != rollout.EventCreated || list[0].Actor != "ann" || list[0].At.IsZero() {
		t.Errorf("events: %+v", list)
	}
}

func TestTheSameKeyAtOnceCreatesOneDeployment(t *testing.T) {
	t.Parallel()
	s := open(t)
	var mu sync.Mutex
	ids, fresh := map[string]bool{}, 0
	atOnce(50, func(int) {
		r := request("checkout", 3)
		r.Key = key("k", "body")
		created, err := s.Create(ctx(t), r)
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		ids[created.Deployment.ID] = true
		if !created.Replayed {
			fresh++
		}
	})
	if len(ids) != 1 || fresh != 1 {
		t.Errorf("%d deployments, %d of them fresh; want 1 and 1", len(ids), fresh)
	}
	list, err := s.Deployments(ctx(t), rollout.Filter{}, rollout.Page{})
	must(t, err)
	if len(list.Items) != 1 {
		t.Errorf("%d deployments are stored, want 1", len(list.Items))
	}
}

func TestAReplayAnswersAsAtCreation(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := request("checkout", 3)
	r.Key = key("k", "body")
	d := create(t, s, r)
	snap := claim(t, s, "r1")
	snap.Deployment.Reason = "something else"
	save(t, s, snap, rollout.Save{})

	again, found, err := s.Replay(ctx(t), r.Key)
	must(t, err)
	if !found || !again.Replayed {
		t.Fatalf("found %t, replayed %t", found, again.Replayed)
	}
	d.DeploySecret, d.Sealed = "", nil // they are in no answer
	if !reflect.DeepEqual(again.Deployment, d) {
		t.Errorf("replayed\n%+v\ncreated\n%+v", again.Deployment, d)
	}
}

func TestAKeyOfAnotherRequestIsRefusedAndAnotherCallersIsNot(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := request("checkout", 1)
	r.Key = key("k", "body")
	create(t, s, r)

	other := key("k", "another body")
	_, _, err := s.Replay(ctx(t), other)
	wantCode(t, err, rollout.CodeMismatch)
	r.Key = other
	_, err = s.Create(ctx(t), r)
	wantCode(t, err, rollout.CodeMismatch)

	other.Caller = "somebody else"
	_, found, err := s.Replay(ctx(t), other)
	must(t, err)
	if found {
		t.Error("found the key of another caller")
	}
}

func TestAKeyIsForgottenAfterADay(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := request("checkout", 1)
	r.Key = key("k", "body")
	first := create(t, s, r)
	exec(t, s, `UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'`)

	_, found, err := s.Replay(ctx(t), r.Key)
	must(t, err)
	r.Deployment.ID = ""
	second := create(t, s, r)
	if found || second.ID == first.ID {
		t.Errorf("found %t, first %s, second %s", found, first.ID, second.ID)
	}
	exec(t, s, `UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'`)
	must(t, s.Prune(ctx(t)))
	var left int
	must(t, s.Pool().QueryRow(ctx(t), `SELECT count(*) FROM idempotency_keys`).Scan(&left))
	if left != 0 {
		t.Errorf("%d keys are left", left)
	}
}

func TestAKeyThatIsStillWorkedOnIsAwaitedAndThenRefused(t *testing.T) {
	t.Parallel()
	s := open(t)
	tx, err := s.Pool().Begin(ctx(t))
	must(t, err)
	defer func() { must(t, tx.Rollback(ctx(t))) }()
	_, err = tx.Exec(ctx(t), `SET LOCAL idle_in_transaction_session_timeout = 0`)
	must(t, err)
	_, err = tx.Exec(ctx(t), `INSERT INTO idempotency_keys VALUES ('ci', 'k', '', gen_random_uuid(), NULL, now())`)
	must(t, err)

	r := request("checkout", 1)
	r.Key = key("k", "body")
	_, err = s.Create(ctx(t), r)
	wantCode(t, err, rollout.CodeInProgress)
}

func TestOnlyTheNewestWaits(t *testing.T) {
	t.Parallel()
	s := open(t)
	active := started(t, s, "checkout", "r1").Deployment
	second := create(t, s, request("checkout", 3))
	third := create(t, s, request("checkout", 3))

	if got := types(events(t, s, second.ID)); !slices.Equal(got, []string{rollout.EventCreated, rollout.EventQueued, rollout.EventSuperseded}) {
		t.Errorf("events of the second: %v", got)
	}
	d := stored(t, s, second.ID)
	if d.State != rollout.StateSuperseded || d.FinishedAt.IsZero() || d.Result == nil || d.Result.Success ||
		d.Result.State != rollout.StateSuperseded || d.Revision != 2 || d.Owner != "" {
		t.Errorf("the second: %+v", d)
	}
	targets, err := s.Targets(ctx(t), second.ID, rollout.Page{})
	must(t, err)
	for _, target := range targets.Items {
		if target.State != rollout.TargetUnchanged || target.Phase != rollout.PhaseSettled {
			t.Errorf("target %s of the superseded one: %s, %s", target.ID, target.State, target.Phase)
		}
	}
	if d := stored(t, s, third.ID); d.State != rollout.StatePending || d.Reason == "" {
		t.Errorf("the third: %+v", d)
	}
	if d := stored(t, s, active.ID); d.State != rollout.StateInProgress {
		t.Errorf("the active one became %s", d.State)
	}
}

func TestManyCreationsAtOnceLeaveOneWaiting(t *testing.T) {
	t.Parallel()
	s := open(t)
	atOnce(30, func(int) {
		if _, err := s.Create(ctx(t), request("checkout", 2)); err != nil {
			t.Error(err)
		}
	})
	var waiting, superseded int
	must(t, s.Pool().QueryRow(ctx(t), `SELECT count(*) FILTER (WHERE state = 'pending'),
		count(*) FILTER (WHERE state = 'superseded') FROM deployments`).Scan(&waiting, &superseded))
	if waiting != 1 || superseded != 29 {
		t.Errorf("%d wait, %d are superseded", waiting, superseded)
	}
}

func TestASupersededDeploymentIsLostToItsOwner(t *testing.T) {
	t.Parallel()
	s := open(t)
	create(t, s, request("checkout", 2))
	snap := claim(t, s, "r1")
	create(t, s, request("checkout", 2))
	_, err := s.Save(ctx(t), rollout.Save{Deployment: snap.Deployment})
	wantCode(t, err, rollout.CodeLost)
}

func TestARejectedRequestHasNoEffect(t *testing.T) {
	t.Parallel()
	s := open(t)
	first := create(t, s, request("checkout", 2))
	r := request("checkout", 2)
	r.Deployment.Spec.OnConflict = rollout.OnConflictReject
	r.Key = key("k", "body")
	_, err := s.Create(ctx(t), r)
	wantCode(t, err, rollout.CodeConflict)
	if e, ok := err.(*rollout.Error); !ok || e.ID != first.ID { //nolint:errorlint // it is the error itself
		t.Errorf("the error names %v, not %s", err, first.ID)
	}
	_, found, err := s.Replay(ctx(t), r.Key)
	must(t, err)
	if found {
		t.Error("the key of the refused request was kept")
	}
	r.Deployment.Service = "another"
	create(t, s, r)
}

func TestTenThousandTargetsAreCreatedAndClaimed(t *testing.T) {
	t.Parallel()
	s := open(t)
	before := time.Now()
	create(t, s, request("checkout", 10_000))
	createdIn := time.Since(before)
	snap := claim(t, s, "r1")
	t.Logf("created in %s, claimed in %s", createdIn, time.Since(before)-createdIn)
	if len(snap.Targets) != 10_000 || snap.Targets[0].Position != 9_999 {
		t.Fatalf("%d targets, the first is %d", len(snap.Targets), snap.Targets[0].Position)
	}
	for i := range snap.Targets {
		snap.Targets[i].State = rollout.TargetUnchanged
	}
	before = time.Now()
	save(t, s, snap, rollout.Save{Targets: snap.Targets})
	t.Logf("all saved in %s", time.Since(before))
}
