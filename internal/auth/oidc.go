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

// provider verifies the tokens of one issuer. It fetches the issuer's metadata when the first token arrives.
type provider struct {
	Provider
	calls *throttledTransport

	asking   singleflight.Group
	verifier atomic.Pointer[oidc.IDTokenVerifier] // nil until the metadata was fetched
}

func newProvider(p Provider) *provider { return &provider{Provider: p, calls: newThrottledTransport()} }

// verifyOIDC returns the principal of an issuer's token. The issuer is read before the token is verified; a token of an
// untrusted issuer causes no call.
func (a *Authenticator) verifyOIDC(ctx context.Context, token string) (authz.Principal, error) {
	issuer := claimedIssuer(token)
	for _, p := range a.providers {
		if p.Issuer == issuer {
			return p.verifyToken(ctx, token)
		}
	}
	return authz.Principal{}, errUnauthenticated("the token's issuer is not trusted by this server")
}

// verifyToken verifies a token and applies the first matching rule.
func (p *provider) verifyToken(ctx context.Context, token string) (authz.Principal, error) {
	verifier, err := p.fetchVerifier(ctx)
	if err != nil {
		return authz.Principal{}, p.issuerUnavailable(err)
	}
	verified, err := verifier.Verify(ctx, token)
	if err != nil {
		if failure := p.calls.lastError(); failure != nil {
			return authz.Principal{}, p.issuerUnavailable(failure)
		}
		return authz.Principal{}, &problem.Error{
			Code: problem.CodeUnauthenticated, Message: "invalid token of " + p.Name + ": " + publicReason(err), Err: err,
		}
	}
	var claims map[string]any
	if err := verified.Claims(&claims); err != nil {
		return authz.Principal{}, errUnauthenticated("the claims of the token cannot be read")
	}
	rule, ok := firstMatchingRule(p.Rules, claims)
	if !ok || !isDisplayable(verified.Subject) {
		return authz.Principal{}, errUnauthenticated("no rule of " + p.Name + " matches the token's claims")
	}
	return authz.Principal{
		Name: "oidc:" + p.Name + ":" + verified.Subject, Role: rule.Role, Scopes: rule.Scopes, ExpiresAt: verified.Expiry,
	}, nil
}

// isDisplayable reports whether a subject can be shown in events and lists.
func isDisplayable(subject string) bool {
	return subject != "" && len(subject) <= 255 && utf8.ValidString(subject) && !strings.ContainsFunc(subject, func(r rune) bool {
		return !unicode.IsGraphic(r)
	})
}

// fetchVerifier fetches the issuer's metadata once; after a failure the next token tries again. Concurrent requests share one
// fetch, and cancelling one ends only its own wait.
func (p *provider) fetchVerifier(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	if known := p.verifier.Load(); known != nil {
		return known, nil
	}
	detached := context.WithoutCancel(ctx)
	fetched := p.asking.DoChan("", func() (any, error) { return nil, p.fetchMetadata(detached) })
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx) //nolint:wrapcheck // wrapped by issuerUnavailable
	case result := <-fetched:
		return p.verifier.Load(), result.Err
	}
}

// fetchMetadata has its own timeout, because it outlives the request that started it.
func (p *provider) fetchMetadata(ctx context.Context) error {
	if p.verifier.Load() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.calls.httpClient()), p.Issuer)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by issuerUnavailable
	}
	p.verifier.Store(found.Verifier(&oidc.Config{ClientID: p.Audience}))
	return nil
}

func (p *provider) issuerUnavailable(err error) error {
	return &problem.Error{
		Code: problem.CodeUnavailable, Message: "the keys of the issuer " + p.Name + " cannot be fetched",
		Err: fmt.Errorf("fetch the keys of %s: %w", p.Issuer, err),
	}
}

// publicReason returns why a token was rejected, without details.
func publicReason(err error) string {
	if _, expired := errors.AsType[*oidc.TokenExpiredError](err); expired {
		return "it has expired"
	}
	return "signature, audience or times are wrong"
}

// claimedIssuer returns the iss of an unverified token; empty if it is no token.
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
