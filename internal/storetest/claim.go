package storetest

import (
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
)

func fiftyAtOnceForOneDeploymentAndOneClaimsIt(t *testing.T, s Store) {
	d := createDeployment(t, s, NewRequest("checkout", 3))
	if winners := claimedByMany(t, s, 50); len(winners) != 1 || winners[0].PreviousOwner != "" || winners[0].Snapshot.Deployment.Epoch != 1 {
		t.Fatalf("claimed %d times: %+v", len(winners), winners)
	}
	if got := readDeployment(t, s, d.ID); got.Epoch != 1 || got.Owner == "" || got.LastSeq != 1 {
		t.Errorf("stored %+v", got)
	}
}

func fiftyAtOnceTakeADeadReplicasDeploymentOverOnce(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "dead")
	_, err := s.Heartbeat(ctx(t), "dead", -time.Second)
	must(t, err)
	winners := claimedByMany(t, s, 50)
	if len(winners) != 1 || winners[0].PreviousOwner != "dead" || winners[0].Snapshot.Deployment.Epoch != snap.Deployment.Epoch+1 {
		t.Fatalf("claimed %d times: %+v", len(winners), winners)
	}
	list := readEvents(t, s, snap.Deployment.ID)
	wantNumbered(t, list)
	takeovers := 0
	for _, e := range list {
		if e.Type == rollout.EventTakenOver {
			takeovers++
		}
	}
	if takeovers != 1 {
		t.Errorf("taken over %d times by its events: %v", takeovers, eventTypes(list))
	}
}

// claimedByMany lets n living replicas claim at the same moment.
func claimedByMany(t *testing.T, s Store, n int) []storage.Claimed {
	t.Helper()
	var mu sync.Mutex
	var all []storage.Claimed
	atOnce(n, func(i int) {
		replica := "r" + strconv.Itoa(i)
		if _, err := s.Heartbeat(ctx(t), replica, lease); err != nil {
			t.Error(err)
			return
		}
		list, _, err := s.ClaimDeployments(ctx(t), replica, nil, 10)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, list...)
	})
	return all
}

func atOnceEachDeploymentIsClaimedByOne(t *testing.T, s Store) {
	const deployments, replicas = 20, 50
	for i := range deployments {
		createDeployment(t, s, NewRequest("service-"+strconv.Itoa(i), 1))
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
			list, _, err := s.ClaimDeployments(ctx(t), replica, mine, 2)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			for _, c := range list {
				d := c.Snapshot.Deployment
				if owner[d.ID] != "" || d.Owner != replica || d.Epoch != 1 || c.PreviousOwner != "" || len(c.Snapshot.Targets) != 1 {
					t.Errorf("%s got %s (owner %s, epoch %d, from %q), which %q had", replica, d.ID, d.Owner, d.Epoch, c.PreviousOwner, owner[d.ID])
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

func aClaimGivesTheWholeSnapshotInTheOrderOfTheWaves(t *testing.T, s Store) {
	r := NewRequest("checkout", 3)
	createDeployment(t, s, r)
	snap := claimOne(t, s, "r1")
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
	if others := claimAll(t, s, "r2"); len(others) != 0 {
		t.Errorf("another claimed %d of them", len(others))
	}
}

func aClaimKnowsWhatIsRememberedOfTargets(t *testing.T, s Store) {
	first := startDeployment(t, s, "checkout", "r1")
	known := &first.Targets[0]
	known.Version, known.Fence, known.Health, known.Attempts = "v2", 7, healthcheck.Healthy, 1
	unsure := &first.Targets[1]
	unsure.Fence, unsure.CallsSent = 9, 1
	saveStep(t, s, first, storage.SaveRequest{Targets: first.Targets})
	finishDeployment(t, s, first, rollout.StateFailed)

	remembered, err := s.TargetRecords(ctx(t), "checkout", "production")
	must(t, err)
	want := map[string]storage.TargetRecord{
		known.ID:  {Address: known.Address, Version: "v2", Health: healthcheck.Healthy, Fence: 7},
		unsure.ID: {Address: unsure.Address, Health: healthcheck.Unknown, Fence: 9},
	}
	if !reflect.DeepEqual(remembered, want) {
		t.Errorf("remembered %+v, want %+v", remembered, want)
	}

	r := NewRequest("checkout", 3)
	for i := range r.Targets {
		r.Targets[i].Version, r.Targets[i].Fence = "said", 8
	}
	createDeployment(t, s, r)
	snap := claimOne(t, s, "r1")
	for i, want := range []struct {
		version string
		fence   int64
	}{{"v2", 8}, {"said", 9}, {"said", 8}} {
		if got := snap.Targets[i]; got.Version != want.version || got.Fence != want.fence {
			t.Errorf("target %s: version %q, fence %d; want %+v", got.ID, got.Version, got.Fence, want)
		}
	}
}

// anotherAddressIsAnotherMachine: what an id did elsewhere says nothing; only its fence stays.
func anotherAddressIsAnotherMachine(t *testing.T, s Store) {
	first := startDeployment(t, s, "checkout", "r1")
	for i := range first.Targets {
		known := &first.Targets[i]
		known.Version, known.Fence, known.Health, known.Attempts = "v2", 7, healthcheck.Healthy, 1
	}
	saveStep(t, s, first, storage.SaveRequest{Targets: first.Targets})
	finishDeployment(t, s, first, rollout.StateCompleted)

	r := NewRequest("checkout", 3)
	r.Targets[0].Address = "http://elsewhere"
	r.Targets[1].Address = "HTTP://" + strings.TrimPrefix(r.Targets[1].Address, "http://") + ":80/"
	createDeployment(t, s, r)
	snap := claimOne(t, s, "r1")
	for i, want := range []string{"", "v2", "v2"} {
		if got := snap.Targets[i]; got.Version != want || got.Fence != 7 {
			t.Errorf("target %s at %s: version %q, fence %d; want %q", got.ID, got.Address, got.Version, got.Fence, want)
		}
	}
}

// fencesRiseAtOneAddress whatever the service, and whatever the target's id.
func fencesRiseAtOneAddress(t *testing.T, s Store) {
	first := startDeployment(t, s, "checkout", "r1")
	called := &first.Targets[0]
	called.Fence, called.CallsSent, called.Call = 7, 1, &rollout.Call{WebhookID: "w", Fence: 7}
	saveStep(t, s, first, storage.SaveRequest{Targets: first.Targets[:1]})
	called.Fence, called.Call = 5, &rollout.Call{WebhookID: "w", Fence: 5}
	saveStep(t, s, first, storage.SaveRequest{Targets: first.Targets[:1]})
	finishDeployment(t, s, first, rollout.StateCompleted)

	r := NewRequest("shop", 3)
	r.Targets[0].ID, r.Targets[0].Address = "renamed", "HTTP://"+strings.TrimPrefix(called.Address, "http://")+":80/"
	createDeployment(t, s, r)
	snap := claimOne(t, s, "r1")
	for i, want := range []int64{7, 0, 0} {
		if got := snap.Targets[i].Fence; got != want {
			t.Errorf("the fence of %s is %d, want %d", snap.Targets[i].Address, got, want)
		}
	}
}

// aClaimKnowsWhatWorkMayStillRunAtAnAddress whatever the service, and whatever the target's id, until the next call is written
// down.
func aClaimKnowsWhatWorkMayStillRunAtAnAddress(t *testing.T, s Store) {
	first := startDeployment(t, s, "checkout", "r1")
	until := first.Deployment.CreatedAt.Add(time.Hour)
	for i := range first.Targets[:2] {
		called := &first.Targets[i]
		called.CallsSent, called.Attempts, called.Fence, called.Phase, called.State = 1, 1, 7, rollout.PhaseSettled, rollout.TargetUnknown
		called.History = rollout.CallHistory{InDoubt: i == 0, MayRunUntil: until, From: "v0"}
	}
	saveStep(t, s, first, storage.SaveRequest{Targets: first.Targets[:2]})
	finishDeployment(t, s, first, rollout.StateFailed)

	next := func(service string) *rollout.Snapshot {
		t.Helper()
		r := NewRequest(service, 3)
		r.Targets[0].ID, r.Targets[0].Address = "renamed", "HTTP://"+strings.TrimPrefix(first.Targets[0].Address, "http://")+":80/"
		createDeployment(t, s, r)
		return claimOne(t, s, "r1")
	}
	want := rollout.CallHistory{MayRunUntil: until, WaitedUntil: until, Earlier: first.Targets[0].DesiredVersion, From: "v0"}
	second := next("shop")
	if got := second.Targets[0].History; !got.MayRunUntil.Equal(until) || !got.WaitedUntil.Equal(until) || got.Earlier != want.Earlier || got.From != want.From || got.InDoubt {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := second.Targets[1].History; got != (rollout.CallHistory{}) {
		t.Errorf("where nothing is in doubt: %+v", got)
	}
	d := &second.Deployment
	d.State, d.StartedAt = rollout.StateInProgress, d.CreatedAt
	called := &second.Targets[0]
	called.Fence, called.CallsSent, called.Call = 8, 1, &rollout.Call{WebhookID: "w", Fence: 8}
	saveStep(t, s, second, storage.SaveRequest{Targets: second.Targets[:1]})
	finishDeployment(t, s, second, rollout.StateFailed)
	if got := next("store").Targets[0].History; got != (rollout.CallHistory{}) {
		t.Errorf("after a newer call: %+v", got)
	}
}

func aRememberedFenceNeverFalls(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	for _, fence := range []int64{9, 4} {
		snap.Targets[0].Fence, snap.Targets[0].CallsSent = fence, 1
		saveStep(t, s, snap, storage.SaveRequest{Targets: snap.Targets[:1]})
	}
	remembered, err := s.TargetRecords(ctx(t), "checkout", "production")
	must(t, err)
	if got := remembered[snap.Targets[0].ID].Fence; got != 9 {
		t.Errorf("the fence is %d, want 9", got)
	}
}

func aDeadReplicasDeploymentsAreTakenOverAndALivingOnesAreNot(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	id := snap.Deployment.ID
	saveStep(t, s, snap, storage.SaveRequest{RunAt: time.Now().Add(time.Hour)})
	if c := claimAll(t, s, "r2"); len(c) != 0 {
		t.Fatal("took over from a living replica")
	}
	before := readDeployment(t, s, id)
	_, err := s.Heartbeat(ctx(t), "r1", -time.Second) // its lease is over
	must(t, err)

	c := claimAll(t, s, "r2")
	if len(c) != 1 || c[0].PreviousOwner != "r1" {
		t.Fatalf("claimed %+v", c)
	}
	d := c[0].Snapshot.Deployment
	if d.Owner != "r2" || d.Epoch != before.Epoch+1 || d.Revision != before.Revision+1 || d.Saves != before.Saves {
		t.Errorf("before %+v\nafter %+v", before, d)
	}
	list := readEvents(t, s, id)
	wantNumbered(t, list)
	last := list[len(list)-1]
	if last.Type != rollout.EventTakenOver || last.Actor != rollout.ActorEngine || last.Replica != "r2" ||
		last.Epoch != d.Epoch || last.Seq != d.LastSeq {
		t.Errorf("the last event is %+v", last)
	}
	_, err = s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: snap.Deployment})
	wantCode(t, err, problem.CodeOwnershipLost)
}

func aReplicaTakesWhatAProcessOfItsNameOwnedAndKeepsWhatItWorksOn(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	kept, _, err := s.ClaimDeployments(ctx(t), "r1", []string{snap.Deployment.ID}, 10)
	must(t, err)
	if len(kept) != 0 {
		t.Fatalf("claimed %+v again", kept)
	}
	c := claimAll(t, s, "r1")
	_, err = s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: snap.Deployment})
	wantCode(t, err, problem.CodeOwnershipLost)
	if len(c) != 1 || c[0].PreviousOwner != "r1" || c[0].Snapshot.Deployment.Epoch != snap.Deployment.Epoch+1 {
		t.Fatalf("claimed %+v", c)
	}
}

func whatALeavingReplicaOwnedIsFreeAtOnceWithoutATakeover(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	saveStep(t, s, snap, storage.SaveRequest{RunAt: time.Now().Add(time.Hour)})
	must(t, s.ReleaseDeployments(ctx(t), "r1"))
	c := claimAll(t, s, "r2")
	if len(c) != 1 || c[0].PreviousOwner != "" {
		t.Fatalf("claimed %+v", c)
	}
}

func whatALeavingReplicaHadNotLookedAfterIsLate(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	saveStep(t, s, snap, storage.SaveRequest{RunAt: time.Now().Add(-time.Minute)}) // and then its saves did not land
	must(t, s.ReleaseDeployments(ctx(t), "r1"))
	c := claimAll(t, s, "r2")
	if len(c) != 1 || c[0].OverdueBy < 50*time.Second {
		t.Fatalf("claimed %+v", c)
	}
}

func aWaitingDeploymentIsClaimedOnlyWhenTheActiveOneHasEnded(t *testing.T, s Store) {
	active := startDeployment(t, s, "checkout", "r1")
	waiting := createDeployment(t, s, NewRequest("checkout", 1))
	if c := claimAll(t, s, "r2"); len(c) != 0 {
		t.Fatal("claimed what has to wait")
	}
	finishDeployment(t, s, active, rollout.StateCompleted)
	snap := claimOne(t, s, "r2")
	if snap.Deployment.ID != waiting.ID {
		t.Errorf("claimed %s, want %s", snap.Deployment.ID, waiting.ID)
	}
	if d := readDeployment(t, s, active.Deployment.ID); d.Owner != "" || d.Result == nil || !d.Result.Success {
		t.Errorf("the finished one: %+v", d)
	}
}

func aClaimSaysHowLateItIs(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	saveStep(t, s, snap, storage.SaveRequest{Release: true, RunAt: time.Now().Add(-90 * time.Second)})
	if late := claimAll(t, s, "r1")[0].OverdueBy; late < 90*time.Second || late > 3*time.Minute {
		t.Errorf("it was due 90 s ago, and claimed %s late", late)
	}
}

func aClaimSaysWhenTheNextOneIsDue(t *testing.T, s Store) {
	createDeployment(t, s, NewRequest("checkout", 1))
	snap := claimOne(t, s, "r1")
	due := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	saveStep(t, s, snap, storage.SaveRequest{Release: true, RunAt: due})
	c, next, err := s.ClaimDeployments(ctx(t), "r1", nil, 10)
	must(t, err)
	if len(c) != 0 || !next.Equal(due) {
		t.Errorf("claimed %d, next at %s; want 0 and %s", len(c), next, due)
	}
	_, err = s.UpdateDeployment(ctx(t), snap.Deployment.ID, 0, pauseDeployment) // a command is looked at now
	must(t, err)
	c, next, err = s.ClaimDeployments(ctx(t), "r1", nil, 10)
	must(t, err)
	if len(c) != 1 || c[0].PreviousOwner != "" || !next.IsZero() {
		t.Errorf("claimed %+v, next at %s", c, next)
	}
}

func whatHasBegunIsClaimedBeforeWhatWaits(t *testing.T, s Store) {
	begun := startDeployment(t, s, "checkout", "r1")
	createDeployment(t, s, NewRequest("shop", 1))
	saveStep(t, s, begun, storage.SaveRequest{Release: true})
	createDeployment(t, s, NewRequest("desk", 1))
	c, _, err := s.ClaimDeployments(ctx(t), "r1", nil, 1)
	must(t, err)
	if len(c) != 1 || c[0].Snapshot.Deployment.ID != begun.Deployment.ID {
		t.Errorf("claimed %+v", c)
	}
}

func aClaimKnowsTheRoutersFenceAndTheSlotThatServes(t *testing.T, s Store) {
	routed := func() storage.NewDeployment {
		r := NewRequest("checkout", 1)
		r.Deployment.Spec.Traffic = &routing.Config{Type: "webhook", URL: "http://lb"}
		return r
	}
	createDeployment(t, s, routed())
	first := claimOne(t, s, "r1")
	d := &first.Deployment
	if r := d.Progress.Router; r == nil || r.Fence != 0 || first.ActiveSlot != "" {
		t.Fatalf("before any write: %+v, slot %q", r, first.ActiveSlot)
	}
	d.State, d.StartedAt = rollout.StateInProgress, d.CreatedAt
	for _, fence := range []int64{7, 5} { // it never falls
		d.Progress.Router = &routing.State{Fence: fence}
		saveStep(t, s, first, storage.SaveRequest{})
	}
	d.State, d.FinishedAt = rollout.StateCompleted, d.StartedAt.Add(time.Minute)
	d.Result = &rollout.Result{State: d.State, Metadata: map[string]any{"active_slot": "green"}}
	saveStep(t, s, first, storage.SaveRequest{})

	createDeployment(t, s, routed())
	second := claimOne(t, s, "r1")
	if r := second.Deployment.Progress.Router; r == nil || r.Fence != 7 || second.ActiveSlot != "green" {
		t.Errorf("the next one knows %+v, slot %q", r, second.ActiveSlot)
	}
	other := routed()
	other.Deployment.Environment = "staging"
	createDeployment(t, s, other)
	c := claimAll(t, s, "r2")
	if len(c) != 1 || c[0].Snapshot.Deployment.Progress.Router.Fence != 0 || c[0].Snapshot.ActiveSlot != "" {
		t.Errorf("another environment's: %+v", c)
	}
}
