package store_test

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

// ahead is a store on a database whose clock is an hour ahead of this machine's.
func ahead(t *testing.T) *store.Store {
	t.Helper()
	url := dbtest.New(t)
	exec(t, openAt(t, url), `CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql
		AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$`)
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	return openAt(t, url+separator+"search_path=public,pg_catalog")
}

func TestLease_UsesDatabaseClockOnly(t *testing.T) {
	t.Parallel()
	s := ahead(t)
	now, err := s.Heartbeat(ctx(t), "r1", lease)
	must(t, err)
	if off := time.Until(now); off < 59*time.Minute || off > 61*time.Minute {
		t.Errorf("the database is an hour ahead; its time as it was given is %s ahead", off)
	}
	createDeployment(t, s, request("checkout", 1))
	snap := claimOne(t, s, "r1")
	if c := claimed(t, s, "r2"); len(c) != 0 {
		t.Errorf("a living replica's deployment was taken over: %+v", c)
	}
	if off := time.Until(snap.Deployment.CreatedAt); off < 59*time.Minute {
		t.Errorf("created by this machine's clock, %s from now", off)
	}
	save(t, s, snap, storage.SaveRequest{Release: true, RunAt: now.Add(-time.Minute)})
	if c := claimed(t, s, "r2"); len(c) != 1 || c[0].OverdueBy < time.Minute || c[0].OverdueBy > 3*time.Minute {
		t.Errorf("due a minute ago by the database's clock: %+v", c)
	}
}
