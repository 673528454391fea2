package admin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/store"
)

// reading is what a dump does to a table.
func reading(table string) string { return "LOCK TABLE " + table + " IN ACCESS SHARE MODE" }

// migrating migrates in the background.
func migrating(ctx context.Context, migrate func(context.Context) error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- migrate(ctx) }()
	return done
}

// awaitWaiting waits until a transaction waits for an exclusive lock on a table, as long as the migration runs.
func awaitWaiting(t *testing.T, watcher *store.Store, table string, done <-chan error) {
	t.Helper()
	const sql = `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1::regclass AND mode = 'AccessExclusiveLock' AND NOT granted)`
	await(t, watcher, done, sql, table)
}

// wantServed demands that statements like those of the older binary are answered within two seconds each.
func wantServed(t *testing.T, url string, tables ...string) {
	t.Helper()
	conn, err := pgx.Connect(ctx(t), url+"&statement_timeout=2000")
	must(t, err)
	defer func() { must(t, conn.Close(ctx(t))) }()
	for _, table := range tables {
		for _, sql := range []string{"SELECT count(*) FROM " + table, "UPDATE " + table + " SET created_at = created_at", "DELETE FROM " + table} {
			if table == "deployment_events" {
				sql = strings.ReplaceAll(sql, "created_at", "at")
			}
			if _, err := conn.Exec(ctx(t), sql); err != nil {
				t.Errorf("behind the waiting migration %s: %v", sql, err)
			}
		}
	}
}

func TestMigration_WaitingForReaderBlocksNoOther(t *testing.T) {
	t.Parallel()
	older := []string{"deployments", "definitions", "deployment_events", "idempotency_keys"}
	for _, blocked := range []struct {
		before int64
		table  string
	}{
		{2, "idempotency_keys"},
		{4, "deployments"},
		{4, "definitions"},
		{5, "deployments"},
		{5, "deployment_events"},
		{7, "deployments"},
	} {
		t.Run(fmt.Sprintf("%s after version %d", blocked.table, blocked.before), func(t *testing.T) {
			t.Parallel()
			url := atVersion(t, blocked.before)
			s, watcher := openAt(t, url), openAt(t, url)
			release := hold(t, url, reading(blocked.table))
			done := migrating(ctx(t), administer(s).Migrate)
			awaitWaiting(t, watcher, blocked.table, done)
			wantServed(t, url, older...)
			awaitWaiting(t, watcher, blocked.table, done)
			release()
			must(t, <-done)
			create(t, s, request("checkout", 1))
		})
	}
}

func TestMigration_WaitingReplicasAllFinish(t *testing.T) {
	t.Parallel()
	url := atVersion(t, 4)
	watcher := openAt(t, url)
	release := hold(t, url, reading("deployments"))
	var replicas [3]<-chan error
	for i := range replicas {
		replicas[i] = migrating(ctx(t), administer(openAt(t, url)).Migrate)
	}
	for range 2 { // in either order
		awaitWaiting(t, watcher, "deployments", replicas[0])
		await(t, watcher, replicas[0], `SELECT NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'deployments'::regclass AND NOT granted)`)
	}
	release()
	for _, done := range replicas {
		must(t, <-done)
	}
	create(t, watcher, request("checkout", 1))
}

func TestMigration_LockTimeoutNamesTableAndCause(t *testing.T) {
	t.Parallel()
	url := atVersion(t, 4)
	release := hold(t, url, reading("deployments"))
	err := administer(openAt(t, url)).MigrateTrying(ctx(t), 2)
	wantCode(t, err, problem.CodeUnavailable)
	for _, part := range []string{"00005_secrets.sql", "others hold", "lock timeout"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in: %v", part, err)
		}
	}
	release()
	must(t, administer(openAt(t, url)).MigrateTrying(ctx(t), 1))
}

func TestMigration_WaitEndsWithContext(t *testing.T) {
	t.Parallel()
	const gaveUp = `SELECT NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'deployments'::regclass AND NOT granted)`
	for name, sql := range map[string]string{"while it asks": `SELECT true`, "between two tries": gaveUp} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := atVersion(t, 4)
			hold(t, url, reading("deployments"))
			s, watcher := openAt(t, url), openAt(t, url)
			running, cancel := context.WithCancel(ctx(t))
			done := migrating(running, administer(s).Migrate)
			awaitWaiting(t, watcher, "deployments", done)
			await(t, watcher, done, sql)
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) || problem.CodeOf(err) != "" {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// An index that is built beside what writes is left invalid when it is cut off.
func TestMigration_IndexWaitsForOldTransaction(t *testing.T) {
	t.Parallel()
	url := atVersion(t, 7)
	s, watcher := openAt(t, url), openAt(t, url)
	release := hold(t, url, `SELECT count(*) FROM replicas`)
	done := migrating(ctx(t), administer(s).Migrate)
	await(t, watcher, done, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
		AND query LIKE '%' || $1 || '%' AND query_start < clock_timestamp() - interval '2 seconds')`, "CREATE INDEX CONCURRENTLY deployments_ended")
	wantServed(t, url, "deployments", "deployment_events")
	release()
	must(t, <-done)
	var invalid int
	must(t, watcher.Pool().QueryRow(ctx(t), `SELECT count(*) FROM pg_index WHERE NOT indisvalid`).Scan(&invalid))
	if invalid > 0 {
		t.Errorf("%d indexes are invalid", invalid)
	}
}

// A timeout that the role has for its other work must not cut a migration off, which would be started again without end.
func TestMigration_NoTimeoutOfTheRoleCutsItOff(t *testing.T) {
	t.Parallel()
	url := configured(t, atVersion(t, 7), "statement_timeout = '300ms'", "lock_timeout = '300ms'", "idle_in_transaction_session_timeout = '300ms'")
	s, watcher := openAt(t, url), openAt(t, url)
	release := hold(t, url+"&idle_in_transaction_session_timeout=0", `SELECT count(*) FROM replicas`)
	done := migrating(ctx(t), administer(s).Migrate)
	await(t, watcher, done, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
		AND query LIKE '%CREATE INDEX CONCURRENTLY%' AND query_start < clock_timestamp() - interval '1 second' AND pid <> pg_backend_pid())`)
	release()
	must(t, <-done)
	wantValidIndexes(t, watcher)
}

// An index that was cut off while it was built is there, and of no use.
func TestMigration_InvalidIndexIsRebuilt(t *testing.T) {
	t.Parallel()
	url := atVersion(t, 7)
	s := openAt(t, url)
	release := hold(t, url, `SELECT count(*) FROM replicas`)
	cut, err := pgx.Connect(ctx(t), url+"&statement_timeout=200")
	must(t, err)
	_, err = cut.Exec(ctx(t), `CREATE INDEX CONCURRENTLY deployments_ended ON deployments (finished_at, id)`)
	if err == nil {
		t.Fatal("the index was built")
	}
	must(t, cut.Close(ctx(t)))
	release()
	must(t, administer(s).Migrate(ctx(t)))
	wantValidIndexes(t, s)
}

func wantValidIndexes(t *testing.T, s *store.Store) {
	t.Helper()
	var invalid int
	must(t, s.Pool().QueryRow(ctx(t), `SELECT count(*) FROM pg_index WHERE NOT indisvalid`).Scan(&invalid))
	if invalid > 0 {
		t.Errorf("%d indexes are invalid", invalid)
	}
}

// The id is that of releases that are out: it must never change.
func TestMigration_AnotherReleaseIsAwaited(t *testing.T) {
	t.Parallel()
	url := atVersion(t, 7)
	s, watcher := openAt(t, url), openAt(t, url)
	other, err := pgx.Connect(ctx(t), url)
	must(t, err)
	_, err = other.Exec(ctx(t), `SELECT pg_advisory_lock(4097083626)`)
	must(t, err)
	done := migrating(ctx(t), administer(s).Migrate)
	await(t, watcher, done, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
		AND query LIKE '%pg_try_advisory_lock%' AND pid <> pg_backend_pid())`)
	must(t, other.Close(ctx(t)))
	must(t, <-done)
}
