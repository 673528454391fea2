package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
)

// RetryDeployment makes a new deployment for what a finished one left undone.
func (s *server) RetryDeployment(
	ctx context.Context, in gen.RetryDeploymentRequestObject,
) (gen.RetryDeploymentResponseObject, error) {
	demand, err := readIfMatch(in.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	d, err := s.store.Deployment(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := demand.met(&d); err != nil { // a finished one's revision never changes
		return nil, err
	}
	defined, err := s.definition(ctx, d.Service, d.Environment)
	if err != nil {
		return nil, err
	}
	again := func(ended *rollout.Snapshot) (rollout.NewDeployment, error) {
		now := *ended
		now.Deployment.Spec.Protected = defined != nil && defined.protected // as it is now, and not as it was
		return strategy.Retry(&now)
	}
	made, err := s.store.CreateRetry(ctx, &d, s.follower(ctx, again, why(in.Body), defined))
	if err != nil {
		return nil, err
	}
	answer, err := s.followed(ctx, &made.Deployment)
	return gen.RetryDeployment202JSONResponse{FollowedJSONResponse: answer}, err
}
