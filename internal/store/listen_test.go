package store_test

import (
	"testing"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/storetest"
)

func TestListener_ProgressNotifiesOnlyWatchers(t *testing.T) {
	t.Parallel()
	s := open(t)
	heard := storetest.StartListening(t, s)
	d := createDeployment(t, s, request("checkout", 3))
	storetest.AwaitID(t, heard, d.ID)

	snap := claimOne(t, s, "r1")
	changed, stop := s.SubscribeChanges(d.ID)
	defer stop()
	save(t, s, snap, storage.SaveRequest{RunAt: time.Now().Add(time.Minute)}) // shows nothing
	save(t, s, snap, storage.SaveRequest{Targets: snap.Targets, Events: []rollout.Event{{Type: "a"}, {Type: "b"}}})
	other := createDeployment(t, s, request("shop", 1))
	<-changed
	if got := <-heard; got != other.ID {
		t.Errorf("heard of %q, want the next deployment: a save announces itself once", got)
	}
}

func TestListener_UnsubscribedReceivesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	heard := storetest.StartListening(t, s)
	d := createDeployment(t, s, request("checkout", 1))
	storetest.AwaitID(t, heard, d.ID)
	changed, stop := s.SubscribeChanges(d.ID)
	stop()
	stop()
	_, err := s.UpdateDeployment(ctx(t), d.ID, 0, pause)
	must(t, err)
	storetest.AwaitID(t, heard, d.ID)
	select {
	case <-changed:
		t.Error("heard of a change after unsubscribing")
	default:
	}
}

func TestListener_ReconnectReportsPossibleLoss(t *testing.T) {
	t.Parallel()
	s := open(t)
	heard := storetest.StartListening(t, s)
	changed, stop := s.SubscribeChanges("anything")
	defer stop()
	exec(t, s, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`)
	storetest.AwaitID(t, heard, "")
	<-changed
	d := createDeployment(t, s, request("checkout", 1))
	storetest.AwaitID(t, heard, d.ID)
}
