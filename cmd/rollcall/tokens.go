package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/client"
)

// tokensCmd is about who may do what.
type tokensCmd struct {
	List   tokensListCmd   `cmd:"" help:"List tokens, newest first."`
	Create tokensCreateCmd `cmd:"" help:"Give out a token; it is shown once."`
	Revoke tokensRevokeCmd `cmd:"" help:"Make a token useless, everywhere and at once."`
	Self   tokensSelfCmd   `cmd:"" help:"Say who is asking, and what that one may do."`
}

type tokensListCmd struct{}

// Run lists what is known of all tokens.
func (c *tokensListCmd) Run(ctx context.Context, s *session) error {
	return listed(ctx, s, "/tokens", nil, 0, func(tokens []gen.Token) {
		t := newTable("TOKEN", "NAME", "ROLE", "SCOPES", "STATE", "CREATED", "BY", "LAST USED")
		for i := range tokens {
			token := &tokens[i]
			t.row(token.ID, token.Name, token.Role, scopes(token.Scopes), condition(token, time.Now()), clock(token.CreatedAt),
				token.CreatedBy, moment(token.LastUsedAt))
		}
		t.write(s.out)
	})
}

// condition is whether a token is good, in a word.
func condition(t *gen.Token, now time.Time) string {
	switch {
	case t.RevokedAt != nil:
		return "revoked"
	case t.ExpiresAt != nil && !t.ExpiresAt.After(now):
		return "expired"
	default:
		return "good"
	}
}

func moment(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return clock(*t)
}

func scopes(list []gen.Scope) string {
	texts := make([]string, len(list))
	for i, scope := range list {
		texts[i] = scope.Service + "/" + scope.Environment
	}
	return strings.Join(texts, " ")
}

type tokensCreateCmd struct {
	Name    string   `arg:"" help:"Whose it is; it stands in events."`
	Role    string   `help:"viewer, deployer, approver or admin." required:""`
	Scope   []string `help:"Where, as service/environment; * stands for all. Repeatable." default:"*/*" placeholder:"SERVICE/ENVIRONMENT" sep:"none"`
	keyFlag `embed:""`

	Expires string `help:"How long it is good, such as 90d or 12h (default: for ever)."`
}

// Run prints the token alone, for scripts; what else there is to know goes beside it.
func (c *tokensCreateCmd) Run(ctx context.Context, s *session) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	answer, err := c.change(ctx, s, client.Post("/tokens", body), "")
	if err != nil {
		return err
	}
	var issued gen.IssuedToken
	if err := json.Unmarshal(answer, &issued); err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	return s.print(answer, func() {
		fmt.Fprintf(s.notes, "rollcall: token %s for %s, %s in %s; it is not shown again\n", issued.ID, issued.Name, issued.Role, scopes(issued.Scopes))
		fmt.Fprintln(s.out, issued.Token)
	})
}

func (c *tokensCreateCmd) body() (map[string]any, error) {
	var list []map[string]string
	for _, text := range c.Scope {
		service, environment, found := strings.Cut(text, "/")
		if !found {
			return nil, &wrongUseError{err: fmt.Errorf("--scope %s is not service/environment", text)}
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

// Run revokes it.
func (c *tokensRevokeCmd) Run(ctx context.Context, s *session) error {
	_, err := s.client.Do(ctx, client.Request{Method: http.MethodDelete, Path: "/tokens/" + c.ID})
	if err != nil {
		return err
	}
	return s.print([]byte(`{}`), func() { fmt.Fprintln(s.out, c.ID, "is revoked") })
}

type tokensSelfCmd struct{}

// Run asks the server who it takes us for.
func (c *tokensSelfCmd) Run(ctx context.Context, s *session) error {
	answer, err := s.client.Do(ctx, client.Get("/tokens/self", nil))
	if err != nil {
		return err
	}
	var self gen.Self
	if err := json.Unmarshal(answer, &self); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return s.print(answer, func() { fmt.Fprintf(s.out, "%s, %s in %s\n", self.Name, self.Role, scopes(self.Scopes)) })
}
