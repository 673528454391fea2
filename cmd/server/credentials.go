package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"rollcall/internal/auth"
	"rollcall/internal/authz"
	"rollcall/internal/secret"
)

// minAdminToken is the minimum length of an admin token.
const minAdminToken = 16

// completeAdminToken reads the admin token from its file, and validates it.
func (c *Config) completeAdminToken() error {
	if c.AdminTokenFile != "" {
		if c.AdminToken != "" {
			return errors.New("--admin-token and --admin-token-file are mutually exclusive")
		}
		content, err := os.ReadFile(c.AdminTokenFile)
		if err != nil {
			return fmt.Errorf("reading --admin-token-file: %w", err)
		}
		c.AdminToken = strings.TrimSpace(string(content))
		if c.AdminToken == "" {
			return fmt.Errorf("--admin-token-file %s is empty", c.AdminTokenFile)
		}
	}
	bad := func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII }
	if c.AdminToken != "" && (len(c.AdminToken) < minAdminToken || strings.ContainsFunc(c.AdminToken, bad)) {
		return fmt.Errorf("the admin token must have at least %d characters, all of them visible ASCII; `openssl rand -hex 32` makes a good one",
			minAdminToken)
	}
	return nil
}

// authDisabled reports whether the server requires no credential: --dev without an admin token.
func (c *Config) authDisabled() bool { return c.Dev && c.AdminToken == "" }

// newAuthenticator returns the authenticator. If there is no admin token, it issues one for a new private database, else logs
// a warning.
func (s *server) newAuthenticator(ctx context.Context) (*auth.Authenticator, error) {
	c := &s.config
	a := auth.New(auth.Config{
		Store: s.store, Admin: secret.Secret(c.AdminToken), Providers: c.providers, Open: c.authDisabled(), Rate: c.RateLimit, Log: s.log,
	})
	if c.authDisabled() {
		s.log.WarnContext(ctx, "authentication disabled (--dev): every local user has admin access")
		return a, nil
	}
	if c.AdminToken != "" {
		return a, nil
	}
	valid, issued, err := s.store.CountAdminTokens(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("counting admin tokens: %w", err)
	case issued == 0 && s.postgres != nil:
		return a, issueFirstAdminToken(ctx, a)
	case valid == 0:
		s.log.WarnContext(ctx, "no valid admin token: start once with --admin-token (ROLLCALL_ADMIN_TOKEN) "+
			"or --admin-token-file, and create one with POST /tokens", "admin_tokens_issued", issued)
	}
	return a, nil
}

// issueFirstAdminToken issues the first admin token of a private database, and prints it; it is not logged.
func issueFirstAdminToken(ctx context.Context, a *auth.Authenticator) error {
	_, secret, err := a.IssueToken(ctx, authz.Token{
		Name: "first-admin", Role: authz.RoleAdmin, Scopes: authz.Everywhere(), CreatedBy: "server",
	}, 0)
	if err != nil {
		return fmt.Errorf("issuing the first admin token: %w", err)
	}
	_, err = fmt.Fprintf(os.Stdout, `
This is the admin token of this Rollcall server. It is shown only once; keep it.

    export ROLLCALL_TOKEN=%s
    curl -H "Authorization: Bearer $ROLLCALL_TOKEN" …

`, secret.Reveal())
	if err != nil {
		return fmt.Errorf("printing the first admin token: %w", err)
	}
	return nil
}
