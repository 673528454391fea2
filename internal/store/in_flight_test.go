package store_test

import (
	"testing"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

// saveInFlight stores a call of the deployment's only target as in flight.
func saveInFlight(t *testing.T, s *store.Store, d rollout.Deployment) rollout.Deployment {
	t.Helper()
	page, err := s.Targets(ctx(t), d.ID, storage.Page{})
	must(t, err)
	target := page.Items[0]
	target.State, target.Phase, target.Attempts, target.Fence = rollout.TargetDeploying, rollout.PhaseCalling, 1, 7
	target.Call = &rollout.Call{WebhookID: "msg_1", Action: rollout.CallDeploy, Version: "v2", Attempt: 1, Fence: 7, Deadline: time.Now()}
	saved, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: d, InFlight: []rollout.Target{target}, RunAt: d.CreatedAt.Add(time.Hour)})
	must(t, err)
	d.Revision, d.LastSeq, d.Saves, d.EventsHash = saved.Revision, saved.LastSeq, saved.Saves, saved.EventsHash
	return d
}

// wantRow demands what a server sees that knows only rows.
func wantRow(t *testing.T, s *store.Store, d *rollout.Deployment, want rollout.Phase, inFlight bool) {
	t.Helper()
	var phase rollout.Phase
	var beside bool
	must(t, s.Pool().QueryRow(ctx(t), `SELECT t.phase, d.in_flight IS NOT NULL FROM deployments d JOIN deployment_targets t ON t.deployment_id = d.id
		WHERE d.id = $1`, d.ID).Scan(&phase, &beside))
	if phase != want || beside != inFlight {
		t.Errorf("the row says %s, beside it is more: %t; want %s, %t", phase, beside, want, inFlight)
	}
}

// A server of the version before takes over with a statement that knows nothing of targets in flight.
func TestInFlight_OwnerOfAnyVersionFindsRows(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"taken over":            `UPDATE deployments SET owner = 'older', epoch = epoch + 1 WHERE id = $1`,
		"taken by its own name": `UPDATE deployments SET epoch = epoch + 1 WHERE id = $1`,
		"released":              `UPDATE deployments SET owner = NULL WHERE id = $1`,
		"ended":                 `UPDATE deployments SET state = 'aborted', finished_at = now(), owner = NULL WHERE id = $1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, d := inBatches(t)
			d = saveInFlight(t, s, d)
			wantRow(t, s, &d, rollout.PhaseNew, true)
			exec(t, s, `UPDATE deployments SET reason = 'paused by ann' WHERE id = $1`, d.ID)
			wantRow(t, s, &d, rollout.PhaseNew, true)
			exec(t, s, change, d.ID)
			wantRow(t, s, &d, rollout.PhaseCalling, false)
		})
	}
}

func TestInFlight_OlderReplicaGetsRows(t *testing.T) {
	t.Parallel()
	s, d := inBatches(t)
	exec(t, s, `INSERT INTO replicas (id, started_at, renewed_at, expires_at) VALUES ('older', now(), now(), now() + interval '1 minute')`)
	_, err := s.Heartbeat(ctx(t), "a", lease)
	must(t, err)
	d = saveInFlight(t, s, d)
	wantRow(t, s, &d, rollout.PhaseCalling, false)
}
