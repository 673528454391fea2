package api

import (
	"context"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// RouterLooker looks at a deployment's router without writing to it; nil when there is nothing to show.
type RouterLooker interface {
	Preview(ctx context.Context, d *rollout.Deployment, targets []rollout.Target) *routing.Preview
}

// routerPatience bounds the look at a router for a dry run.
const routerPatience = 3 * time.Second

func (s *server) plannedRouter(ctx context.Context, n *rollout.NewDeployment) *gen.PlannedRouter {
	if s.router == nil || n.Deployment.Spec.Traffic == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, routerPatience)
	defer cancel()
	found := s.router.Preview(ctx, &n.Deployment, n.Targets)
	if found == nil {
		return nil
	}
	return &gen.PlannedRouter{
		TakeOut: known(found.TakeOut), Why: known(found.Why), Refused: known(found.Refused), Error: known(found.Error),
	}
}
