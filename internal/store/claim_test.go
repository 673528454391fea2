package store_test

import (
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"rollcall/internal/rollout"
)

func TestAtOnceEachDeploymentIsClaimedByOne(t *testing.T) {
	t.Parallel()
	s := open(t)
	const deployments, replicas = 20, 50
	for i := range deployments {
		create(t, s, request("service-"+strconv.Itoa(i), 1))
	}
	var mu sync.Mutex
	owner := map[string]string{}
	atOnce(replicas, func(i int) {
		replica := "r" + strconv.Itoa(i)
		if _, err := s.Heartbeat(ctx(t), replica, lease); err != nil {
			t.Error(err)
			return
		}
		var mine []string
		for range 3 {
			list, _, err := s.Claim(ctx(t), replica, mine, 2)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			for _, c := range list {
				d := c.Snapshot.Deployment
				if owner[d.ID] != "" || d.Owner != replica || d.Epoch != 1 || c.From != "" || len(c.Snapshot.Targets) != 1 {
					t.Errorf("%s got %s (owner %s, epoch %d, from %q), which %q had", replica, d.ID, d.Owner, d.Epoch, c.From, owner[d.ID])
				}
				owner[d.ID] = replica
				mine = append(mine, d.ID)
			}
			mu.Unlock()
		}
	})
	if len(owner) != deployments {
		t.Errorf("%d of %d were claimed", len(owner), deployments)
	}
}

func TestAClaimGivesTheWholeSnapshotInTheOrderOfTheWaves(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := request("checkout", 3)
	create(t, s, r)
	snap := claim(t, s, "r1")
	for i := range snap.Targets {
		got, want := snap.Targets[i], r.Targets[i]
		if got.UpdatedAt.IsZero() {
			t.Errorf("target %s has no time of its last change", got.ID)
		}
		got.UpdatedAt = time.Time{}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("target %d\n%+v\nwant\n%+v", i, got, want)
		}
	}
	if d := snap.Deployment; d.Owner != "r1" || d.Epoch != 1 || d.Revision != 1 || d.DeploySecret.Reveal() == "" {
		t.Errorf("claimed %+v", d)
	}
	if others := claimed(t, s, "r2"); len(others) != 0 {
		t.Errorf("another claimed %d of them", len(others))
	}
}

func TestAClaimKnowsWhatIsRememberedOfTargets(t *testing.T) {
	t.Parallel()
	s := open(t)
	first := started(t, s, "checkout", "r1")
	known := &first.Targets[0]
	known.Version, known.Fence, known.Health, known.Attempts = "v2", 7, rollout.Healthy, 1
	unsure := &first.Targets[1]
	unsure.Fence, unsure.Sent = 9, 1
	save(t, s, first, rollout.Save{Targets: first.Targets})
	finish(t, s, first, rollout.StateFailed)

	remembered, err := s.Remembered(ctx(t), "checkout", "production")
	must(t, err)
	want := map[string]rollout.Remembered{
		known.ID:  {Version: "v2", Health: rollout.Healthy, Fence: 7},
		unsure.ID: {Health: rollout.HealthUnknown, Fence: 9},
	}
	if !reflect.DeepEqual(remembered, want) {
		t.Errorf("remembered %+v, want %+v", remembered, want)
	}

	r := request("checkout", 3)
	for i := range r.Targets {
		r.Targets[i].Version, r.Targets[i].Fence = "said", 8
	}
	create(t, s, r)
	snap := claim(t, s, "r1")
	for i, want := range []struct {
		version string
		fence   int64
	}{{"v2", 8}, {"said", 9}, {"said", 8}} {
		if got := snap.Targets[i]; got.Version != want.version || got.Fence != want.fence {
			t.Errorf("target %s: version %q, fence %d; want %+v", got.ID, got.Version, got.Fence, want)
		}
	}
}

func TestARememberedFenceNeverFalls(t *testing.T) {
	t.Parallel()
	s := open(t)
	snap := started(t, s, "checkout", "r1")
	for _, fence := range []int64{9, 4} {
		snap.Targets[0].Fence, snap.Targets[0].Sent = fence, 1
		save(t, s, snap, rollout.Save{Targets: snap.Targets[:1]})
	}
	remembered, err := s.Remembered(ctx(t), "checkout", "production")
	must(t, err)
	if got := remembered[snap.Targets[0].ID].Fence; got != 9 {
		t.Errorf("the fence is %d, want 9", got)
	}
}

func TestADeadReplicasDeploymentsAreTakenOverAndALivingOnesAreNot(t *testing.T) {
	t.Parallel()
	s := open(t)
	snap := started(t, s, "checkout", "r1")
	id := snap.Deployment.ID
	save(t, s, snap, rollout.Save{RunAt: time.Now().Add(time.Hour)})
	if c := claimed(t, s, "r2"); len(c) != 0 {
		t.Fatal("took over from a living replica")
	}
	before := stored(t, s, id)
	_, err := s.Heartbeat(ctx(t), "r1", -time.Second) // its lease is over
	must(t, err)

	c := claimed(t, s, "r2")
	if len(c) != 1 || c[0].From != "r1" {
		t.Fatalf("claimed %+v", c)
	}
	d := c[0].Snapshot.Deployment
	if d.Owner != "r2" || d.Epoch != before.Epoch+1 || d.Revision != before.Revision+1 || d.Saves != before.Saves {
		t.Errorf("before %+v\nafter %+v", before, d)
	}
	list := events(t, s, id)
	wantNumbered(t, list)
	last := list[len(list)-1]
	if last.Type != rollout.EventTakenOver || last.Actor != rollout.ActorEngine || last.Replica != "r2" ||
		last.Epoch != d.Epoch || last.Seq != d.LastSeq {
		t.Errorf("the last event is %+v", last)
	}
	_, err = s.Save(ctx(t), rollout.Save{Deployment: snap.Deployment})
	wantCode(t, err, rollout.CodeLost)
}

func TestAReplicaTakesWhatAProcessOfItsNameOwnedAndKeepsWhatItWorksOn(t *testing.T) {
	t.Parallel()
	s := open(t)
	snap := started(t, s, "checkout", "r1")
	kept, _, err := s.Claim(ctx(t), "r1", []string{snap.Deployment.ID}, 10)
	must(t, err)
	if len(kept) != 0 {
		t.Fatalf("claimed %+v again", kept)
	}
	c := claimed(t, s, "r1")
	_, err = s.Save(ctx(t), rollout.Save{Deployment: snap.Deployment})
	wantCode(t, err, rollout.CodeLost)
	if len(c) != 1 || c[0].From != "r1" || c[0].Snapshot.Deployment.Epoch != snap.Deployment.Epoch+1 {
		t.Fatalf("claimed %+v", c)
	}
}

func TestWhatALeavingReplicaOwnedIsFreeAtOnceWithoutATakeover(t *testing.T) {
	t.Parallel()
	s := open(t)
	snap := started(t, s, "checkout", "r1")
	save(t, s, snap, rollout.Save{RunAt: time.Now().Add(time.Hour)})
	must(t, s.Leave(ctx(t), "r1"))
	c := claimed(t, s, "r2")
	if len(c) != 1 || c[0].From != "" {
		t.Fatalf("claimed %+v", c)
	}
}

func TestAWaitingDeploymentIsClaimedOnlyWhenTheActiveOneHasEnded(t *testing.T) {
	t.Parallel()
	s := open(t)
	active := started(t, s, "checkout", "r1")
	waiting := create(t, s, request("checkout", 1))
	if c := claimed(t, s, "r2"); len(c) != 0 {
		t.Fatal("claimed what has to wait")
	}
	finish(t, s, active, rollout.StateCompleted)
	snap := claim(t, s, "r2")
	if snap.Deployment.ID != waiting.ID {
		t.Errorf("claimed %s, want %s", snap.Deployment.ID, waiting.ID)
	}
	if d := stored(t, s, active.Deployment.ID); d.Owner != "" || d.Result == nil || !d.Result.Success {
		t.Errorf("the finished one: %+v", d)
	}
}

func TestAClaimSaysHowLateItIs(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := create(t, s, request("checkout", 1))
	exec(t, s, `UPDATE deployments SET next_run_at = clock_timestamp() - interval '90 s' WHERE id = $1`, d.ID)
	_, err := s.Heartbeat(ctx(t), "r1", lease)
	must(t, err)
	if late := claimed(t, s, "r1")[0].Late; late < 90*time.Second || late > 3*time.Minute {
		t.Errorf("it was due 90 s ago, and claimed %s late", late)
	}
}

func TestAClaimSaysWhenTheNextOneIsDue(t *testing.T) {
	t.Parallel()
	s := open(t)
	create(t, s, request("checkout", 1))
	snap := claim(t, s, "r1")
	due := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	save(t, s, snap, rollout.Save{Release: true, RunAt: due})
	c, next, err := s.Claim(ctx(t), "r1", nil, 10)
	must(t, err)
	if len(c) != 0 || !next.Equal(due) {
		t.Errorf("claimed %d, next at %s; want 0 and %s", len(c), next, due)
	}
	exec(t, s, `UPDATE deployments SET next_run_at = now()`)
	c, next, err = s.Claim(ctx(t), "r1", nil, 10)
	must(t, err)
	if len(c) != 1 || c[0].From != "" || !next.IsZero() {
		t.Errorf("claimed %+v, next at %s", c, next)
	}
}

func TestAHeartbeatGivesTheDatabasesTimeAndForgetsTheLongDead(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, err := s.Heartbeat(ctx(t), "old", -2*time.Hour)
	must(t, err)
	now, err := s.Heartbeat(ctx(t), "r1", lease)
	must(t, err)
	if off := time.Since(now); off < -time.Minute || off > time.Minute || now.Location() != time.UTC {
		t.Errorf("the time is %s", now)
	}
	var ids []string
	must(t, s.Pool().QueryRow(ctx(t), `SELECT array_agg(id) FROM replicas`).Scan(&ids))
	if !reflect.DeepEqual(ids, []string{"r1"}) {
		t.Errorf("replicas: %v", ids)
	}
}
