package api_test

import (
	"bytes"
	"net/http"
	"sync"
	"testing"
	"time"

	"rollcall/internal/api"
)

func TestARepeatedRequestGetsTheSameAnswer(t *testing.T) {
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

func TestWithoutAKeyEveryRequestIsANewOne(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	if first, second := c.created(with("force", "true")), c.created(with("force", "true")); first == second {
		t.Error("the same deployment twice")
	}
}

func TestManyRequestsUnderOneKeyMakeOneDeployment(t *testing.T) {
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

func TestRejectNamesTheDeploymentInTheWay(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	first := c.created(with("force", "true"))
	a := c.post(with("on_conflict", `"reject"`))
	a.wantProblem(t, http.StatusConflict, noPointer)
	if got := a.object(t)["deployment_id"]; got != first {
		t.Errorf("names %v, want %s", got, first)
	}
}

func TestACreationThatWaitsForAnotherThatHangsIsToldSoon(t *testing.T) {
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
