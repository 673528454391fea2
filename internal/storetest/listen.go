package storetest

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

func aCommandATakeoverAndALeaveAreAnnounced(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	id := snap.Deployment.ID
	heard := StartListening(t, s)
	_, err := s.UpdateDeployment(ctx(t), id, 0, pauseDeployment)
	must(t, err)
	AwaitID(t, heard, id)
	_, err = s.Heartbeat(ctx(t), "r1", -time.Second)
	must(t, err)
	claimOne(t, s, "r2")
	AwaitID(t, heard, id)
	must(t, s.ReleaseDeployments(ctx(t), "r2"))
	AwaitID(t, heard, id)
}

// Listener is what announces changes.
type Listener interface {
	Listen(ctx context.Context, wake func(id string)) error
}

// StartListening runs Listen and gives what it hears; it is connected when this returns.
func StartListening(t *testing.T, s Listener) <-chan string {
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
	AwaitID(t, heard, "")
	return heard
}

// AwaitID reads what was heard until id comes.
func AwaitID(t *testing.T, heard <-chan string, id string) {
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

func progressWakesNoEngine(t *testing.T, s Store) {
	snap := startDeployment(t, s, "checkout", "r1")
	heard := StartListening(t, s)
	saveStep(t, s, snap, storage.SaveRequest{Targets: snap.Targets, Events: []rollout.Event{{Type: rollout.EventWaveStarted}}})
	other := createDeployment(t, s, NewRequest("shop", 1))
	if got := <-heard; got != other.ID {
		t.Errorf("heard of %q before the next deployment", got)
	}
}
