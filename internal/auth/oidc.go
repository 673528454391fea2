package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"

	"rollcall/internal/authz"
	"rollcall/internal/problem"
)

// provider checks the tokens of one issuer. What it needs of the issuer it asks for when the first token comes.
type provider struct {
	Provider
	calls *rareTransport

	asking   singleflight.Group
	verifier atomic.Pointer[oidc.IDTokenVerifier] // nil until the issuer has answered
}

func newProvider(p Provider) *provider { return &provider{Provider: p, calls: newRareTransport()} }

// vouched is who an issuer says that it is. Which one is read before anything is proven; a token of an issuer that is not
// trusted causes no call.
func (a *Authenticator) vouched(ctx context.Context, token string) (authz.Principal, error) {
	issuer := claimedIssuer(token)
	for _, p := range a.providers {
		if p.Issuer == issuer {
			return p.principal(ctx, token)
		}
	}
	return authz.Principal{}, unauthenticated("the token's issuer is not one that this server trusts")
}

// principal proves a token and finds the rule that is for it.
func (p *provider) principal(ctx context.Context, token string) (authz.Principal, error) {
	verifier, err := p.ready(ctx)
	if err != nil {
		return authz.Principal{}, p.away(err)
	}
	proven, err := verifier.Verify(ctx, token)
	if err != nil {
		if failure := p.calls.failure(); failure != nil {
			return authz.Principal{}, p.away(failure)
		}
		return authz.Principal{}, &problem.Error{
			Code: problem.CodeUnauthenticated, Message: "the token of " + p.Name + " is not good: " + publicReason(err), Err: err,
		}
	}
	var claims map[string]any
	if err := proven.Claims(&claims); err != nil {
		return authz.Principal{}, unauthenticated("the claims of the token cannot be read")
	}
	rule, fits := allowed(p.Rules, claims)
	if !fits || !nameable(proven.Subject) {
		return authz.Principal{}, unauthenticated("no rule of " + p.Name + " is for a token with these claims")
	}
	return authz.Principal{
		Name: "oidc:" + p.Name + ":" + proven.Subject, Role: rule.Role, Scopes: rule.Scopes, ExpiresAt: proven.Expiry,
	}, nil
}

// nameable reports whether a subject can stand in events and lists.
func nameable(subject string) bool {
	return subject != "" && len(subject) <= 255 && utf8.ValidString(subject) && !strings.ContainsFunc(subject, func(r rune) bool {
		return !unicode.IsGraphic(r)
	})
}

// ready asks the issuer where its keys are, once; after a failure the next token asks again. All who wait for the answer
// wait for the same one, and who hangs up ends only its own wait.
func (p *provider) ready(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	if known := p.verifier.Load(); known != nil {
		return known, nil
	}
	lasting := context.WithoutCancel(ctx)
	asked := p.asking.DoChan("", func() (any, error) { return nil, p.discover(lasting) })
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx) //nolint:wrapcheck // said by away
	case answer := <-asked:
		return p.verifier.Load(), answer.Err
	}
}

// discover bounds itself, because it outlives the request for which it began.
func (p *provider) discover(ctx context.Context) error {
	if p.verifier.Load() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.calls.client()), p.Issuer)
	if err != nil {
		return err //nolint:wrapcheck // said by away
	}
	p.verifier.Store(found.Verifier(&oidc.Config{ClientID: p.Audience}))
	return nil
}

func (p *provider) away(err error) error {
	return &problem.Error{
		Code: problem.CodeUnavailable, Message: "the issuer " + p.Name + " cannot be asked for its keys",
		Err: fmt.Errorf("ask %s for its keys: %w", p.Issuer, err),
	}
}

// publicReason is what whoever sent the token may know of why it was refused.
func publicReason(err error) string {
	if _, expired := errors.AsType[*oidc.TokenExpiredError](err); expired {
		return "it has expired"
	}
	return "signature, audience or times are wrong"
}

// claimedIssuer is the iss that a token claims; empty when it is no token.
func claimedIssuer(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Issuer
}
