package api_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"rollcall/internal/api"
	"rollcall/internal/rollout"
)

// timed is a store that notes how long each creation may take.
type timed struct {
	api.Store
	given map[string]time.Duration
}

func (s timed) note(ctx context.Context, what string) {
	if deadline, bounded := ctx.Deadline(); bounded {
		s.given[what] = time.Until(deadline)
	}
}

func (s timed) Create(ctx context.Context, n rollout.NewDeployment) (rollout.Created, error) {
	s.note(ctx, "create")
	return s.Store.Create(ctx, n)
}

func (s timed) CreateRollback(
	ctx context.Context, id string, build func(*rollout.Snapshot) (rollout.NewDeployment, error),
) (rollout.Created, error) {
	s.note(ctx, "rollback")
	return s.Store.CreateRollback(ctx, id, build)
}

func (s timed) CreateRetry(
	ctx context.Context, id string, build func(*rollout.Snapshot) (rollout.NewDeployment, error),
) (rollout.Created, error) {
	s.note(ctx, "retry")
	return s.Store.CreateRetry(ctx, id, build)
}

// TestACreationWithoutItsDatabaseIsToldAsSoonAsAQuestionUnlessItIsLarge looks at the time that each kind of creation is
// given: a database that goes away in the middle answers nothing, and the caller is told when that is over.
func TestACreationWithoutItsDatabaseIsToldAsSoonAsAQuestionUnlessItIsLarge(t *testing.T) {
	t.Parallel()
	const question, targets = time.Minute, 200
	s := newStage(t)
	store := timed{s.store, map[string]time.Duration{}}
	c := serve(t, api.Config{Store: store, StoreTimeout: question})
	id := s.ended("checkout", "v2", targets, rollout.StateFailed, lastFails)
	c.do(http.MethodPost, "/deployments/"+id+"/retry", "").want(t, http.StatusAccepted)
	id = s.ended("shop", "v2", targets, rollout.StateFailed, lastFails)
	c.do(http.MethodPost, "/deployments/"+id+"/rollback", "").want(t, http.StatusAccepted)
	c.post(s.request("other", "v2", targets)).want(t, http.StatusAccepted)
	for _, what := range []string{"create", "retry", "rollback"} {
		const most = question + targets*time.Millisecond
		if given := store.given[what]; given > most || given <= question-question/4 {
			t.Errorf("%s is given %s, want about %s", what, given, most)
		}
	}
}
