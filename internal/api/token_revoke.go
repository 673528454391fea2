package api

import (
	"context"

	"rollcall/internal/api/gen"
)

// RevokeToken ends a token for good. Nobody keeps tokens in memory, so that it counts at once everywhere.
func (s *server) RevokeToken(ctx context.Context, in gen.RevokeTokenRequestObject) (gen.RevokeTokenResponseObject, error) {
	if err := s.store.RevokeToken(ctx, in.ID); err != nil {
		return nil, err
	}
	return gen.RevokeToken204Response{}, nil
}
