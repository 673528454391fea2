package api

import (
	"context"

	"rollcall/internal/api/gen"
)

// ListTargets lists what became of each target of a deployment.
func (s *server) ListTargets(
	ctx context.Context, in gen.ListTargetsRequestObject,
) (gen.ListTargetsResponseObject, error) {
	list, err := s.store.Targets(ctx, in.ID, page(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListTargets200JSONResponse{
		Items: encodeAll(list.Items, targetJSON), NextCursor: known(list.NextCursor),
	}, nil
}
