package api

import (
	"context"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/authz"
)

// CreateToken gives out a token. This answer is the only one that has it.
func (s *server) CreateToken(ctx context.Context, in gen.CreateTokenRequestObject) (gen.CreateTokenResponseObject, error) {
	var f findings
	lives := time.Duration(0)
	if in.Body.ExpiresIn != nil {
		lives = f.window(in.Body.ExpiresIn, "/expires_in")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	t, secret, err := s.who.Issue(ctx, authz.Token{
		Name: in.Body.Name, Role: authz.Role(in.Body.Role), Scopes: scopesOf(in.Body.Scopes), CreatedBy: caller(ctx),
	}, lives)
	if err != nil {
		return nil, err
	}
	answer := gen.CreateToken201JSONResponse{Body: gen.IssuedToken{
		ID: t.ID, Name: t.Name, Role: gen.Role(t.Role), Scopes: encodeAll(t.Scopes, scopeJSON), CreatedBy: t.CreatedBy,
		CreatedAt: t.CreatedAt.UTC(), ExpiresAt: moment(t.ExpiresAt), Token: secret.Reveal(),
	}}
	answer.Headers.Location = "/tokens/" + t.ID
	return answer, nil
}

// scopesOf reads scopes; what is left out stands for all.
func scopesOf(given []gen.ScopeRequest) authz.Scopes {
	scopes := make(authz.Scopes, len(given))
	for i, g := range given {
		scopes[i] = authz.Scope{Service: or(g.Service, authz.Any), Environment: or(g.Environment, authz.Any)}
	}
	return scopes
}
