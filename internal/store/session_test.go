package store_test

import (
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

func TestSession_EveryConnectionIsReadCommitted(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"serializable", "repeatable read"} {
		s := openAt(t, configured(t, dbtest.New(t), "default_transaction_isolation = '"+level+"'"))
		var isolation string
		must(t, s.Pool().QueryRow(ctx(t), `SHOW transaction_isolation`).Scan(&isolation))
		if isolation != "read committed" {
			t.Errorf("where %s is the default, transactions are %s", level, isolation)
		}
	}
}

// A save that loses a deadlock is sent again, here over a connection that has never seen it.
func TestSave_LostRaceIsRetriedOnAnyConnection(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	s, other := openAt(t, url+"&pool_max_conn_lifetime=500ms"), openAt(t, url)
	snap := started(t, s, "checkout", "r1")
	rival := begin(t, other)
	exec := func(sql string) {
		_, err := rival.Exec(ctx(t), sql)
		must(t, err)
	}
	exec(`SET LOCAL deadlock_timeout = '1h'`) // the save is the one that gives way
	exec(`SELECT FROM deployment_targets WHERE deployment_id = '` + snap.Deployment.ID + `' FOR UPDATE`)
	done := make(chan error, 1)
	go func() {
		_, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: snap.Deployment, Targets: []rollout.Target{snap.Targets[0].Clone()}})
		done <- err
	}()
	await(t, other, done, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`)
	exec(`UPDATE deployments SET id = id WHERE id = '` + snap.Deployment.ID + `'`)
	must(t, rival.Rollback(ctx(t)))
	must(t, <-done)
}
