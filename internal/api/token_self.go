package api

import (
	"context"

	"rollcall/internal/api/gen"
)

// GetSelf says who asks.
func (s *server) GetSelf(ctx context.Context, _ gen.GetSelfRequestObject) (gen.GetSelfResponseObject, error) {
	who := asker(ctx)
	return gen.GetSelf200JSONResponse{
		Name: who.Name, Role: gen.Role(who.Role), Scopes: encodeAll(who.Scopes, scopeJSON), ExpiresAt: moment(who.ExpiresAt),
	}, nil
}
