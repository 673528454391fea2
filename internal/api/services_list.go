package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/catalog"
	"rollcall/internal/rollout"
)

// ListServices lists services by environment.
func (s *server) ListServices(
	ctx context.Context, in gen.ListServicesRequestObject,
) (gen.ListServicesResponseObject, error) {
	list, err := s.store.Services(ctx, asker(ctx).Scopes, page(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListServices200JSONResponse{
		Items: encodeAll(list.Items, serviceJSON), NextCursor: known(list.NextCursor),
	}, nil
}

func serviceJSON(s *catalog.Service) gen.Service {
	return gen.Service{
		Service: s.Service, Environment: s.Environment, Defined: s.Defined, LastDeployment: lastJSON(s.Last),
	}
}

// lastJSON is null when there was no deployment.
func lastJSON(d *rollout.Deployment) *gen.LastDeployment {
	if d == nil {
		return nil
	}
	encoded := deploymentJSON(d)
	return &encoded
}
