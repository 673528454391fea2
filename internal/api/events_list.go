package api

import (
	"context"

	"rollcall/internal/api/gen"
)

// ListEvents lists what happened in a deployment, oldest first, or lets the caller watch it happen.
func (s *server) ListEvents(ctx context.Context, in gen.ListEventsRequestObject) (gen.ListEventsResponseObject, error) {
	if wantsStream(ctx) {
		return s.watchDeployment(ctx, in)
	}
	if in.Params.After != nil {
		return nil, invalidAt("/after", "is for streams; a list goes on with cursor")
	}
	list, err := s.store.Events(ctx, in.ID, page(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListEvents200JSONResponse{
		Items: encodeAll(list.Items, eventJSON), NextCursor: known(list.NextCursor),
	}, nil
}
