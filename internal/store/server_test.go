package store_test

import (
	"strings"
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/problem"
	"rollcall/internal/store"
)

func wantRefused(t *testing.T, s *store.Store, parts ...string) {
	t.Helper()
	_, err := s.CheckServer(ctx(t))
	if err == nil {
		t.Fatal("the database was not refused")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in: %v", part, err)
		}
	}
}

func TestServer_UTF8DatabaseGivesNoWarning(t *testing.T) {
	t.Parallel()
	warnings, err := open(t).CheckServer(ctx(t))
	must(t, err)
	if len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
}

func TestServer_OtherEncodingsAreRefused(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		wantRefused(t, openAt(t, dbtest.NewEncoded(t, encoding)), encoding, "CREATE DATABASE", "UTF8")
	}
}

func TestServer_ReadOnlyDatabaseIsNotReady(t *testing.T) {
	t.Parallel()
	s := openAt(t, configured(t, dbtest.New(t), "default_transaction_read_only = on"))
	wantRefused(t, s, "read-only", "default_transaction_read_only")
	err := s.Ping(ctx(t))
	wantCode(t, err, problem.CodeUnavailable)
	if !strings.Contains(err.Error(), "default_transaction_read_only") {
		t.Errorf("it is not ready because %v", err)
	}
}

func TestServer_UnavailableSaysWhy(t *testing.T) {
	t.Parallel()
	readOnly := openAt(t, configured(t, dbtest.New(t), "default_transaction_read_only = on"))
	_, errReadOnly := readOnly.CreateDeployment(ctx(t), request("checkout", 1))
	wantMessage(t, errReadOnly, "read-only")

	url := dbtest.New(t)
	s := openAt(t, url+"&statement_timeout=200")
	hold(t, url, "LOCK TABLE deployments IN ACCESS EXCLUSIVE MODE")
	_, errTimeout := s.Deployment(ctx(t), "00000000-0000-7000-8000-000000000000")
	wantMessage(t, errTimeout, "longer than the database allows")
}

// wantMessage demands what callers are shown of an unavailable database.
func wantMessage(t *testing.T, err error, part string) {
	t.Helper()
	wantCode(t, err, problem.CodeUnavailable)
	if message, _, _ := strings.Cut(err.Error(), ":"); !strings.Contains(message, part) || strings.Contains(message, "cannot be reached") {
		t.Errorf("no %q in: %s", part, message)
	}
}

func TestServer_SessionSharingPoolerIsRefused(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string][]string{
		"transaction":         {"pool_mode = transaction"},
		"statement":           {"pool_mode = statement"},
		"several, in turns":   {"pool_mode = transaction", "server_round_robin = 1", "min_pool_size = 3"},
		"startup is filtered": {"pool_mode = transaction", "ignore_startup_parameters = extra_float_digits,statement_timeout,jit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefused(t, openAt(t, dbtest.StartPooler(t, dbtest.New(t), settings...)), "pool_mode=session")
		})
	}
}

func TestServer_SessionPoolingNeedsNoSettingOfThePooler(t *testing.T) {
	t.Parallel()
	s := openAt(t, dbtest.StartPooler(t, dbtest.New(t), "pool_mode = session"))
	_, err := s.CheckServer(ctx(t))
	must(t, err)
	createDeployment(t, s, request("checkout", 1))
	var timeout string
	must(t, s.Pool().QueryRow(ctx(t), `SHOW statement_timeout`).Scan(&timeout))
	if timeout != "10s" {
		t.Errorf("statement_timeout is %s", timeout)
	}
}

func TestServer_PoolWithoutSessionsIsNamed(t *testing.T) {
	t.Parallel()
	s := openAt(t, dbtest.StartPooler(t, dbtest.New(t), "pool_mode = session", "default_pool_size = 1"))
	_, err := s.CheckServer(ctx(t))
	wantCode(t, err, problem.CodeUnavailable)
	if !strings.Contains(err.Error(), "default_pool_size") {
		t.Errorf("it says %v", err)
	}
}

func TestServer_StandbyIsNotReady(t *testing.T) {
	t.Parallel()
	primary, standby := dbtest.StartReplicated(t)
	_, err := primary.CreateDatabase(ctx(t), "followed")
	must(t, err)
	must(t, primary.CaughtUp(ctx(t), standby))
	s := openAt(t, standby.DatabaseURL("followed"))
	wantRefused(t, s, "standby", "target_session_attrs=read-write")
	wantMessage(t, s.Ping(ctx(t)), "standby")
	must(t, standby.Promote(ctx(t)))
	must(t, s.Ping(ctx(t)))
}
