// Package teststore gives the tests of the store's packages a store, and short ways to use it.
package teststore

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
	"rollcall/internal/keyring"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Lease is the lease of the replicas of ClaimOne and ClaimAll.
const Lease = time.Minute

// Open returns a store on a database of its own.
func Open(t testing.TB) *store.Store {
	t.Helper()
	return OpenAt(t, dbtest.New(t))
}

// OpenAt returns a store on that database.
func OpenAt(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.SealedBy(dbtest.NewKeyring(t)))
	Must(t, err)
	t.Cleanup(s.Close)
	return s
}

// Must ends the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// WantCode demands an error with that code.
func WantCode(t testing.TB, err error, code problem.Code) {
	t.Helper()
	if problem.CodeOf(err) != code {
		t.Fatalf("got error %v (code %q), want code %q", err, problem.CodeOf(err), code)
	}
}

// Context returns a context that ends with the test, or after a minute.
func Context(t testing.TB) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return c
}

// NewRequest returns a deployment of a service to n targets.
func NewRequest(service string, n int) storage.NewDeployment { return storetest.NewRequest(service, n) }

// NewKey returns an idempotency key for a request with that body.
func NewKey(value, body string) storage.IdempotencyKey {
	return storage.IdempotencyKey{Caller: "ci", Value: value, Hash: sha256.Sum256([]byte(body))}
}

// CreateDeployment stores a deployment.
func CreateDeployment(t testing.TB, s *store.Store, r storage.NewDeployment) rollout.Deployment {
	t.Helper()
	created, err := s.CreateDeployment(Context(t), r)
	Must(t, err)
	return created.Deployment
}

// ClaimOne makes a living replica the owner of the one deployment that can be claimed.
func ClaimOne(t testing.TB, s *store.Store, replica string) *rollout.Snapshot {
	t.Helper()
	c := ClaimAll(t, s, replica)
	if len(c) != 1 {
		t.Fatalf("%s claimed %d deployments, want 1", replica, len(c))
	}
	return &c[0].Snapshot
}

// ClaimAll makes a living replica the owner of every deployment that can be claimed.
func ClaimAll(t testing.TB, s *store.Store, replica string) []storage.Claimed {
	t.Helper()
	_, err := s.Heartbeat(Context(t), replica, Lease)
	Must(t, err)
	c, _, err := s.ClaimDeployments(Context(t), replica, nil, 100)
	Must(t, err)
	return c
}

// StartDeployment creates a deployment that a replica claims and begins.
func StartDeployment(t testing.TB, s *store.Store, service, replica string) *rollout.Snapshot {
	t.Helper()
	CreateDeployment(t, s, NewRequest(service, 3))
	snap := ClaimOne(t, s, replica)
	d := &snap.Deployment
	d.State, d.StartedAt, d.Reason = rollout.StateInProgress, d.CreatedAt.Add(time.Second), "wave 1 of 1"
	SaveStep(t, s, snap, storage.SaveRequest{Events: []rollout.Event{{Type: rollout.EventStarted, Actor: rollout.ActorEngine}}})
	return snap
}

// SaveStep writes the snapshot's deployment with the rest of sv, and follows the counters.
func SaveStep(t testing.TB, s *store.Store, snap *rollout.Snapshot, sv storage.SaveRequest) storage.SaveResult {
	t.Helper()
	sv.Deployment, sv.Events = snap.Deployment, storetest.WithTimes(sv.Events...)
	saved, err := s.SaveDeployment(Context(t), sv)
	Must(t, err)
	d := &snap.Deployment
	d.Revision, d.LastSeq, d.EventsHash, d.Saves = saved.Revision, saved.LastSeq, saved.EventsHash, saved.Saves
	return saved
}

// FinishDeployment ends a deployment in that state.
func FinishDeployment(t testing.TB, s *store.Store, snap *rollout.Snapshot, state rollout.State) {
	t.Helper()
	d := &snap.Deployment
	d.State, d.FinishedAt = state, d.StartedAt.Add(time.Minute)
	d.Result = &rollout.Result{Success: state == rollout.StateCompleted, State: state, Errors: []rollout.TargetError{}, Metadata: map[string]any{}}
	SaveStep(t, s, snap, storage.SaveRequest{Events: []rollout.Event{{Type: rollout.EventCompleted}}})
}

// ReadDeployment reads a deployment.
func ReadDeployment(t testing.TB, s *store.Store, id string) rollout.Deployment {
	t.Helper()
	d, err := s.Deployment(Context(t), id)
	Must(t, err)
	return d
}

// ReadEvents reads all events of a deployment.
func ReadEvents(t testing.TB, s *store.Store, id string) []rollout.Event {
	t.Helper()
	var all []rollout.Event
	for page := (storage.Page{Limit: 200}); ; {
		list, err := s.Events(Context(t), id, page)
		Must(t, err)
		all = append(all, list.Items...)
		if page.Cursor = list.NextCursor; page.Cursor == "" {
			return all
		}
	}
}

// Exec runs a statement.
func Exec(t testing.TB, s *store.Store, sql string, args ...any) {
	t.Helper()
	_, err := s.Pool().Exec(Context(t), sql, args...)
	Must(t, err)
}

// WantPlan demands a step of the plan of a statement, on tables so small that only what cannot be done by an index is not.
func WantPlan(t *testing.T, s *store.Store, step, sql string, args ...any) {
	t.Helper()
	tx, err := s.Pool().Begin(Context(t))
	Must(t, err)
	defer tx.Rollback(Context(t)) //nolint:errcheck // nothing was written
	_, err = tx.Exec(Context(t), `SET LOCAL enable_seqscan = off`)
	Must(t, err)
	rows, err := tx.Query(Context(t), `EXPLAIN `+sql, args...)
	Must(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	Must(t, err)
	if text := strings.Join(plan, "\n"); !strings.Contains(text, step) {
		t.Errorf("no %q in\n%s", step, text)
	}
}

// InParallel runs do n times side by side and waits for all.
func InParallel(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

// BeginTx starts a transaction that is undone at the end of the test.
func BeginTx(t testing.TB, s *store.Store) pgx.Tx {
	t.Helper()
	tx, err := s.Pool().Begin(Context(t))
	Must(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

// AwaitCondition waits until a condition in SQL is true; it fails when done has a value before.
func AwaitCondition(t *testing.T, watcher *store.Store, done <-chan error, sql string, args ...any) {
	t.Helper()
	for is := false; !is; {
		select {
		case err := <-done:
			t.Fatalf("it ended: %v", err)
		default:
			Must(t, watcher.Pool().QueryRow(Context(t), sql, args...).Scan(&is))
		}
	}
}

// Secrets that SecretRows and WantNoSecret look for.
const (
	PlantedDeploy = "whsec_cGxhbnRlZGRlcGxveXNlY3JldA=="
	PlantedHeader = "Bearer planted-header"
	PlantedKey    = "planted-client-key"
)

// SecretRows returns all rows of the tables that may hold secrets, as text, what is sealed included.
func SecretRows(t *testing.T, s *store.Store) string {
	t.Helper()
	var all string
	Must(t, s.Pool().QueryRow(Context(t), `SELECT concat(
		(SELECT string_agg(row_to_json(d)::text || coalesce(encode(d.secrets, 'escape'), ''), ' ') FROM deployments d),
		(SELECT string_agg(row_to_json(d)::text || coalesce(encode(d.secrets, 'escape'), ''), ' ') FROM definitions d),
		(SELECT string_agg(row_to_json(k)::text, ' ') FROM idempotency_keys k),
		(SELECT string_agg(row_to_json(e)::text, ' ') FROM deployment_events e))`).Scan(&all))
	return all
}

// WantNoSecret demands that no planted secret is in a text.
func WantNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, planted := range []string{PlantedDeploy[6:], "planted-"} {
		if strings.Contains(text, planted) {
			t.Errorf("%q can be read in %s", planted, text)
		}
	}
}

// WithKeys returns a store that seals with the first key, and opens with all.
func WithKeys(t *testing.T, url string, keys ...keyring.Key) *store.Store {
	t.Helper()
	box, err := keyring.New(keys[0], keys[1:]...)
	Must(t, err)
	s, err := store.Open(t.Context(), url, store.SealedBy(box))
	Must(t, err)
	t.Cleanup(s.Close)
	return s
}
