package api

import (
	"context"

	"rollcall/internal/api/gen"
)

// ListSources lists the sources in the order of their names.
func (s *server) ListSources(ctx context.Context, in gen.ListSourcesRequestObject) (gen.ListSourcesResponseObject, error) {
	list, err := s.store.Sources(ctx, page(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListSources200JSONResponse{Items: encodeAll(list.Items, sourceJSON), NextCursor: known(list.NextCursor)}, nil
}
