package e2e

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
)

// A database that answers is not enough: here it is the engine alone that gets nowhere. The bound is ten leases, which
// are a minute by default.
func TestReady_StalledEngineIsUnready(t *testing.T) {
	t.Parallel()
	database := dbtest.New(t)
	p := serve(t, database, "--lease=1s")
	p.awaitStatus("/readyz", http.StatusOK, 10*time.Second)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }() // what it has locked is free then
	if _, err := conn.Exec(t.Context(), `BEGIN; LOCK TABLE replicas IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	stuck := time.Now()
	p.awaitStatus("/readyz", http.StatusServiceUnavailable, 30*time.Second)
	if took := time.Since(stuck); took < 8*time.Second || took > 13*time.Second {
		t.Errorf("an engine that stands still is not ready after %s", took)
	}
	p.awaitStatus("/healthz", http.StatusOK, time.Second)
	p.awaitStatus("/deployments", http.StatusOK, time.Second)
	if _, err := conn.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	p.awaitStatus("/readyz", http.StatusOK, 5*time.Second+slack)
}

func (p *process) awaitStatus(path string, status int, within time.Duration) {
	p.t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	got := 0
	for deadline := time.Now().Add(within); got != status; <-poll.C {
		res, _ := call(p.t, http.MethodGet, p.url+path, nil, nil)
		if got = res.StatusCode; got != status && time.Now().After(deadline) {
			p.t.Fatalf("%s still answers %d after %s, not %d", path, got, within, status)
		}
	}
}
