package store_test

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

const lease = time.Minute

// open is a store on a database of its own.
func open(t testing.TB) *store.Store {
	t.Helper()
	return openAt(t, dbtest.New(t))
}

func openAt(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.SealedBy(dbtest.Box(t)))
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code problem.Code) {
	t.Helper()
	if problem.CodeOf(err) != code {
		t.Fatalf("got error %v (code %q), want code %q", err, problem.CodeOf(err), code)
	}
}

func ctx(t testing.TB) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return c
}

func request(service string, n int) rollout.NewDeployment { return storetest.Request(service, n) }

func key(value, body string) rollout.IdempotencyKey {
	return rollout.IdempotencyKey{Caller: "ci", Value: value, Hash: sha256.Sum256([]byte(body))}
}

func create(t testing.TB, s *store.Store, r rollout.NewDeployment) rollout.Deployment {
	t.Helper()
	created, err := s.Create(ctx(t), r)
	must(t, err)
	return created.Deployment
}

// claim makes a living replica the owner of the one deployment that is there to be claimed.
func claim(t testing.TB, s *store.Store, replica string) *rollout.Snapshot {
	t.Helper()
	c := claimed(t, s, replica)
	if len(c) != 1 {
		t.Fatalf("%s claimed %d deployments, want 1", replica, len(c))
	}
	return &c[0].Snapshot
}

func claimed(t testing.TB, s *store.Store, replica string) []rollout.Claimed {
	t.Helper()
	_, err := s.Heartbeat(ctx(t), replica, lease)
	must(t, err)
	c, _, err := s.Claim(ctx(t), replica, nil, 100)
	must(t, err)
	return c
}

// started is a claimed deployment that has begun.
func started(t testing.TB, s *store.Store, service, replica string) *rollout.Snapshot {
	t.Helper()
	create(t, s, request(service, 3))
	snap := claim(t, s, replica)
	d := &snap.Deployment
	d.State, d.StartedAt, d.Reason = rollout.StateInProgress, d.CreatedAt.Add(time.Second), "wave 1 of 1"
	save(t, s, snap, rollout.Save{Events: []rollout.Event{{Type: rollout.EventStarted, Actor: rollout.ActorEngine}}})
	return snap
}

// save writes the snapshot's deployment with the rest of sv, and follows the counters.
func save(t testing.TB, s *store.Store, snap *rollout.Snapshot, sv rollout.Save) rollout.Saved {
	t.Helper()
	sv.Deployment, sv.Events = snap.Deployment, storetest.Now(sv.Events...)
	saved, err := s.Save(ctx(t), sv)
	must(t, err)
	d := &snap.Deployment
	d.Revision, d.LastSeq, d.EventsHash, d.Saves = saved.Revision, saved.LastSeq, saved.EventsHash, saved.Saves
	return saved
}

func finish(t testing.TB, s *store.Store, snap *rollout.Snapshot, state rollout.State) {
	t.Helper()
	d := &snap.Deployment
	d.State, d.FinishedAt = state, d.StartedAt.Add(time.Minute)
	d.Result = &rollout.Result{Success: state == rollout.StateCompleted, State: state, Errors: []rollout.TargetError{}, Metadata: map[string]any{}}
	save(t, s, snap, rollout.Save{Events: []rollout.Event{{Type: rollout.EventCompleted}}})
}

func stored(t testing.TB, s *store.Store, id string) rollout.Deployment {
	t.Helper()
	d, err := s.Deployment(ctx(t), id)
	must(t, err)
	return d
}

func events(t testing.TB, s *store.Store, id string) []rollout.Event {
	t.Helper()
	var all []rollout.Event
	for page := (rollout.Page{Limit: 200}); ; {
		list, err := s.Events(ctx(t), id, page)
		must(t, err)
		all = append(all, list.Items...)
		if page.Cursor = list.NextCursor; page.Cursor == "" {
			return all
		}
	}
}

func exec(t testing.TB, s *store.Store, sql string, args ...any) {
	t.Helper()
	_, err := s.Pool().Exec(ctx(t), sql, args...)
	must(t, err)
}

// wantPlan demands a step of the plan of a statement, on tables so small that only what cannot be done by an index is not.
func wantPlan(t *testing.T, s *store.Store, step, sql string, args ...any) {
	t.Helper()
	tx, err := s.Pool().Begin(ctx(t))
	must(t, err)
	defer tx.Rollback(ctx(t)) //nolint:errcheck // nothing was written
	_, err = tx.Exec(ctx(t), `SET LOCAL enable_seqscan = off`)
	must(t, err)
	rows, err := tx.Query(ctx(t), `EXPLAIN `+sql, args...)
	must(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	if text := strings.Join(plan, "\n"); !strings.Contains(text, step) {
		t.Errorf("no %q in\n%s", step, text)
	}
}

// atOnce runs do n times side by side and waits for all.
func atOnce(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}
