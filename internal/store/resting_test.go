package store_test

import (
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

// restingRouter is a router that a deployment has left, claimed by replica.
func restingRouter(t *testing.T, s *store.Store, replica string) storage.ClaimedRouter {
	t.Helper()
	_, err := s.Heartbeat(ctx(t), replica, lease)
	must(t, err)
	list, err := s.ClaimRouters(ctx(t), replica, nil, 10)
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("%s claimed %d routers", replica, len(list))
	}
	return list[0]
}

// endedWithRouter leaves a router behind.
func endedWithRouter(t *testing.T, s *store.Store) {
	t.Helper()
	r := request("checkout", 1)
	r.Deployment.Spec.Traffic = &routing.Config{Type: "haproxy", Socket: "127.0.0.1:1", Backend: "b", Timeout: duration.Duration(time.Second)}
	createDeployment(t, s, r)
	snapshot := claimOne(t, s, "one")
	d := &snapshot.Deployment
	d.Progress.Router = &routing.State{Fence: 7}
	d.State, d.StartedAt, d.FinishedAt = rollout.StateFailed, time.Now(), time.Now()
	d.Result = &rollout.Result{State: rollout.StateFailed, Errors: []rollout.TargetError{}, Metadata: map[string]any{}}
	_, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: *d})
	must(t, err)
}

func TestRest_OneReplicaAtATimeHasARouter(t *testing.T) {
	t.Parallel()
	s := open(t)
	endedWithRouter(t, s)
	c := restingRouter(t, s, "one")
	if c.Snapshot.Deployment.Progress.Router.Fence != 7 || c.Resting != nil {
		t.Errorf("claimed %+v", c)
	}
	_, err := s.Heartbeat(ctx(t), "two", lease)
	must(t, err)
	if list, err := s.ClaimRouters(ctx(t), "two", nil, 10); err != nil || len(list) != 0 {
		t.Errorf("two claimed %d routers: %v", len(list), err)
	}
	must(t, s.SaveRouter(ctx(t), &c, storage.SavedRouter{Release: true}))
	wantCode(t, s.SaveRouter(ctx(t), &c, storage.SavedRouter{Release: true}), problem.CodeOwnershipLost)
	if again := restingRouter(t, s, "two"); again.Resting == nil || again.Epoch <= c.Epoch {
		t.Errorf("claimed again %+v", again)
	}
}

func TestRest_WriteMovesLogNotRecord(t *testing.T) {
	t.Parallel()
	s := open(t)
	endedWithRouter(t, s)
	c := restingRouter(t, s, "one")
	before, err := s.Deployment(ctx(t), c.Snapshot.Deployment.ID)
	must(t, err)
	must(t, s.SaveRouter(ctx(t), &c, storage.SavedRouter{
		Resting: storage.RestingRouter{Router: routing.State{Fence: 99}}, Events: []rollout.Event{{Type: rollout.EventTrafficIntent}},
		WriteFor: time.Minute,
	}))
	after, err := s.Deployment(ctx(t), before.ID)
	must(t, err)
	if after.LastSeq != before.LastSeq+1 || after.EventsHash == before.EventsHash || after.Revision != before.Revision || !after.FinishedAt.Equal(before.FinishedAt) {
		t.Errorf("it was %+v and is %+v", before, after)
	}
	// No deployment begins while the write can arrive, and then it has a higher fence.
	createDeployment(t, s, request("checkout", 1))
	if list := claimed(t, s, "one"); len(list) != 0 {
		t.Fatalf("%d deployments were claimed beside the write", len(list))
	}
	must(t, s.SaveRouter(ctx(t), &c, storage.SavedRouter{
		Resting: storage.RestingRouter{Router: routing.State{Fence: 99}}, Events: []rollout.Event{{Type: rollout.EventTrafficRestored}}, Release: true,
	}))
	claimOne(t, s, "one")
}

func TestRest_NoWriteBesideADeployment(t *testing.T) {
	t.Parallel()
	s := open(t)
	endedWithRouter(t, s)
	c := restingRouter(t, s, "one")
	createDeployment(t, s, request("checkout", 1))
	intent := storage.SavedRouter{Events: []rollout.Event{{Type: rollout.EventTrafficIntent}}, WriteFor: time.Second}
	wantCode(t, s.SaveRouter(ctx(t), &c, intent), problem.CodeConflict)
	must(t, s.SaveRouter(ctx(t), &c, storage.SavedRouter{Unchanged: true, Release: true}))
	if list, err := s.ClaimRouters(ctx(t), "one", nil, 10); err != nil || len(list) != 0 {
		t.Errorf("claimed %d routers beside a deployment: %v", len(list), err)
	}
}
