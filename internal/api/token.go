package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/authz"
	"rollcall/internal/rollout"
)

// tokenStore is the part of Store that keeps tokens. What proves them is the Authenticator's business.
type tokenStore interface {
	Token(ctx context.Context, id string) (authz.Token, error)
	Tokens(ctx context.Context, p rollout.Page) (rollout.List[authz.Token], error)
	RevokeToken(ctx context.Context, id string) error
}

// Token is Store.Token within the limit.
func (b bounded) Token(ctx context.Context, id string) (authz.Token, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Token(ctx, id)
}

// Tokens is Store.Tokens within the limit.
func (b bounded) Tokens(ctx context.Context, p rollout.Page) (rollout.List[authz.Token], error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Tokens(ctx, p)
}

// RevokeToken is Store.RevokeToken within the limit.
func (b bounded) RevokeToken(ctx context.Context, id string) error {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.RevokeToken(ctx, id)
}

func tokenJSON(t *authz.Token) gen.Token {
	return gen.Token{
		ID: t.ID, Name: t.Name, Role: gen.Role(t.Role), Scopes: encodeAll(t.Scopes, scopeJSON), CreatedBy: t.CreatedBy,
		CreatedAt: t.CreatedAt.UTC(), ExpiresAt: moment(t.ExpiresAt), LastUsedAt: moment(t.LastUsedAt),
		RevokedAt: moment(t.RevokedAt),
	}
}

func scopeJSON(s *authz.Scope) gen.Scope {
	return gen.Scope{Service: s.Service, Environment: s.Environment}
}
