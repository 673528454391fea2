package api_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"rollcall/internal/api"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// timed is a store that notes when each creation must have ended.
type timed struct {
	api.Store
	ends map[string]time.Time
}

func (s timed) note(ctx context.Context, what string) {
	s.ends[what], _ = ctx.Deadline()
}

func (s timed) CreateDeployment(ctx context.Context, n storage.NewDeployment) (storage.Created, error) {
	s.note(ctx, "create")
	return s.Store.CreateDeployment(ctx, n)
}

func (s timed) CreateRollback(
	ctx context.Context, id string, build func(*rollout.Snapshot) (storage.NewDeployment, error),
) (storage.Created, error) {
	s.note(ctx, "rollback")
	return s.Store.CreateRollback(ctx, id, build)
}

func (s timed) CreateRetry(
	ctx context.Context, id string, build func(*rollout.Snapshot) (storage.NewDeployment, error),
) (storage.Created, error) {
	s.note(ctx, "retry")
	return s.Store.CreateRetry(ctx, id, build)
}

// TestQueryBudget_CreateGetsMoreOnlyIfLarge looks at the time that each kind of creation is
// given: a database that goes away in the middle answers nothing, and the caller gets a response when that is over.
func TestQueryBudget_CreateGetsMoreOnlyIfLarge(t *testing.T) {
	t.Parallel()
	const question, targets = time.Minute, 200
	s := newStage(t)
	store := timed{s.store, map[string]time.Time{}}
	c := serve(t, api.Config{Store: store, StoreTimeout: question})
	const limit = question + targets*time.Millisecond
	failed := s.ended("checkout", "v2", targets, rollout.StateFailed, lastFails)
	other := s.ended("shop", "v2", targets, rollout.StateFailed, lastFails)
	for what, ask := range map[string]func() answer{
		"create":   func() answer { return c.post(s.request("new", "v2", targets)) },
		"retry":    func() answer { return c.do(http.MethodPost, "/deployments/"+failed+"/retry", "") },
		"rollback": func() answer { return c.do(http.MethodPost, "/deployments/"+other+"/rollback", "") },
	} {
		before := time.Now()
		ask().want(t, http.StatusAccepted)
		if ends := store.ends[what]; ends.Before(before.Add(limit)) || ends.After(time.Now().Add(limit)) {
			t.Errorf("%s must have ended %s after it was asked for, want %s", what, ends.Sub(before), limit)
		}
	}
}

// TestQueryBudget_IsSharedByRequestQueries keeps a request with several queries from getting its response only after as many
// limits that the database is away.
func TestQueryBudget_IsSharedByRequestQueries(t *testing.T) {
	t.Parallel()
	const limit = time.Minute
	s := newStage(t)
	store := &hurried{Store: s.store}
	c := serve(t, api.Config{Store: store, StoreTimeout: limit})
	c.post(s.request("checkout", "v2", 1), "Idempotency-Key", "k").want(t, http.StatusAccepted)
	if most := limit + time.Millisecond - store.took; store.took == 0 || store.given > most {
		t.Errorf("after a question of %s the creation was given %s, want at most %s", store.took, store.given, most)
	}
}

// hurried is a store that notes how long the look for a key took, and how long the creation after that may take.
type hurried struct {
	api.Store
	took, given time.Duration
}

func (s *hurried) CreatedUnderKey(ctx context.Context, key storage.IdempotencyKey) (storage.Created, bool, error) {
	defer func(began time.Time) { s.took = time.Since(began) }(time.Now())
	return s.Store.CreatedUnderKey(ctx, key)
}

func (s *hurried) CreateDeployment(ctx context.Context, n storage.NewDeployment) (storage.Created, error) {
	deadline, _ := ctx.Deadline()
	s.given = time.Until(deadline)
	return s.Store.CreateDeployment(ctx, n)
}
