package api

import (
	"context"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/rollout"
)

// ListDeployments lists deployments, newest first.
func (s *server) ListDeployments(
	ctx context.Context, in gen.ListDeploymentsRequestObject,
) (gen.ListDeploymentsResponseObject, error) {
	p := in.Params
	filter := rollout.Filter{
		Service: or(p.Service, ""), Environment: or(p.Environment, ""), Version: or(p.Version, ""),
		State: rollout.State(or(p.State, "")), Since: or(p.Since, time.Time{}), Until: or(p.Until, time.Time{}),
	}
	list, err := s.store.Deployments(ctx, asker(ctx).Scopes, filter, page(p.Limit, p.Cursor))
	if err != nil {
		return nil, err
	}
	items, err := s.allShown(ctx, list.Items)
	if err != nil {
		return nil, err
	}
	return gen.ListDeployments200JSONResponse{Items: items, NextCursor: known(list.NextCursor)}, nil
}
