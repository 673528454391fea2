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

// lookupTimeout bounds each question to the store, so that a request learns soon that the database is away.
const lookupTimeout = 1500 * time.Millisecond

// Store keeps tokens, by their hash.
type Store interface {
	CreateToken(ctx context.Context, t authz.Token, hash authz.TokenHash, lives time.Duration) (authz.Token, error)
	// TokenOf gives the good token with the hash, and the hash as it is kept; CodeNotFound when there is none.
	TokenOf(ctx context.Context, hash authz.TokenHash) (t authz.Token, kept authz.TokenHash, err error)
	// TouchToken writes down that a token is used.
	TouchToken(ctx context.Context, id string) error
}

// Config says whom to let in.
type Config struct {
	Store Store
	// Admin is a token of the operator's own that may do everything; empty for none.
	Admin secret.Secret
	// Providers are the CI systems whose tokens are taken.
	Providers []Provider
	// Open asks for no credential at all. It is for one machine: requests from elsewhere, or from another site's page in a
	// browser, are refused.
	Open bool
	// Rate is how many requests per second each principal may make in the long run, 0 for any number. Twice as many may come at once.
	Rate int
	// Log is where a use that could not be written down is told; nil tells nobody.
	Log *slog.Logger
}

// Authenticator tells who asks. It is safe for use by many goroutines.
type Authenticator struct {
	store     Store
	admin     authz.TokenHash
	hasAdmin  bool
	providers []*provider
	open      bool
	limiter   *limiter
	log       *slog.Logger
}

// New makes an Authenticator. No provider is asked for anything before one of its tokens comes.
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

// Authenticate says who makes a request. CodeUnauthenticated when it has no good credential, CodeRateLimited when that one
// asks too often, CodeUnavailable when the database or the issuer cannot be asked now.
func (a *Authenticator) Authenticate(r *http.Request) (authz.Principal, error) {
	if a.open {
		return anyone(r)
	}
	credential, err := bearer(r.Header)
	if err != nil {
		return authz.Principal{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookupTimeout)
	defer cancel()
	who, err := a.identify(ctx, credential)
	if err != nil {
		return authz.Principal{}, err
	}
	return who, a.limiter.spend(who.Name, time.Now())
}

func (a *Authenticator) identify(ctx context.Context, credential string) (authz.Principal, error) {
	hash := authz.HashToken(credential)
	switch {
	case a.hasAdmin && hash.Equal(a.admin):
		return authz.Principal{Name: "admin", Role: authz.RoleAdmin, Scopes: authz.Everywhere()}, nil
	case wellFormed(credential):
		return a.holder(ctx, hash)
	case strings.Count(credential, ".") == 2:
		return a.vouched(ctx, credential)
	default:
		return authz.Principal{}, unauthenticated("this is not a token")
	}
}

// holder is whose token has the hash. The index that finds it compares a hash, which tells nothing of the token it is of;
// what is found is compared in constant time all the same.
func (a *Authenticator) holder(ctx context.Context, hash authz.TokenHash) (authz.Principal, error) {
	t, kept, err := a.store.TokenOf(ctx, hash)
	if problem.CodeOf(err) == problem.CodeNotFound || err == nil && !hash.Equal(kept) {
		return authz.Principal{}, unauthenticated("the token is not known, was revoked or has expired")
	}
	if err != nil {
		return authz.Principal{}, err //nolint:wrapcheck // the store says what was tried
	}
	if time.Since(t.LastUsedAt) > time.Minute {
		if err := a.store.TouchToken(ctx, t.ID); err != nil { // no reason to refuse what only reads
			a.log.WarnContext(ctx, "the use of a token was not written down", "token", t.ID, "err", err)
		}
	}
	return authz.Principal{Name: "token:" + t.Name, Role: t.Role, Scopes: t.Scopes, ExpiresAt: t.ExpiresAt}, nil
}

// Issue gives out a token of 256 random bits that lives as long as said, 0 for ever. The secret is its only copy.
func (a *Authenticator) Issue(ctx context.Context, t authz.Token, lives time.Duration) (authz.Token, secret.Secret, error) {
	secret := random()
	created, err := a.store.CreateToken(ctx, t, authz.HashToken(secret.Reveal()), lives)
	return created, secret, err //nolint:wrapcheck // the store says what was tried
}

// bearer is the credential of a request (RFC 6750, section 2.1).
func bearer(h http.Header) (string, error) {
	given := h.Values("Authorization")
	if len(given) == 0 {
		return "", unauthenticated("send a token as Authorization: Bearer …")
	}
	scheme, credential, _ := strings.Cut(given[0], " ")
	if len(given) > 1 || !strings.EqualFold(scheme, "Bearer") || credential == "" || len(credential) > maxCredential {
		return "", unauthenticated("send one token as Authorization: Bearer …")
	}
	return credential, nil
}

// maxCredential bounds what is looked at; the tokens of CI systems have about two thousand characters.
const maxCredential = 16 << 10

func unauthenticated(why string) error {
	return &problem.Error{Code: problem.CodeUnauthenticated, Message: why}
}
