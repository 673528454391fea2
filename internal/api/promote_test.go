package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/authz"
	"rollcall/internal/rollout"
)

// TestPromote_PlainOpensGateAtArrival holds the row while promotes arrive at the first gate, and lets the
// deployment reach the second one before any of them has its turn.
func TestPromote_PlainOpensGateAtArrival(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.atFirstGate("checkout")
	tx, watcher := begin(t, s.connect()), s.connect()
	const promotes = 3
	inHand(t, tx, `SELECT FROM deployments WHERE id = $1 FOR UPDATE`, id)
	var all sync.WaitGroup
	for range promotes {
		all.Go(func() {
			if got := s.sendCommand(id, "promote", ""); got.StatusCode != http.StatusOK {
				t.Errorf("promote answered %d %s", got.StatusCode, got.body)
			}
		})
	}
	awaitLocked(t, watcher, promotes)
	inHand(t, tx, atSecondGate, id)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if d, err := s.store.Deployment(t.Context(), id); err != nil || d.Operator.Promoted != 1 || d.State != rollout.StatePaused {
		t.Errorf("%v: %s, promoted past gate %d", err, d.State, d.Operator.Promoted)
	}
	if d := s.sendCommand(id, "promote", "").want(t, http.StatusOK).object(t); d["state"] != "in_progress" {
		t.Errorf("promoted at the second gate: %v", d["state"])
	}
}

// TestPromote_ConcurrentOpenSameGate keeps one that came at the first gate waiting, while the deployment
// reaches the second gate and another one comes. What keeps it is a lock of the table, because those who wait for that get it
// in the order in which they came; those who wait for a row that changes do not.
func TestPromote_ConcurrentOpenSameGate(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.atFirstGate("checkout")
	watcher := s.connect()
	reached, held := begin(t, s.connect()), begin(t, s.connect())
	inHand(t, reached, atSecondGate, id)
	var all sync.WaitGroup
	promote := func() {
		if got := s.sendCommand(id, "promote", ""); got.StatusCode != http.StatusOK {
			t.Errorf("promote answered %d %s", got.StatusCode, got.body)
		}
	}
	next := make(chan struct{})
	all.Go(func() {
		defer close(next)
		if _, err := held.Exec(t.Context(), `LOCK TABLE deployments IN EXCLUSIVE MODE`); err != nil {
			t.Error(err)
		}
	})
	awaitLocked(t, watcher, 1)
	all.Go(promote)
	awaitLocked(t, watcher, 2)
	if err := reached.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-next
	all.Go(promote)
	awaitLocked(t, watcher, 2)
	if err := held.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if d, err := s.store.Deployment(t.Context(), id); err != nil || d.Operator.Promoted != 1 || d.State != rollout.StatePaused {
		t.Errorf("%v: %s, promoted past gate %d", err, d.State, d.Operator.Promoted)
	}
	if d := s.sendCommand(id, "promote", "").want(t, http.StatusOK).object(t); d["state"] != "in_progress" {
		t.Errorf("promoted at the second gate when all had been answered: %v", d["state"])
	}
}

// atSecondGate is what the engine does to a deployment that was promoted at its first gate.
const atSecondGate = `UPDATE deployments SET progress = progress || '{"wave":2,"gate":2}', operator = operator || '{"promoted":1}' WHERE id = $1`

func begin(t *testing.T, conn *pgx.Conn) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestPromote_TakesEffectAtResponse(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.atFirstGate("checkout")
	if d := s.get("/deployments/"+id).want(t, http.StatusOK).object(t); d["state"] != "paused" || d["deadline_at"] != nil {
		t.Errorf("at the gate: %v", d)
	}
	d := s.sendCommand(id, "promote", "").want(t, http.StatusOK).object(t)
	if d["state"] != "in_progress" || d["deadline_at"] == nil || d["next_action_at"] == nil || d["reason"] != "promoted" {
		t.Errorf("promoted: %v", d)
	}
	s.sendCommand(id, "pause", "").want(t, http.StatusOK)
	if d := s.sendCommand(id, "resume", "").want(t, http.StatusOK).object(t); d["state"] != "in_progress" {
		t.Errorf("paused and resumed past an open gate: %v", d["state"])
	}
	held := s.atFirstGate("shop")
	s.sendCommand(held, "pause", "").want(t, http.StatusOK)
	if d := s.sendCommand(held, "promote", "").want(t, http.StatusOK).object(t); d["state"] != "paused" {
		t.Errorf("promoted while an operator holds it: %v", d["state"])
	}
}

// atFirstGate is a canary that waits at the first of its two gates.
func (s *stage) atFirstGate(service string) string {
	s.t.Helper()
	body := strings.Replace(s.request(service, "v2", 3), `"type":"rolling","batch_size":[1,2]`,
		`"type":"canary","stages":[{"percent":10,"promotion":"manual"},{"percent":60,"promotion":"manual"},100]`, 1)
	snap := s.claim(s.created(body))
	s.begin(snap, func(*rollout.Target) {})
	d := &snap.Deployment
	d.State, d.Progress.Gate, d.Progress.PausedAt, d.DeadlineAt = rollout.StatePaused, 1, time.Now(), time.Time{}
	s.save(snap, rollout.EventGateWaiting)
	return d.ID
}

func (s *stage) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil { // the test's own context has ended
			s.t.Error(err)
		}
	})
	return conn
}

// inHand runs a statement on one row within a transaction.
func inHand(t *testing.T, tx pgx.Tx, sql string, args ...any) {
	t.Helper()
	if tag, err := tx.Exec(t.Context(), sql, args...); err != nil || tag.RowsAffected() != 1 {
		t.Fatalf("%s: %s, %v", sql, tag, err)
	}
}

// awaitLocked returns when n statements wait for a lock.
func awaitLocked(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	const sql = `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'client backend' AND wait_event_type = 'Lock'`
	waiting := 0
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if err := conn.QueryRow(t.Context(), sql).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting >= n {
			return
		}
	}
	t.Fatalf("%d of %d wait for a lock", waiting, n)
}

func TestProtected_NeedsAnotherPromoter(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	operator.put(definition("protected", "true")).want(t, http.StatusCreated)
	ci := operator.holder("ci", authz.RoleDeployer, "*/*")
	ann, bob := operator.holder("ann", authz.RoleApprover, "*/*"), operator.holder("bob", authz.RoleApprover, "*/*")

	plan := ann.do(http.MethodPost, "/deployments?dry_run=true", shortRequest).want(t, http.StatusOK).object(t)
	made := ann.post(shortRequest).want(t, http.StatusAccepted).object(t)
	if plan["protected"] != true || made["protected"] != true || made["approved_by"] != nil ||
		!strings.Contains(fmt.Sprint(made["reason"]), "someone other") {
		t.Errorf("%v, %v", plan, made)
	}
	promote := fmt.Sprintf("/deployments/%s/promote", made["id"])
	ci.do(http.MethodPost, promote, "").want(t, http.StatusForbidden)
	ann.do(http.MethodPost, promote, "").wantProblem(t, http.StatusForbidden, noPointer)
	if d := bob.do(http.MethodPost, promote, "").want(t, http.StatusOK).object(t); d["approved_by"] != "token:bob" {
		t.Errorf("%v", d)
	}
	carol := operator.holder("carol", authz.RoleApprover, "*/*")
	if d := carol.do(http.MethodPost, promote, "").want(t, http.StatusOK).object(t); d["approved_by"] != "token:bob" {
		t.Errorf("approved twice: %v", d)
	}
}

// A deployment that carries targets of its own is a deployment of the service all the same.
func TestProtected_InlineTargetsAreCovered(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	operator.put(definition("protected", "true")).want(t, http.StatusCreated)
	if d := operator.post(deploymentOf("checkout", "production")).want(t, http.StatusAccepted).object(t); d["protected"] != true {
		t.Errorf("%v", d)
	}
	if d := operator.post(deploymentOf("checkout", "staging")).want(t, http.StatusAccepted).object(t); d["protected"] != false {
		t.Errorf("%v", d)
	}
}

func TestProtected_OnlyAdminChangesIt(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	bob := operator.holder("bob", authz.RoleApprover, "*/*")
	bob.put(definition("protected", "true")).wantProblem(t, http.StatusForbidden, noPointer)
	bob.put(defined).want(t, http.StatusCreated)
	bob.put(definition("protected", "true")).want(t, http.StatusForbidden)
	operator.put(definition("protected", "true")).want(t, http.StatusOK)
	bob.put(defined).want(t, http.StatusForbidden)
	bob.do(http.MethodDelete, definitionAt, "").want(t, http.StatusForbidden)
	if d := operator.get(definitionAt).object(t); d["protected"] != true || d["revision"] != 2.0 {
		t.Errorf("%v", d)
	}
	operator.put(defined).want(t, http.StatusOK)
	bob.do(http.MethodDelete, definitionAt, "").want(t, http.StatusNoContent)
}

func TestProtected_RetryFollowsCurrentDefinition(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, protected := range []bool{true, false} {
		id := s.ended("checkout", "v2", 3, rollout.StateFailed, lastFails)
		s.do(http.MethodPut, definitionAt, strings.Replace(defined, "{", map[bool]string{true: `{"protected":true,`, false: "{"}[protected], 1))
		if d := s.sendCommand(id, "retry", "").want(t, http.StatusAccepted).object(t); d["protected"] != protected {
			t.Errorf("protected %t: %v", protected, d)
		} else {
			s.sendCommand(fmt.Sprint(d["id"]), "abort", "").want(t, http.StatusOK)
		}
	}
}
