package auth

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/problem"
	"rollcall/internal/secret"
)

// lookupTimeout bounds each query, so that a request fails soon if the database is away.
const lookupTimeout = 1500 * time.Millisecond

// Store stores tokens by their hash.
type Store interface {
	CreateToken(ctx context.Context, t authz.Token, hash authz.TokenHash, lives time.Duration) (authz.Token, error)
	// TokenByHash returns the valid token with the hash, and its stored hash; CodeNotFound when there is none.
	TokenByHash(ctx context.Context, hash authz.TokenHash) (t authz.Token, kept authz.TokenHash, err error)
	// RecordTokenUse records that a token is used.
	RecordTokenUse(ctx context.Context, id string) error
}

// Config configures an Authenticator.
type Config struct {
	Store Store
	// Admin is the operator's admin token; empty for none.
	Admin secret.Secret
	// Providers are the CI systems whose tokens are accepted.
	Providers []Provider
	// Open turns authentication off. It is for one machine: requests to another host name, or from another site's page in a
	// browser, are rejected.
	Open bool
	// Rate is the sustained limit of requests per second for each principal, 0 for none. The burst is twice as high.
	Rate int
	// Log gets uses of tokens that could not be recorded; it may be nil.
	Log *slog.Logger
}

// Authenticator authenticates requests. It is safe for concurrent use.
type Authenticator struct {
	store     Store
	admin     authz.TokenHash
	hasAdmin  bool
	providers []*provider
	open      bool
	limiter   *limiter
	log       *slog.Logger
}

// New returns an Authenticator. It calls no provider before one of its tokens arrives.
func New(c Config) *Authenticator {
	a := &Authenticator{
		store: c.Store, hasAdmin: c.Admin != "", admin: authz.HashToken(c.Admin.Reveal()), open: c.Open, log: c.Log,
		limiter: newLimiter(c.Rate),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	for i := range c.Providers {
		a.providers = append(a.providers, newProvider(c.Providers[i]))
	}
	return a
}

// Authenticate returns the principal that makes a request. It fails with CodeUnauthenticated without a good credential,
// with CodeRateLimited above the rate limit, and with CodeUnavailable if the database or the issuer is unavailable.
func (a *Authenticator) Authenticate(r *http.Request) (authz.Principal, error) {
	if a.open {
		return devPrincipal(r)
	}
	credential, err := bearerToken(r.Header)
	if err != nil {
		return authz.Principal{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookupTimeout)
	defer cancel()
	who, err := a.identifyCaller(ctx, credential)
	if err != nil {
		return authz.Principal{}, err
	}
	return who, a.limiter.countRequest(who.Name, time.Now())
}

func (a *Authenticator) identifyCaller(ctx context.Context, credential string) (authz.Principal, error) {
	hash := authz.HashToken(credential)
	switch {
	case a.hasAdmin && hash.Equal(a.admin):
		return authz.Principal{Name: "admin", Role: authz.RoleAdmin, Scopes: authz.Everywhere()}, nil
	case isToken(credential):
		return a.lookupToken(ctx, hash)
	case strings.Count(credential, ".") == 2:
		return a.verifyOIDC(ctx, credential)
	default:
		return authz.Principal{}, errUnauthenticated("the credential is not a token")
	}
}

// lookupToken returns the principal of the token with the hash. Timing reveals nothing: the index compares hashes, and the
// result is compared in constant time.
func (a *Authenticator) lookupToken(ctx context.Context, hash authz.TokenHash) (authz.Principal, error) {
	t, kept, err := a.store.TokenByHash(ctx, hash)
	if problem.CodeOf(err) == problem.CodeNotFound || err == nil && !hash.Equal(kept) {
		return authz.Principal{}, errUnauthenticated("the token is unknown, revoked or expired")
	}
	if err != nil {
		return authz.Principal{}, err //nolint:wrapcheck // the store adds the operation
	}
	if time.Since(t.LastUsedAt) > time.Minute {
		if err := a.store.RecordTokenUse(ctx, t.ID); err != nil { // no reason to reject the request
			a.log.WarnContext(ctx, "failed to record the use of a token", "token", t.ID, "error", err)
		}
	}
	return authz.Principal{Name: "token:" + t.Name, Role: t.Role, Scopes: t.Scopes, ExpiresAt: t.ExpiresAt}, nil
}

// IssueToken issues a token of 256 random bits that expires after lives, or never if that is 0. The secret is its only copy.
func (a *Authenticator) IssueToken(ctx context.Context, t authz.Token, lives time.Duration) (authz.Token, secret.Secret, error) {
	secret := newToken()
	created, err := a.store.CreateToken(ctx, t, authz.HashToken(secret.Reveal()), lives)
	return created, secret, err //nolint:wrapcheck // the store adds the operation
}

// bearerToken returns the credential of a request (RFC 6750, section 2.1).
func bearerToken(h http.Header) (string, error) {
	given := h.Values("Authorization")
	if len(given) == 0 {
		return "", errUnauthenticated("send a token as Authorization: Bearer …")
	}
	scheme, credential, _ := strings.Cut(given[0], " ")
	if len(given) > 1 || !strings.EqualFold(scheme, "Bearer") || credential == "" || len(credential) > maxCredential {
		return "", errUnauthenticated("send one token as Authorization: Bearer …")
	}
	return credential, nil
}

// maxCredential is the maximum length of a credential; the tokens of CI systems have about two thousand characters.
const maxCredential = 16 << 10

func errUnauthenticated(message string) error {
	return &problem.Error{Code: problem.CodeUnauthenticated, Message: message}
}
