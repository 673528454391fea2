package store_test

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/rollout"
	"rollcall/internal/store"
)

func TestHeartbeat_ReturnsDatabaseTimePrunesDead(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, err := s.Heartbeat(ctx(t), "old", -2*time.Hour)
	must(t, err)
	now, err := s.Heartbeat(ctx(t), "r1", lease)
	must(t, err)
	if off := time.Since(now); off < -time.Minute || off > time.Minute || now.Location() != time.UTC {
		t.Errorf("the time is %s", now)
	}
	var ids []string
	must(t, s.Pool().QueryRow(ctx(t), `SELECT array_agg(id) FROM replicas`).Scan(&ids))
	if !reflect.DeepEqual(ids, []string{"r1"}) {
		t.Errorf("replicas: %v", ids)
	}
}

// nextRun returns when a deployment is due.
func nextRun(t *testing.T, s *store.Store, id string) (at time.Time) {
	t.Helper()
	must(t, s.Pool().QueryRow(ctx(t), `SELECT next_run_at FROM deployments WHERE id = $1`, id).Scan(&at))
	return at
}

func claimIDs(t *testing.T, s *store.Store) (ids []string) {
	t.Helper()
	claimed, _, err := s.ClaimDeployments(ctx(t), "r2", nil, 10)
	must(t, err)
	for i := range claimed {
		ids = append(ids, claimed[i].Snapshot.Deployment.ID)
	}
	return ids
}

func TestClaim_BlockedIsDeferredUntilActiveEnds(t *testing.T) {
	t.Parallel()
	s := open(t)
	active := started(t, s, "checkout", "r1")
	waiting := createDeployment(t, s, request("checkout", 1))
	if got := claimIDs(t, s); len(got) != 0 {
		t.Fatalf("claimed %v", got)
	}
	if at := nextRun(t, s, waiting.ID); time.Until(at) < 30*time.Minute {
		t.Errorf("polls look at it again at %s", at)
	}
	finish(t, s, active, rollout.StateCompleted)
	if got := claimIDs(t, s); !slices.Equal(got, []string{waiting.ID}) {
		t.Errorf("claimed %v, not %s", got, waiting.ID)
	}
}

// A poll neither waits for the transaction that ends the active deployment nor undoes that it makes the next one due.
func TestClaim_DeferringLeavesWhatIsBeingWoken(t *testing.T) {
	t.Parallel()
	s := open(t)
	active := started(t, s, "checkout", "r1")
	waiting := createDeployment(t, s, request("checkout", 1))
	tx, err := s.Pool().Begin(ctx(t))
	must(t, err)
	defer tx.Rollback(context.Background()) //nolint:errcheck // after a commit it does nothing
	_, err = tx.Exec(ctx(t), `UPDATE deployments SET state = 'completed', finished_at = clock_timestamp(), owner = NULL WHERE id = $1`, active.Deployment.ID)
	must(t, err)
	if got := claimIDs(t, s); len(got) != 0 {
		t.Fatalf("claimed %v", got)
	}
	must(t, tx.Commit(ctx(t)))
	if got := claimIDs(t, s); !slices.Equal(got, []string{waiting.ID}) {
		t.Errorf("claimed %v, not %s", got, waiting.ID)
	}
}

func TestClaim_ReadsWhatIsDueByIndex(t *testing.T) {
	t.Parallel()
	s := open(t)
	args := pgx.NamedArgs{"replica": "one", "mine": []string{}, "limit": 10}
	for step, sql := range map[string]string{
		"Index Scan using deployments_due_begun on deployments d":   store.BegunSQL,
		"Index Scan using deployments_due_waiting on deployments d": store.WaitingSQL,
		"deployments_owned":                             store.OwnedSQL,
		"Index Cond: (next_run_at <= ":                  store.WaitingSQL,
		"Index Only Scan using deployments_due_begun":   store.NextSQL,
		"Index Only Scan using deployments_due_waiting": store.NextSQL,
		"Index Scan using deployments_due_waiting":      store.DeferSQL,
	} {
		wantPlan(t, s, step, sql, args)
	}
}
