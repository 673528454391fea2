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

// minAdminToken is the shortest admin token that an operator may choose.
const minAdminToken = 16

// completeAdminToken reads the operator's own admin token from the file that was named, if one was.
func (c *Config) completeAdminToken() error {
	if c.AdminTokenFile != "" {
		if c.AdminToken != "" {
			return errors.New("give either --admin-token or --admin-token-file, not both")
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

// open reports whether the server asks for no credential: --dev without an admin token.
func (c *Config) open() bool { return c.Dev && c.AdminToken == "" }

// authenticator makes what lets people in, and sees to it that somebody can be let in, or says how.
func (s *server) authenticator(ctx context.Context) (*auth.Authenticator, error) {
	c := &s.config
	a := auth.New(auth.Config{
		Store: s.store, Admin: secret.Secret(c.AdminToken), Providers: c.providers, Open: c.open(), Rate: c.RateLimit, Log: s.log,
	})
	if c.open() {
		s.log.WarnContext(ctx, "--dev: credentials are switched off; everybody on this machine may do everything")
		return a, nil
	}
	if c.AdminToken != "" {
		return a, nil
	}
	good, ever, err := s.store.Admins(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("looking for an admin's token: %w", err)
	case ever == 0 && s.postgres != nil:
		return a, firstToken(ctx, a)
	case good == 0:
		s.log.WarnContext(ctx, "nobody can give out tokens: start once with --admin-token (ROLLCALL_ADMIN_TOKEN) "+
			"or --admin-token-file, and make one with POST /tokens", "tokens_given_out_before", ever)
	}
	return a, nil
}

// firstToken gives out the first admin token of a database that only this server has, and prints it; it stands in no log.
func firstToken(ctx context.Context, a *auth.Authenticator) error {
	_, secret, err := a.Issue(ctx, authz.Token{
		Name: "first-admin", Role: authz.RoleAdmin, Scopes: authz.Everywhere(), CreatedBy: "server",
	}, 0)
	if err != nil {
		return fmt.Errorf("making the first admin token: %w", err)
	}
	_, err = fmt.Fprintf(os.Stdout, `
This is the admin token of this Rollcall. It is shown this once; keep it.

    export ROLLCALL_TOKEN=%s
    curl -H "Authorization: Bearer $ROLLCALL_TOKEN" …

`, secret.Reveal())
	if err != nil {
		return fmt.Errorf("printing the first admin token: %w", err)
	}
	return nil
}
