package api

import (
	"context"

	"rollcall/internal/api/gen"
)

// ListTokens lists what is known of all tokens, newest first.
func (s *server) ListTokens(ctx context.Context, in gen.ListTokensRequestObject) (gen.ListTokensResponseObject, error) {
	list, err := s.store.Tokens(ctx, page(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListTokens200JSONResponse{
		Items: encodeAll(list.Items, tokenJSON), NextCursor: known(list.NextCursor),
	}, nil
}
