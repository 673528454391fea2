package store_test

import (
	"testing"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/storetest"
)

func TestSave_SecondActiveIsConflict(t *testing.T) {
	t.Parallel()
	s := open(t)
	createDeployment(t, s, request("checkout", 1))
	snap := claimOne(t, s, "r1")
	// Another one began meanwhile, which the claims prevent.
	exec(t, s, `INSERT INTO deployments (id, service, environment, kind, strategy, spec, state, direction, created_at, started_at, next_run_at)
		VALUES (gen_random_uuid(), 'checkout', 'production', 'deploy', 'rolling', '{}', 'in_progress', 'forward', now(), now(), now())`)
	d := snap.Deployment
	d.State, d.StartedAt = rollout.StateInProgress, time.Now()
	_, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: d, Events: storetest.WithTimes(rollout.Event{Type: rollout.EventStarted})})
	wantCode(t, err, problem.CodeConflict)
	if got := stored(t, s, d.ID); got.State != rollout.StatePending || got.LastSeq != 1 {
		t.Errorf("something was written: %+v", got)
	}
}

func BenchmarkSave_WaveOf100(b *testing.B) {
	s := open(b)
	createDeployment(b, s, request("checkout", 1000))
	snap := claimOne(b, s, "r1")
	wave := snap.Targets[:100]
	events := make([]rollout.Event, len(wave))
	for i := range wave {
		wave[i].CallsSent = 1
		events[i] = rollout.Event{Type: rollout.EventTargetIntent, Target: wave[i].ID, Call: &rollout.Call{WebhookID: "msg"}}
	}
	for b.Loop() {
		save(b, s, snap, storage.SaveRequest{Targets: wave, Events: events})
	}
}
