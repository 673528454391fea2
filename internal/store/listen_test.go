package store_test

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/store"
)

// listening runs Listen and gives what it hears; it is connected when this returns.
func listening(t *testing.T, s *store.Store) <-chan string {
	t.Helper()
	heard := make(chan string, 1000)
	c, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Listen(c, func(id string) { heard <- id }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	await(t, heard, "")
	return heard
}

// await reads what was heard until id comes.
func await(t *testing.T, heard <-chan string, id string) {
	t.Helper()
	for {
		select {
		case got := <-heard:
			if got == id {
				return
			}
		case <-ctx(t).Done():
			t.Fatalf("never heard of %q", id)
		}
	}
}

func TestProgressIsAnnouncedOnceToThoseWhoWatchAndWakesNoEngine(t *testing.T) {
	t.Parallel()
	s := open(t)
	heard := listening(t, s)
	d := create(t, s, request("checkout", 3))
	await(t, heard, d.ID)

	snap := claim(t, s, "r1")
	changed, stop := s.Changed(d.ID)
	defer stop()
	save(t, s, snap, rollout.Save{RunAt: time.Now().Add(time.Minute)}) // shows nothing
	save(t, s, snap, rollout.Save{Targets: snap.Targets, Events: []rollout.Event{{Type: "a"}, {Type: "b"}}})
	other := create(t, s, request("shop", 1))
	<-changed
	if got := <-heard; got != other.ID {
		t.Errorf("heard of %q, want the next deployment: a save announces itself once", got)
	}
}

func TestAnUnsubscribedChannelHearsNoMore(t *testing.T) {
	t.Parallel()
	s := open(t)
	heard := listening(t, s)
	d := create(t, s, request("checkout", 1))
	await(t, heard, d.ID)
	changed, stop := s.Changed(d.ID)
	stop()
	stop()
	_, err := s.Update(ctx(t), d.ID, 0, pause)
	must(t, err)
	await(t, heard, d.ID)
	select {
	case <-changed:
		t.Error("heard of a change after unsubscribing")
	default:
	}
}

func TestAListenerConnectsAgainAndSaysThatItMayHaveMissedSomething(t *testing.T) {
	t.Parallel()
	s := open(t)
	heard := listening(t, s)
	changed, stop := s.Changed("anything")
	defer stop()
	exec(t, s, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`)
	await(t, heard, "")
	<-changed
	d := create(t, s, request("checkout", 1))
	await(t, heard, d.ID)
}
