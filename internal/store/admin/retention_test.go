package admin_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
	"rollcall/internal/store/admin"
)

const week = 7 * 24 * time.Hour

// pastDeployment is a deployment that ended so many days ago.
type pastDeployment struct {
	state  rollout.State
	days   int
	undoes int // the place of another one in the list, from 1; it is a rollback then
	sent   bool
}

// createPast makes the deployments of one service, oldest first, and gives their ids.
func createPast(t *testing.T, owner, s *store.Store, service string, past ...pastDeployment) []string {
	t.Helper()
	ids := make([]string, len(past))
	for i, d := range past {
		r := request(service, 1)
		if d.undoes > 0 {
			r.Deployment.Kind, r.Deployment.RollbackOf = rollout.KindRollback, ids[d.undoes-1]
		}
		create(t, s, r)
		snap := claim(t, s, "r1")
		snap.Deployment.State, snap.Deployment.StartedAt = rollout.StateInProgress, snap.Deployment.CreatedAt
		if d.sent {
			snap.Targets[0].CallsSent = 1
		}
		save(t, s, snap, storage.SaveRequest{Targets: snap.Targets, Events: []rollout.Event{{Type: rollout.EventStarted}}})
		finish(t, s, snap, d.state)
		ids[i] = snap.Deployment.ID
		if d.undoes > 0 {
			exec(t, s, `UPDATE deployments SET result = result || '{"success": true}' WHERE id = $1`, ids[i])
		}
		age(t, owner, ids[i], d.days)
	}
	return ids
}

// age makes a deployment and all that is written of it so many days older. Only the owner of the tables can.
func age(t *testing.T, owner *store.Store, id string, days int) {
	t.Helper()
	exec(t, owner, `UPDATE deployments SET created_at = created_at - make_interval(days => $2), started_at = started_at - make_interval(days => $2),
		finished_at = finished_at - make_interval(days => $2) WHERE id = $1`, id, days)
	exec(t, owner, `UPDATE deployment_events SET at = at - make_interval(days => $2) WHERE deployment_id = $1`, id, days)
}

// deleteAllExpired calls DeleteExpiredDeployments until nothing is left to remove.
func deleteAllExpired(t *testing.T, s *store.Store, retain time.Duration) (n int) {
	t.Helper()
	for {
		batch, err := administer(s).DeleteExpiredDeployments(ctx(t), retain)
		must(t, err)
		if n += batch; batch == 0 {
			return n
		}
	}
}

// left are the places of the deployments that are still there, from 1.
func left(t *testing.T, s *store.Store, ids []string) (places []int) {
	t.Helper()
	for i, id := range ids {
		if _, err := s.Deployment(ctx(t), id); err == nil {
			places = append(places, i+1)
		} else {
			wantCode(t, err, problem.CodeNotFound)
		}
	}
	return places
}

func TestRetention_DeletesOldAndUnneeded(t *testing.T) {
	t.Parallel()
	const ok, bad, back = rollout.StateCompleted, rollout.StateFailed, rollout.StateRolledBack
	for name, c := range map[string]struct {
		past []pastDeployment
		left []int
	}{
		"the last two that succeeded stay":   {[]pastDeployment{{state: ok, days: 40}, {state: ok, days: 30}, {state: ok, days: 20}}, []int{2, 3}},
		"what is not old stays":              {[]pastDeployment{{state: bad, days: 6}, {state: ok, days: 5}, {state: ok, days: 4}, {state: ok, days: 3}}, []int{1, 2, 3, 4}},
		"the last two are of all ages":       {[]pastDeployment{{state: ok, days: 40}, {state: ok, days: 5}, {state: ok, days: 3}}, []int{2, 3}},
		"failures do not count":              {[]pastDeployment{{state: ok, days: 50}, {state: ok, days: 40}, {state: bad, days: 30}, {state: bad, days: 2}}, []int{1, 2, 4}},
		"the newest stays whatever it was":   {[]pastDeployment{{state: bad, days: 40}, {state: bad, days: 30}}, []int{2}},
		"so does the one to be rolled back":  {[]pastDeployment{{state: bad, days: 50, sent: true}, {state: bad, days: 40, sent: true}, {state: bad, days: 30}, {state: bad, days: 20}}, []int{2, 4}},
		"a rollback goes with what it undid": {[]pastDeployment{{state: bad, days: 90}, {state: back, days: 80, undoes: 1}, {state: ok, days: 70}, {state: ok, days: 60}, {state: ok, days: 50}, {state: back, days: 45, undoes: 5}, {state: back, days: 40, undoes: 5}}, []int{4, 5, 6, 7}},
		"and stays with it":                  {[]pastDeployment{{state: bad, days: 90}, {state: back, days: 3, undoes: 1}, {state: ok, days: 2}, {state: ok, days: 2}, {state: ok, days: 1}}, []int{1, 2, 3, 4, 5}},
		"over any number of turns":           {[]pastDeployment{{state: bad, days: 90}, {state: back, days: 80, undoes: 1}, {state: back, days: 3, undoes: 2}, {state: ok, days: 2}, {state: ok, days: 2}}, []int{1, 2, 3, 4, 5}},
		"the rollbacks do not push out what completed": {
			[]pastDeployment{{state: ok, days: 90}, {state: ok, days: 80}, {state: ok, days: 70}, {state: bad, days: 60}, {state: back, days: 50, undoes: 4}, {state: bad, days: 40}, {state: back, days: 30, undoes: 6}},
			[]int{2, 3, 4, 5, 6, 7},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			ids := createPast(t, s, s, "checkout", c.past...)
			createPast(t, s, s, "other", pastDeployment{state: ok, days: 99}) // what is there of another service saves nothing here
			n := deleteAllExpired(t, s, week)
			if got := left(t, s, ids); !slices.Equal(got, c.left) || n != len(ids)-len(got) {
				t.Errorf("%d were forgotten, %v are left, not %v", n, got, c.left)
			}
		})
	}
}

func TestRetention_UnfinishedKeepsItsReferences(t *testing.T) {
	t.Parallel()
	s := open(t)
	bad := pastDeployment{state: rollout.StateFailed, days: 30}
	ids := createPast(t, s, s, "checkout", bad, bad, bad)
	r := request("checkout", 1)
	r.Deployment.Spec.RetryOf = ids[1]
	create(t, s, r)
	deleteAllExpired(t, s, week)
	if got := left(t, s, ids); !slices.Equal(got, []int{2}) {
		t.Errorf("%v are left", got)
	}
}

func TestRetention_SourceKeepsItsDeployments(t *testing.T) {
	t.Parallel()
	s := open(t)
	bad := pastDeployment{state: rollout.StateFailed, days: 30}
	ids := createPast(t, s, s, "checkout", bad, bad, bad, bad)
	exec(t, s, `INSERT INTO gitops_sources (name, id, url, branch, path, interval_ns, heal, username, allowed_signers, known_hosts, revision, created_at, updated_at, next_run_at)
		VALUES ('main', gen_random_uuid(), '', '', '', 1, false, '', '', '', 1, now(), now(), now())`)
	exec(t, s, `INSERT INTO gitops_files (source, path, record) VALUES ('main', 'a.yaml',
		jsonb_build_object('attempt', jsonb_build_object('deployment_id', $1::text, 'older', jsonb_build_array($2::text)))), ('main', 'b.yaml', '{"attempt": null}')`, ids[0], ids[1])
	deleteAllExpired(t, s, week)
	if got := left(t, s, ids); !slices.Equal(got, []int{1, 2, 4}) {
		t.Errorf("%v are left", got)
	}
}

func TestRetention_DeletesWholeDeploymentKeepsService(t *testing.T) {
	t.Parallel()
	address := dbtest.New(t)
	owner := openAt(t, address)
	role := newRole(t, owner)
	must(t, administer(owner).GrantTo(ctx(t), role))
	s := openAt(t, as(t, address, role)) // with no more rights than a server has
	ok := pastDeployment{state: rollout.StateCompleted, days: 30, sent: true}
	ids := createPast(t, owner, s, "checkout", ok, ok, ok, ok)
	if n := deleteAllExpired(t, s, week); n != 2 {
		t.Errorf("%d were forgotten", n)
	}
	rows, err := all[string](t, s, `SELECT DISTINCT deployment_id::text FROM (SELECT deployment_id FROM deployment_events UNION ALL SELECT deployment_id FROM deployment_targets) x ORDER BY 1`)
	must(t, err)
	if !slices.Equal(rows, ids[2:]) {
		t.Errorf("something is left of %v", rows)
	}
	if latest, err := s.LatestDeployment(ctx(t), "checkout", "production"); err != nil || latest.ID != ids[3] {
		t.Errorf("the latest is %v, %v", latest.ID, err)
	}
	started(t, s, "checkout", "r2")
}

func all[T any](t *testing.T, s *store.Store, sql string, args ...any) ([]T, error) {
	t.Helper()
	rows, err := s.Pool().Query(ctx(t), sql, args...)
	must(t, err)
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

func TestRetention_UsesIndexOfEnded(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i := range 5 {
		manyEnded(t, s, fmt.Sprint("service-", i), 1000)
	}
	exec(t, s, `ANALYZE deployments`)
	wantPlan(t, s, "Index Scan using deployments_ended on deployments d ", admin.ExpiredSQL(), time.Hour)
}

func TestRetention_BatchIsBoundedByEvents(t *testing.T) {
	t.Parallel()
	s := open(t)
	bad := pastDeployment{state: rollout.StateFailed, days: 30}
	ids := createPast(t, s, s, "checkout", bad, bad, bad, bad)
	exec(t, s, `UPDATE deployments SET last_seq = 15000 WHERE id = ANY ($1)`, ids)
	for _, want := range []int{2, 1, 0} { // the newest stays
		if n, err := administer(s).DeleteExpiredDeployments(ctx(t), week); err != nil || n != want {
			t.Errorf("%d, %v, want %d", n, err, want)
		}
	}
}

func TestRetention_OneReplicaAtATime(t *testing.T) {
	t.Parallel()
	s := open(t)
	bad := pastDeployment{state: rollout.StateFailed, days: 30}
	createPast(t, s, s, "checkout", bad, bad, bad)
	tx, err := s.Pool().Begin(ctx(t))
	must(t, err)
	_, err = tx.Exec(ctx(t), `SELECT pg_advisory_xact_lock(hashtextextended('rollcall/forget', 0))`)
	must(t, err)
	if n, err := administer(s).DeleteExpiredDeployments(ctx(t), week); n != 0 || err != nil {
		t.Errorf("%d beside another replica: %v", n, err)
	}
	must(t, tx.Rollback(ctx(t)))
	var sum atomic.Int64
	atOnce(4, func(int) {
		n, err := administer(s).DeleteExpiredDeployments(ctx(t), week)
		must(t, err)
		sum.Add(int64(n))
	})
	if sum.Load() != 2 {
		t.Errorf("%d were forgotten", sum.Load())
	}
}
