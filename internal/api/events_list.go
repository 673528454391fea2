package api

import (
	"context"

	"rollcall/internal/api/gen"
)

// ListEvents lists what happened in a deployment, oldest first.
func (s *server) ListEvents(ctx context.Context, in gen.ListEventsRequestObject) (gen.ListEventsResponseObject, error) {
	list, err := s.store.Events(ctx, in.ID, page(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListEvents200JSONResponse{
		Items: encodeAll(list.Items, eventJSON), NextCursor: known(list.NextCursor),
	}, nil
}
