package api_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"rollcall"
	"rollcall/internal/api"
	"rollcall/internal/auth"
	"rollcall/internal/authz"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

func TestKey_RepeatGetsSameResponse(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	body := with("labels", `{"a":"b"}`)
	first := c.post(body, "Idempotency-Key", "k").want(t, http.StatusAccepted)
	c.created(with("version", `"v3"`)) // supersedes the first
	again := c.post(body, "Idempotency-Key", "k").want(t, http.StatusAccepted)
	if !bytes.Equal(first.body, again.body) || first.Header.Get("Location") != again.Header.Get("Location") {
		t.Errorf("first %s\nagain %s", first.body, again.body)
	}
	if first.Header.Get("Idempotency-Replayed") != "" || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("replayed: %q, then %q", first.Header.Get("Idempotency-Replayed"), again.Header.Get("Idempotency-Replayed"))
	}
	c.post(body+" ", "Idempotency-Key", "k").wantProblem(t, http.StatusUnprocessableEntity, noPointer)
	if ids, _ := c.items("/deployments", "id"); len(ids) != 2 {
		t.Errorf("%d deployments, want 2", len(ids))
	}
}

func TestKey_WithoutOneRequestsAreDistinct(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	if first, second := c.created(with("force", "true")), c.created(with("force", "true")); first == second {
		t.Error("the same deployment twice")
	}
}

func TestKey_ConcurrentRequestsCreateOneDeployment(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	const callers = 32
	answers := make([]answer, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { answers[i] = c.post(with("force", "true"), "Idempotency-Key", "k") })
	}
	all.Wait()
	fresh := 0
	for _, a := range answers {
		a.want(t, http.StatusAccepted)
		if !bytes.Equal(a.body, answers[0].body) {
			t.Errorf("%s\nis not\n%s", a.body, answers[0].body)
		}
		if a.Header.Get("Idempotency-Replayed") == "" {
			fresh++
		}
	}
	if ids, _ := c.items("/deployments", "id"); len(ids) != 1 || fresh != 1 {
		t.Errorf("%d deployments, %d fresh answers", len(ids), fresh)
	}
}

func TestReject_NamesBlockingDeployment(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	first := c.created(with("force", "true"))
	a := c.post(with("on_conflict", `"reject"`))
	a.wantProblem(t, http.StatusConflict, noPointer)
	if got := a.object(t)["deployment_id"]; got != first {
		t.Errorf("names %v, want %s", got, first)
	}
}

func TestCreate_WaitForHangingOneEndsSoon(t *testing.T) {
	t.Parallel()
	_, db := serveStored(t)
	c := serve(t, api.Config{Store: db, CheckAddress: forbid, StoreTimeout: 1500 * time.Millisecond})
	hanging, err := db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hanging.Rollback(t.Context()) }()
	if _, err := hanging.Exec(t.Context(), `SELECT pg_advisory_xact_lock(hashtextextended('checkout/production', 0))`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	refused := c.post(with("force", "true"), "Idempotency-Key", "k")
	refused.wantProblem(t, http.StatusServiceUnavailable, noPointer)
	if took := time.Since(began); took > 6*time.Second || refused.Header.Get("Retry-After") == "" {
		t.Errorf("it took %s, Retry-After %q", took, refused.Header.Get("Retry-After"))
	}
	if err := hanging.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.post(with("force", "true"), "Idempotency-Key", "k").want(t, http.StatusAccepted)
}

const keyHeader = "Idempotency-Key"

// assertReplayed fails the test unless again is the first answer, marked as repeated.
func assertReplayed(t *testing.T, first, again answer) {
	t.Helper()
	if first.Header.Get("Idempotency-Replayed") != "" || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("replayed: %q, then %q", first.Header.Get("Idempotency-Replayed"), again.Header.Get("Idempotency-Replayed"))
	}
	if first.StatusCode != again.StatusCode || !bytes.Equal(first.body, again.body) {
		t.Errorf("%d %s\nagain %d %s", first.StatusCode, first.body, again.StatusCode, again.body)
	}
	for _, name := range []string{"Location", "ETag", "Content-Type"} {
		if first.Header.Get(name) != again.Header.Get(name) {
			t.Errorf("%s is %q, again %q", name, first.Header.Get(name), again.Header.Get(name))
		}
	}
}

// TestKey_CommandIsCarriedOutOnce repeats each command after another one has changed what it would do.
func TestKey_CommandIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, test := range []struct{ name, state, path, body, then string }{
		{"pause", "in_progress", "pause", "", "resume"},
		{"resume", "paused", "resume", `{"reason":"go"}`, "pause"},
		{"promote", "gate", "promote", "", "pause"},
		{"promote-full", "gate", "promote", `{"full":true}`, "pause"},
		{"abort", "in_progress", "abort", `{"reason":"enough"}`, "pause"},
		{"rollback", "in_progress", "rollback", "", "pause"},
		{"rollback-ended", "completed", "rollback", `{"reason":"bad"}`, ""},
		{"retry", "failed", "retry", "", ""},
	} {
		id := standings()[test.state](s, test.name)
		first := s.sendCommand(id, test.path, test.body, keyHeader, test.name)
		if first.StatusCode/100 != 2 {
			t.Fatalf("%s: %d %s", test.name, first.StatusCode, first.body)
		}
		if test.then != "" {
			s.sendCommand(id, test.then, "").want(t, http.StatusOK)
		}
		before, events := s.get("/deployments/"+id).want(t, http.StatusOK), s.eventTypes(id, 0)
		made, _ := s.items("/deployments?service="+test.name, "id")
		assertReplayed(t, first, s.sendCommand(id, test.path, test.body, keyHeader, test.name))
		after := s.get("/deployments/"+id).want(t, http.StatusOK)
		if now, _ := s.items("/deployments?service="+test.name, "id"); !bytes.Equal(before.body, after.body) || len(s.eventTypes(id, 0)) != len(events) || len(now) != len(made) {
			t.Errorf("%s was carried out again: %s\nthen %s", test.name, before.body, after.body)
		}
	}
}

func TestKey_RollbackIsNotRolledBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.ended("checkout", "v2", 3, rollout.StateCompleted, updated)
	const path = "/services/checkout/environments/production/rollback"
	first := s.do(http.MethodPost, path, "", keyHeader, "undo-1").want(t, http.StatusAccepted)
	snap := s.claim(fmt.Sprint(first.object(t)["id"]))
	s.begin(snap, func(target *rollout.Target) { arrived(target, "v2") })
	s.end(snap, rollout.StateRolledBack)

	assertReplayed(t, first, s.do(http.MethodPost, path, "", keyHeader, "undo-1"))
	if ids, _ := s.items("/deployments", "id"); len(ids) != 2 {
		t.Errorf("%d deployments, want 2", len(ids))
	}
}

func TestKey_PromoteOpensOneOfTwoGates(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	body := strings.Replace(s.request("checkout", "v2", 3), `"type":"rolling","batch_size":[1,2]`,
		`"type":"canary","stages":[{"percent":10,"promotion":"manual"},{"percent":50,"promotion":"manual"},100]`, 1)
	snap := s.claim(s.created(body))
	s.begin(snap, updated)
	id := snap.Deployment.ID
	atGate := func(gate int) {
		snap.Deployment.State, snap.Deployment.Progress.Gate = rollout.StatePaused, gate
		s.save(snap, rollout.EventGateWaiting)
	}
	atGate(1)
	first := s.sendCommand(id, "promote", "", keyHeader, "k").want(t, http.StatusOK)
	d, err := s.store.Deployment(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	snap.Deployment = d
	atGate(2)
	assertReplayed(t, first, s.sendCommand(id, "promote", "", keyHeader, "k"))
	if d := s.get("/deployments/" + id).object(t); d["state"] != "paused" {
		t.Errorf("the second gate was opened: %v", d)
	}
}

func TestKey_BelongsToOneRequestOfOneCaller(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := standings()["in_progress"](s, "checkout")
	s.sendCommand(id, "pause", `{"reason":"a"}`, keyHeader, "k").want(t, http.StatusOK)
	for _, other := range []answer{
		s.sendCommand(id, "pause", `{"reason":"b"}`, keyHeader, "k"),
		s.sendCommand(id, "resume", `{"reason":"a"}`, keyHeader, "k"),
		s.post(s.request("store", "v1", 1), keyHeader, "k"),
		s.do(http.MethodDelete, "/services/checkout/environments/production", "", keyHeader, "k"),
	} {
		other.wantProblem(t, http.StatusUnprocessableEntity, noPointer)
	}
	s.post(s.request("store", "v1", 1), keyHeader, "c").want(t, http.StatusAccepted)
	s.sendCommand(id, "resume", "", keyHeader, "c").wantProblem(t, http.StatusUnprocessableEntity, noPointer)

	bob := serve(t, api.Config{Store: s.store, Who: named("bob")})
	if a := bob.do(http.MethodPost, "/deployments/"+id+"/resume", "", keyHeader, "k").want(t, http.StatusOK); a.Header.Get("Idempotency-Replayed") != "" {
		t.Error("another caller's key is taken for this one's")
	}
}

// named lets all in under a name.
type named string

func (n named) Authenticate(*http.Request) (authz.Principal, error) {
	return authz.Principal{Name: string(n), Role: authz.RoleAdmin, Scopes: authz.Everywhere()}, nil
}

func (named) IssueToken(context.Context, authz.Token, time.Duration) (authz.Token, secret.Secret, error) {
	return authz.Token{}, "", nil
}

func TestKey_StaysFreeWhenTheRequestIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := standings()["in_progress"](s, "checkout")
	s.sendCommand(id, "resume", "", "If-Match", `"999"`, keyHeader, "k").wantProblem(t, http.StatusPreconditionFailed, noPointer)
	s.sendCommand(id, "retry", "", keyHeader, "k").wantProblem(t, http.StatusConflict, noPointer)
	if a := s.sendCommand(id, "pause", "", keyHeader, "k").want(t, http.StatusOK); a.Header.Get("Idempotency-Replayed") != "" {
		t.Error("a refusal is repeated")
	}
}

func TestKey_ManyAtOnceOnTwoReplicasAreOneRequest(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.ended("checkout", "v2", 3, rollout.StateCompleted, updated)
	replicas := []*client{s.client, s.replica()}
	answers := make([]answer, 16)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = replicas[i%2].do(http.MethodPost, "/services/checkout/environments/production/rollback", "", keyHeader, "k")
		})
	}
	all.Wait()
	fresh := 0
	for _, a := range answers {
		if a.want(t, http.StatusAccepted); !bytes.Equal(a.body, answers[0].body) {
			t.Errorf("%s\nis not\n%s", a.body, answers[0].body)
		}
		if a.Header.Get("Idempotency-Replayed") == "" {
			fresh++
		}
	}
	if ids, _ := s.items("/deployments", "id"); len(ids) != 2 || fresh != 1 {
		t.Errorf("%d deployments, %d fresh answers", len(ids), fresh)
	}
}

// TestKey_RepeatedChangeIsTheSame covers what would be 404, 412 or another status the second time.
func TestKey_RepeatedChangeIsTheSame(t *testing.T) {
	t.Parallel()
	c, s := serveSources(t, api.Remotes{AllowFile: true}, withKey(t))
	const definition = "/services/checkout/environments/production"
	const hook = `{"kind":"webhook","url":"https://hooks.example.com/"}`
	for i, r := range []struct {
		method, path, body string
		status             int
		headers            []string
	}{
		{http.MethodPut, definition, `{"targets":[{"id":"a","address":"http://10.0.0.1"}]}`, http.StatusCreated, []string{"If-None-Match", "*"}},
		{http.MethodDelete, definition, "", http.StatusNoContent, nil},
		{http.MethodPut, aSource, `{"url":"https://git.example/a.git"}`, http.StatusCreated, nil},
		{http.MethodPost, aSource + "/sync", `{"retry":true}`, http.StatusAccepted, nil},
		{http.MethodDelete, aSource, "", http.StatusNoContent, nil},
		{http.MethodPut, aNotification, hook, http.StatusCreated, nil},
		{http.MethodPost, aNotification + "/test", "", http.StatusAccepted, nil},
		{http.MethodDelete, aNotification, "", http.StatusNoContent, nil},
	} {
		headers := append(r.headers, keyHeader, fmt.Sprint("k", i))
		first := c.do(r.method, r.path, r.body, headers...).want(t, r.status)
		before := askedFor(t, s)
		assertReplayed(t, first, c.do(r.method, r.path, r.body, headers...))
		if after := askedFor(t, s); after != before {
			t.Errorf("%s %s again: %d syncs and deliveries instead of %d", r.method, r.path, after, before)
		}
	}
}

// askedFor counts what was asked for and is still to be done: syncs and deliveries.
func askedFor(t *testing.T, s *store.Store) (n int) {
	t.Helper()
	if err := s.Pool().QueryRow(t.Context(), `SELECT (SELECT count(*) FROM gitops_asks) + (SELECT count(*) FROM notification_deliveries)`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestKey_TokenIsGivenOutOnceAndKeptSealed(t *testing.T) {
	t.Parallel()
	c, s := serveGuarded(t)
	const body = `{"name":"ci","role":"deployer","scopes":[{}]}`
	first := c.do(http.MethodPost, "/tokens", body, keyHeader, "k").want(t, http.StatusCreated)
	assertReplayed(t, first, c.do(http.MethodPost, "/tokens", body, keyHeader, "k"))
	var kept string
	if err := s.Pool().QueryRow(t.Context(), `SELECT row_to_json(k)::text || encode(coalesce(body, '') || sealed_body, 'escape')
		FROM idempotency_keys k`).Scan(&kept); err != nil || strings.Contains(kept, fmt.Sprint(first.object(t)["token"])) {
		t.Errorf("the token is kept in the clear: %s, %v", kept, err)
	}
}

func TestKey_TokenIsGivenOutOnceWithoutASecretKey(t *testing.T) {
	t.Parallel()
	_, s := serveSources(t, api.Remotes{})
	c := serve(t, api.Config{Store: s, Who: auth.New(auth.Config{Store: s, Admin: operatorsToken})}).as(operatorsToken)
	const body = `{"name":"ci","role":"deployer","scopes":[{}]}`
	first := c.do(http.MethodPost, "/tokens", body, keyHeader, "k").want(t, http.StatusCreated)
	again := c.do(http.MethodPost, "/tokens", body, keyHeader, "k")
	again.wantProblem(t, http.StatusConflict, noPointer)
	if !strings.Contains(string(again.body), first.Header.Get("Location")) {
		t.Errorf("which token it is about is not said: %s", again.body)
	}
	tokens, err := s.Tokens(t.Context(), storage.Page{Limit: 9})
	if err != nil || len(tokens.Items) != 1 {
		t.Errorf("%d tokens: %v", len(tokens.Items), err)
	}
}

// TestKey_EveryChangeTakesOne: what an operation of openapi.yaml may do twice takes a key, and refuses one that is none.
func TestKey_EveryChangeTakesOne(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	doc, err := openapi3.NewLoader().LoadFromData(rollcall.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	without := map[string]bool{"receivePush": true, "probeOnce": true} // signed by its sender; changes nothing
	id := standings()["in_progress"](s, "checkout")
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if method == http.MethodGet || without[operation.OperationID] {
				continue
			}
			if operation.Parameters.GetByInAndName(openapi3.ParameterInHeader, keyHeader) == nil {
				t.Errorf("%s takes no key", operation.OperationID)
			}
			at := strings.NewReplacer("{id}", id, "{service}", "checkout", "{environment}", "production", "{name}", "main").Replace(path)
			for _, headers := range [][]string{{keyHeader, ""}, {keyHeader, strings.Repeat("k", 256)}, {keyHeader, "a", keyHeader, "b"}} {
				body := ""
				if operation.RequestBody != nil && operation.RequestBody.Value.Required {
					body = s.request("checkout", "v2", 1)
				}
				if a := s.do(method, at, body, headers...); a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusUnprocessableEntity {
					t.Errorf("%s with %q: %d %s", operation.OperationID, headers[1], a.StatusCode, a.body)
				}
			}
		}
	}
	for _, headers := range [][]string{{keyHeader, ""}, {keyHeader, strings.Repeat("k", 256)}, {keyHeader, "a", keyHeader, "b"}} {
		s.sendCommand(id, "pause", "", headers...).wantProblem(t, http.StatusBadRequest, noPointer)
	}
	if d := s.get("/deployments/" + id).object(t); d["state"] != "in_progress" {
		t.Errorf("a request with a key that is none was carried out: %v", d["state"])
	}
}
