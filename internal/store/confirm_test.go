package store_test

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

// replicated is a store on a server with a standby that has every commit before it is answered.
func replicated(t *testing.T) (s, watcher *store.Store, primary, standby *dbtest.Server) {
	t.Helper()
	primary, standby = dbtest.StartReplicated(t)
	must(t, primary.WaitForStandby(ctx(t)))
	url, err := primary.CreateDatabase(ctx(t), "replicated")
	must(t, err)
	return openAt(t, url), openAt(t, url), primary, standby
}

// unanswered demands that do is not answered while the standby is away.
func unanswered(t *testing.T, what string, do func(context.Context) error) {
	t.Helper()
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := do(short); problem.CodeOf(err) != problem.CodeUnavailable {
		t.Errorf("while the standby is away, %s is answered: %v", what, err)
	}
}

// A write that was answered as unavailable can be read at the primary, and is lost with it as long as no standby has it.
func TestSynchronous_AnsweredWritesReachStandby(t *testing.T) {
	t.Parallel()
	s, watcher, primary, standby := replicated(t)
	running := started(t, s, "running", "r1")
	ended := started(t, s, "ended", "r2")
	finish(t, s, ended, rollout.StateCompleted)
	pausing := createDeployment(t, s, request("pausing", 1))
	must(t, standby.Crash())

	created := request("created", 1)
	created.Key = key("k", "body")
	message := running.Deployment
	message.Reason = "saved in doubt"
	rollback := func(snap *rollout.Snapshot) (storage.NewDeployment, error) {
		r := request("ended", 1)
		r.Deployment.Kind, r.Deployment.RollbackOf = rollout.KindRollback, snap.Deployment.ID
		return r, nil
	}
	asked := []struct {
		name, visible string
		do            func(context.Context) error
	}{
		{"a creation", `SELECT EXISTS (SELECT FROM deployments WHERE service = 'created')`, func(ctx context.Context) error {
			_, err := s.CreateDeployment(ctx, created)
			return err
		}},
		{"a command", `SELECT EXISTS (SELECT FROM deployments WHERE service = 'pausing' AND operator_revision = 1)`, func(ctx context.Context) error {
			_, err := s.UpdateDeployment(ctx, pausing.ID, 0, pause)
			return err
		}},
		{"a rollback", `SELECT EXISTS (SELECT FROM deployments WHERE rollback_of IS NOT NULL)`, func(ctx context.Context) error {
			_, err := s.CreateRollback(ctx, ended.Deployment.ID, rollback)
			return err
		}},
		{"a save", `SELECT EXISTS (SELECT FROM deployments WHERE reason = 'saved in doubt')`, func(ctx context.Context) error {
			_, err := s.SaveDeployment(ctx, storage.SaveRequest{Deployment: message})
			return err
		}},
	}
	for _, ask := range asked {
		unanswered(t, ask.name, ask.do)
		await(t, watcher, nil, ask.visible)
		unanswered(t, ask.name+" that is asked for again", ask.do)
	}
	unanswered(t, "a look for a key", func(ctx context.Context) error {
		_, _, err := s.CreatedUnderKey(ctx, created.Key)
		return err
	})

	must(t, standby.Restart())
	for _, ask := range asked {
		must(t, ask.do(ctx(t)))
	}
	must(t, primary.Crash())
	must(t, standby.Promote(ctx(t)))
	after := openAt(t, standby.DatabaseURL("replicated"))
	for _, ask := range asked {
		await(t, after, nil, ask.visible)
	}
}
