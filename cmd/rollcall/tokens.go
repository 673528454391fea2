package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"rollcall/internal/api/types"
	"rollcall/internal/client"
)

// tokensCmd manages API tokens.
type tokensCmd struct {
	List   tokensListCmd   `cmd:"" help:"List tokens, newest first."`
	Create tokensCreateCmd `cmd:"" help:"Create a token; it is printed once."`
	Revoke tokensRevokeCmd `cmd:"" help:"Revoke a token, effective immediately."`
	Self   tokensSelfCmd   `cmd:"" help:"Show the name, role and scopes of the token in use."`
}

type tokensListCmd struct{}

// Run lists the tokens.
func (c *tokensListCmd) Run(ctx context.Context, a *app) error {
	return printList(ctx, a, "/tokens", nil, 0, func(tokens []types.Token) {
		t := newTable("TOKEN", "NAME", "ROLE", "SCOPES", "STATE", "CREATED", "BY", "LAST USED")
		for i := range tokens {
			token := &tokens[i]
			t.addRow(token.ID, token.Name, token.Role, formatScopes(token.Scopes), tokenStatus(token, time.Now()), formatTime(token.CreatedAt),
				token.CreatedBy, formatTimeOrDash(token.LastUsedAt))
		}
		t.writeTo(a.out)
	})
}

// tokenStatus returns whether a token is valid, revoked or expired.
func tokenStatus(t *types.Token, now time.Time) string {
	switch {
	case t.RevokedAt != nil:
		return "revoked"
	case t.ExpiresAt != nil && !t.ExpiresAt.After(now):
		return "expired"
	default:
		return "valid"
	}
}

func formatTimeOrDash(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return formatTime(*t)
}

func formatScopes(list []types.Scope) string {
	texts := make([]string, len(list))
	for i, scope := range list {
		texts[i] = scope.Service + "/" + scope.Environment
	}
	return strings.Join(texts, " ")
}

type tokensCreateCmd struct {
	Name    string   `arg:"" help:"The token's name, as events show it."`
	Role    string   `help:"Role: viewer, deployer, approver or admin." required:""`
	Scope   []string `help:"Scope, as service/environment; * matches all. Repeatable." default:"*/*" placeholder:"SERVICE/ENVIRONMENT" sep:"none"`
	keyFlag `embed:""`

	Expires string `help:"Lifetime, such as 90d or 12h (default: no expiry)."`
}

// Run prints the token alone, for scripts; its description goes to standard error.
func (c *tokensCreateCmd) Run(ctx context.Context, a *app) error {
	body, err := c.requestBody()
	if err != nil {
		return err
	}
	response, err := c.sendOnce(ctx, a, client.Post("/tokens", body), "")
	if err != nil {
		return err
	}
	var issued types.IssuedToken
	if err := json.Unmarshal(response, &issued); err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	return a.printResponse(response, func() {
		fmt.Fprintf(a.stderr, "rollcall: created token %s (%s, %s in %s); it is not shown again\n", issued.ID, issued.Name, issued.Role, formatScopes(issued.Scopes))
		fmt.Fprintln(a.out, issued.Token)
	})
}

func (c *tokensCreateCmd) requestBody() (map[string]any, error) {
	var list []map[string]string
	for _, text := range c.Scope {
		service, environment, found := strings.Cut(text, "/")
		if !found {
			return nil, &usageError{err: fmt.Errorf("--scope %s is not service/environment", text)}
		}
		scope := map[string]string{}
		for name, value := range map[string]string{"service": service, "environment": environment} {
			if value != "*" {
				scope[name] = value
			}
		}
		list = append(list, scope)
	}
	body := map[string]any{"name": c.Name, "role": c.Role, "scopes": list}
	if c.Expires != "" {
		body["expires_in"] = c.Expires
	}
	return body, nil
}

type tokensRevokeCmd struct {
	ID string `arg:"" help:"The token's id."`
}

// Run revokes the token.
func (c *tokensRevokeCmd) Run(ctx context.Context, a *app) error {
	_, err := a.client.Do(ctx, client.Request{Method: http.MethodDelete, Path: "/tokens/" + c.ID})
	if err != nil {
		return err
	}
	return a.printResponse([]byte(`{}`), func() { fmt.Fprintf(a.out, "token %s revoked\n", c.ID) })
}

type tokensSelfCmd struct{}

// Run prints the principal that the server authenticates.
func (c *tokensSelfCmd) Run(ctx context.Context, a *app) error {
	response, err := a.client.Do(ctx, client.Get("/tokens/self", nil))
	if err != nil {
		return err
	}
	var self types.Self
	if err := json.Unmarshal(response, &self); err != nil {
		return fmt.Errorf("read the response: %w", err)
	}
	return a.printResponse(response, func() { fmt.Fprintf(a.out, "%s, %s in %s\n", self.Name, self.Role, formatScopes(self.Scopes)) })
}
