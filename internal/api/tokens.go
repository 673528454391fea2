package api

import (
	"context"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/types"
	"rollcall/internal/authz"
	"rollcall/internal/nullable"
)

func tokenJSON(t *authz.Token) types.Token {
	return types.Token{
		ID: t.ID, Name: t.Name, Role: types.Role(t.Role), Scopes: encodeAll(t.Scopes, scopeJSON), CreatedBy: t.CreatedBy,
		CreatedAt: t.CreatedAt.UTC(), ExpiresAt: nullable.Time(t.ExpiresAt), LastUsedAt: nullable.Time(t.LastUsedAt),
		RevokedAt: nullable.Time(t.RevokedAt),
	}
}

func scopeJSON(s *authz.Scope) types.Scope {
	return types.Scope{Service: s.Service, Environment: s.Environment}
}

// CreateToken issues a token. This response is the only one that has it.
func (s *server) CreateToken(ctx context.Context, in gen.CreateTokenRequestObject) (gen.CreateTokenResponseObject, error) {
	var f findings
	lives := time.Duration(0)
	if in.Body.ExpiresIn != nil {
		lives = f.parseWindow(in.Body.ExpiresIn, "/expires_in")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	t, secret, err := s.who.IssueToken(ctx, authz.Token{
		Name: in.Body.Name, Role: authz.Role(in.Body.Role), Scopes: scopesOf(in.Body.Scopes), CreatedBy: principalName(ctx),
	}, lives)
	if err != nil {
		return nil, err
	}
	answer := gen.CreateToken201JSONResponse{Body: types.IssuedToken{
		ID: t.ID, Name: t.Name, Role: types.Role(t.Role), Scopes: encodeAll(t.Scopes, scopeJSON), CreatedBy: t.CreatedBy,
		CreatedAt: t.CreatedAt.UTC(), ExpiresAt: nullable.Time(t.ExpiresAt), Token: secret.Reveal(),
	}}
	answer.Headers.Location = "/tokens/" + t.ID
	return answer, nil
}

// scopesOf reads scopes; a missing name means all.
func scopesOf(given []types.ScopeRequest) authz.Scopes {
	scopes := make(authz.Scopes, len(given))
	for i, g := range given {
		scopes[i] = authz.Scope{Service: valueOr(g.Service, authz.Any), Environment: valueOr(g.Environment, authz.Any)}
	}
	return scopes
}

// GetToken reads the metadata of a token.
func (s *server) GetToken(ctx context.Context, in gen.GetTokenRequestObject) (gen.GetTokenResponseObject, error) {
	t, err := s.tokens.Token(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return gen.GetToken200JSONResponse(tokenJSON(&t)), nil
}

// ListTokens lists the metadata of all tokens, newest first.
func (s *server) ListTokens(ctx context.Context, in gen.ListTokensRequestObject) (gen.ListTokensResponseObject, error) {
	list, err := s.tokens.Tokens(ctx, pageOf(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListTokens200JSONResponse{
		Items: encodeAll(list.Items, tokenJSON), NextCursor: nullable.Of(list.NextCursor),
	}, nil
}

// RevokeToken revokes a token. No server caches tokens, so it takes effect at once on all of them.
func (s *server) RevokeToken(ctx context.Context, in gen.RevokeTokenRequestObject) (gen.RevokeTokenResponseObject, error) {
	if err := s.tokens.RevokeToken(ctx, in.ID); err != nil {
		return nil, err
	}
	return gen.RevokeToken204Response{}, nil
}

// GetSelf returns the caller.
func (s *server) GetSelf(ctx context.Context, _ gen.GetSelfRequestObject) (gen.GetSelfResponseObject, error) {
	who := principalOf(ctx)
	return gen.GetSelf200JSONResponse{
		Name: who.Name, Role: types.Role(who.Role), Scopes: encodeAll(who.Scopes, scopeJSON), ExpiresAt: nullable.Time(who.ExpiresAt),
	}, nil
}
