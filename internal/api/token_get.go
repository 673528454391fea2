package api

import (
	"context"

	"rollcall/internal/api/gen"
)

// GetToken reads what is known of a token.
func (s *server) GetToken(ctx context.Context, in gen.GetTokenRequestObject) (gen.GetTokenResponseObject, error) {
	t, err := s.store.Token(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return gen.GetToken200JSONResponse(tokenJSON(&t)), nil
}
