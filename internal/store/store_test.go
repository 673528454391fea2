package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"rollcall/internal/dbtest"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
	"rollcall/migrations"
)

func TestMigration_ConcurrentOnEmptyDatabase(t *testing.T) {
	t.Parallel()
	url := dbtest.NewEmpty(t)
	var stores [4]*store.Store
	for i := range stores {
		stores[i] = openAt(t, url)
	}
	atOnce(len(stores), func(i int) {
		if err := administer(stores[i]).Migrate(ctx(t)); err != nil {
			t.Error(err)
		}
	})
	must(t, administer(stores[0]).Migrate(ctx(t)))
	createDeployment(t, stores[0], request("checkout", 1))
}

func TestMigration_UpDownAndUpAgain(t *testing.T) {
	t.Parallel()
	url := dbtest.NewEmpty(t)
	config, err := pgx.ParseConfig(url)
	must(t, err)
	db := stdlib.OpenDB(*config)
	defer func() { must(t, db.Close()) }()
	p, err := migrations.Provider(db)
	must(t, err)
	for range 2 {
		_, err = p.Up(ctx(t))
		must(t, err)
		_, err = p.DownTo(ctx(t), 0)
		must(t, err)
	}
	var left int
	must(t, db.QueryRowContext(ctx(t), `SELECT count(*) FROM information_schema.tables
		WHERE table_schema = 'public' AND table_name <> 'goose_db_version'`).Scan(&left))
	if left != 0 {
		t.Errorf("%d tables are left after going down", left)
	}
	_, err = p.Up(ctx(t))
	must(t, err)
	createDeployment(t, openAt(t, url), request("checkout", 1))
}

func TestStore_MissingServerIsUnavailable(t *testing.T) {
	t.Parallel()
	s := openAt(t, "postgres://ann@127.0.0.1:1/x?sslmode=disable")
	wantUnavailable(t, s)
	wantCode(t, administer(s).Migrate(ctx(t)), problem.CodeUnavailable)
}

func wantUnavailable(t *testing.T, s *store.Store) {
	t.Helper()
	const id = "00000000-0000-7000-8000-000000000000"
	_, errHeartbeat := s.Heartbeat(ctx(t), "r1", lease)
	_, errCreate := s.CreateDeployment(ctx(t), request("checkout", 1))
	_, errRead := s.Deployment(ctx(t), id)
	_, errSave := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: rollout.Deployment{ID: id}})
	_, _, errClaim := s.ClaimDeployments(ctx(t), "r1", nil, 1)
	for _, err := range []error{s.Ping(ctx(t)), errHeartbeat, errCreate, errRead, errSave, errClaim} {
		wantCode(t, err, problem.CodeUnavailable)
		if e, ok := errors.AsType[*problem.Error](err); !ok || e.Err == nil {
			t.Errorf("%v has no cause", err)
		}
	}
}

func TestStore_RecoversAfterServerOutage(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	s, admin := openAt(t, url), openAt(t, dbtest.NewEmpty(t))
	config, err := pgx.ParseConfig(url)
	must(t, err)
	d := createDeployment(t, s, request("checkout", 1))

	exec(t, admin, `ALTER DATABASE `+config.Database+` ALLOW_CONNECTIONS false`)
	exec(t, admin, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, config.Database)
	if _, err := s.Deployment(ctx(t), d.ID); problem.CodeOf(err) != problem.CodeUnavailable {
		t.Errorf("on a cut connection: %v", err)
	}
	exec(t, admin, `ALTER DATABASE `+config.Database+` ALLOW_CONNECTIONS true`)
	for ctx := ctx(t); ; {
		_, err := s.Deployment(ctx, d.ID)
		if err == nil {
			return
		}
		wantCode(t, err, problem.CodeUnavailable)
	}
}

func TestStore_BusyPoolAndReadOnlyAreUnavailable(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	s := openAt(t, url+"&pool_max_conns=1")
	held, err := s.Pool().Acquire(ctx(t))
	must(t, err)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.Deployment(short, "00000000-0000-7000-8000-000000000000")
	wantCode(t, err, problem.CodeUnavailable)
	held.Release()

	s = openAt(t, url+"&default_transaction_read_only=on")
	_, err = s.CreateDeployment(ctx(t), request("checkout", 1))
	wantCode(t, err, problem.CodeUnavailable)
}

func TestStore_CancelledCallIsNoDatabaseError(t *testing.T) {
	t.Parallel()
	s := open(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Ping(gone)
	if !errors.Is(err, context.Canceled) || problem.CodeOf(err) != "" {
		t.Errorf("the error is %v", err)
	}
}

func TestStore_FrozenReplicaReleasesLocks(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := createDeployment(t, s, request("checkout", 1))
	tx, err := s.Pool().Begin(ctx(t))
	must(t, err)
	_, err = tx.Exec(ctx(t), `SELECT FROM deployments WHERE id = $1 FOR UPDATE`, d.ID)
	must(t, err)
	// It says nothing more: the row must come free by itself, well within a lease.
	_, err = s.UpdateDeployment(ctx(t), d.ID, 0, pause)
	must(t, err)
	if err := tx.Rollback(ctx(t)); err == nil {
		t.Error("the frozen transaction went on")
	}
}

func TestStore_IdleTransactionIsUnavailable(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	s, watcher := openAt(t, url+"&idle_in_transaction_session_timeout=50"), openAt(t, url)
	d := createDeployment(t, s, request("checkout", 1))
	_, err := s.UpdateDeployment(ctx(t), d.ID, 0, func(*rollout.Deployment, time.Time) ([]rollout.Event, error) {
		for open := 1; open > 0; {
			const sql = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`
			must(t, watcher.Pool().QueryRow(ctx(t), sql).Scan(&open))
		}
		return []rollout.Event{{Type: rollout.EventPaused}}, nil
	})
	wantCode(t, err, problem.CodeUnavailable)
}

func TestStore_URLSettingIsKept(t *testing.T) {
	t.Parallel()
	s := openAt(t, dbtest.New(t)+"&statement_timeout=1234&pool_max_conns=3&connect_timeout=7")
	var timeout string
	must(t, s.Pool().QueryRow(ctx(t), `SHOW statement_timeout`).Scan(&timeout))
	config := s.Pool().Config()
	if timeout != "1234ms" || config.MaxConns != 3 || config.ConnConfig.ConnectTimeout != 7*time.Second {
		t.Errorf("statement_timeout %s, %d connections, connect_timeout %s", timeout, config.MaxConns, config.ConnConfig.ConnectTimeout)
	}
}

// To compile the statement of the figures takes PostgreSQL seconds, and a connection compiles its first few uses again and
// again.
func TestStore_JITIsOffUnlessURLSetsIt(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]string{"": "off", "&jit=on": "on"} {
		var jit string
		must(t, openAt(t, dbtest.New(t)+more).Pool().QueryRow(ctx(t), `SHOW jit`).Scan(&jit))
		if jit != want {
			t.Errorf("%q: jit is %s, want %s", more, jit, want)
		}
	}
}

func TestStore_IsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	s := open(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, stop := s.SubscribeChanges("x")
			defer stop()
			if err := s.Ping(ctx(t)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
