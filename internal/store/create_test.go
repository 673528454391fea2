package store_test

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/dbtest"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

func TestKey_ConcurrentUseCreatesOneDeployment(t *testing.T) {
	t.Parallel()
	s := open(t)
	var mu sync.Mutex
	ids, fresh := map[string]bool{}, 0
	atOnce(50, func(int) {
		r := request("checkout", 3)
		r.Key = key("k", "body")
		created, err := s.CreateDeployment(ctx(t), r)
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
	list, err := s.Deployments(ctx(t), authz.Everywhere(), storage.Filter{}, storage.Page{})
	must(t, err)
	if len(list.Items) != 1 {
		t.Errorf("%d deployments are stored, want 1", len(list.Items))
	}
}

func TestKey_ReplayAnswersAsAtCreation(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := request("checkout", 3)
	r.Key = key("k", "body")
	d := createDeployment(t, s, r)
	snap := claimOne(t, s, "r1")
	snap.Deployment.Reason = "something else"
	save(t, s, snap, storage.SaveRequest{})

	again, found, err := s.CreatedUnderKey(ctx(t), r.Key)
	must(t, err)
	if !found || !again.Replayed {
		t.Fatalf("found %t, replayed %t", found, again.Replayed)
	}
	d.DeploySecret, d.Sealed = "", nil // they are in no answer
	if !reflect.DeepEqual(again.Deployment, d) {
		t.Errorf("replayed\n%+v\ncreated\n%+v", again.Deployment, d)
	}
}

func TestKey_ReuseIsRefusedPerCaller(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := request("checkout", 1)
	r.Key = key("k", "body")
	createDeployment(t, s, r)

	other := key("k", "another body")
	_, _, err := s.CreatedUnderKey(ctx(t), other)
	wantCode(t, err, problem.CodeKeyReused)
	r.Key = other
	_, err = s.CreateDeployment(ctx(t), r)
	wantCode(t, err, problem.CodeKeyReused)

	other.Caller = "another caller"
	_, found, err := s.CreatedUnderKey(ctx(t), other)
	must(t, err)
	if found {
		t.Error("found the key of another caller")
	}
}

func TestKey_ExpiresAfterADay(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := request("checkout", 1)
	r.Key = key("k", "body")
	first := createDeployment(t, s, r)
	exec(t, s, `UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'`)

	_, found, err := s.CreatedUnderKey(ctx(t), r.Key)
	must(t, err)
	r.Deployment.ID = ""
	second := createDeployment(t, s, r)
	if found || second.ID == first.ID {
		t.Errorf("found %t, first %s, second %s", found, first.ID, second.ID)
	}
	exec(t, s, `UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'`)
	must(t, s.DeleteExpiredRecords(ctx(t)))
	var left int
	must(t, s.Pool().QueryRow(ctx(t), `SELECT count(*) FROM idempotency_keys`).Scan(&left))
	if left != 0 {
		t.Errorf("%d keys are left", left)
	}
}

func TestKey_InUseIsAwaitedThenRefused(t *testing.T) {
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
	_, err = s.CreateDeployment(ctx(t), r)
	wantCode(t, err, problem.CodeInProgress)
}

func TestCreate_RejectedHasNoEffect(t *testing.T) {
	t.Parallel()
	s := open(t)
	first := createDeployment(t, s, request("checkout", 2))
	r := request("checkout", 2)
	r.Deployment.Spec.OnConflict = rollout.OnConflictReject
	r.Key = key("k", "body")
	_, err := s.CreateDeployment(ctx(t), r)
	wantCode(t, err, problem.CodeConflict)
	if e, ok := err.(*problem.Error); !ok || e.ID != first.ID { //nolint:errorlint // it is the error itself
		t.Errorf("the error names %v, not %s", err, first.ID)
	}
	_, found, err := s.CreatedUnderKey(ctx(t), r.Key)
	must(t, err)
	if found {
		t.Error("the key of the refused request was kept")
	}
	r.Deployment.Service = "another"
	createDeployment(t, s, r)
}

func TestQuota_BoundsUnfinishedDeployments(t *testing.T) {
	t.Parallel()
	const most, asked = 5, 40
	url := dbtest.New(t)
	replicas := []*store.Store{openAt(t, url), openAt(t, url)}
	var made, refused atomic.Int32
	atOnce(asked, func(i int) {
		r := request("checkout", 1)
		r.Deployment.Environment, r.QueueLimit = fmt.Sprintf("env-%d", i), most
		switch _, err := replicas[i%len(replicas)].CreateDeployment(ctx(t), r); {
		case err == nil:
			made.Add(1)
		case problem.CodeOf(err) == problem.CodeRateLimited:
			refused.Add(1)
		default:
			t.Error(err)
		}
	})
	if made.Load() != most || refused.Load() != asked-most {
		t.Errorf("%d were made and %d refused; %d may be there", made.Load(), refused.Load(), most)
	}
	var environment string
	must(t, replicas[0].Pool().QueryRow(ctx(t), `SELECT environment FROM deployments LIMIT 1`).Scan(&environment))
	again := request("checkout", 1)
	again.Deployment.Environment, again.QueueLimit = environment, most
	createDeployment(t, replicas[0], again) // it takes the place of the one that waits
}

func TestKey_ExpiryDuringWaitKeepsResponse(t *testing.T) {
	t.Parallel()
	s := open(t)
	asked := request("checkout", 1)
	asked.Key = key("k", "body")
	first := createDeployment(t, s, asked)
	exec(t, s, `UPDATE idempotency_keys SET created_at = clock_timestamp() - interval '24 hours' + interval '2 seconds'`)
	others, err := s.Pool().Begin(ctx(t))
	must(t, err)
	_, err = others.Exec(ctx(t), `SELECT pg_advisory_xact_lock(hashtextextended('checkout/production', 0))`)
	must(t, err)
	var again storage.Created
	var all sync.WaitGroup
	all.Go(func() { again, err = s.CreateDeployment(ctx(t), asked) })
	for expired := false; !expired; {
		_, err := others.Exec(ctx(t), `SELECT pg_sleep(0.1)`) // it must not be idle for long
		must(t, err)
		must(t, others.QueryRow(ctx(t), `SELECT bool_and(created_at <= clock_timestamp() - interval '24 hours') FROM idempotency_keys`).Scan(&expired))
	}
	must(t, others.Rollback(ctx(t)))
	all.Wait()
	must(t, err)
	if again.Deployment.ID != first.ID {
		t.Errorf("the repetition was answered with %q, the first with %s", again.Deployment.ID, first.ID)
	}
}

func BenchmarkCreate_OneServiceConcurrently(b *testing.B) {
	s := open(b)
	b.SetParallelism(16)
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := request("checkout", 1)
			r.Deployment.Environment, r.QueueLimit = fmt.Sprintf("env-%d", n.Add(1)), 1_000_000
			createDeployment(b, s, r)
		}
	})
}

func TestCreate_TenThousandTargetsAreClaimed(t *testing.T) {
	t.Parallel()
	s := open(t)
	before := time.Now()
	createDeployment(t, s, request("checkout", 10_000))
	createdIn := time.Since(before)
	snap := claimOne(t, s, "r1")
	t.Logf("created in %s, claimed in %s", createdIn, time.Since(before)-createdIn)
	if len(snap.Targets) != 10_000 || snap.Targets[0].Position != 9_999 {
		t.Fatalf("%d targets, the first is %d", len(snap.Targets), snap.Targets[0].Position)
	}
	for i := range snap.Targets {
		snap.Targets[i].State = rollout.TargetUnchanged
	}
	before = time.Now()
	save(t, s, snap, storage.SaveRequest{Targets: snap.Targets})
	t.Logf("all saved in %s", time.Since(before))
}
