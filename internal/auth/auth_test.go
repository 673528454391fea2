package auth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/internal/auth"
	"rollcall/internal/authz"
	"rollcall/internal/problem"
	"rollcall/internal/store"
)

func issue(t *testing.T, a *auth.Authenticator, name string, lives time.Duration) (authz.Token, string) {
	t.Helper()
	token, secret, err := a.IssueToken(t.Context(), authz.Token{
		Name: name, Role: authz.RoleDeployer, Scopes: authz.Scopes{{Service: "a", Environment: "*"}}, CreatedBy: "test",
	}, lives)
	if err != nil {
		t.Fatal(err)
	}
	return token, secret.Reveal()
}

func TestToken_IdentifiesItsHolder(t *testing.T) {
	t.Parallel()
	s := opened(t)
	a := auth.New(auth.Config{Store: s, Admin: operators})
	token, secret := issue(t, a, "ci", time.Hour)
	who, err := ask(t, a, secret)
	if err != nil || who.Name != "token:ci" || who.Role != authz.RoleDeployer || who.Scopes[0].Service != "a" || who.ExpiresAt.IsZero() {
		t.Errorf("%+v, %v", who, err)
	}
	admin, err := ask(t, a, operators)
	if err != nil || admin.Name != "admin" || admin.Role != authz.RoleAdmin || !admin.Scopes.Unrestricted() {
		t.Errorf("%+v, %v", admin, err)
	}
	for _, wrong := range []string{
		"", "x", secret[:len(secret)-1], secret + "A", strings.ToUpper(secret), "rct_" + strings.Repeat("A", 43),
		operators[1:], operators + " ", token.ID, "a.b.c", strings.Repeat("x", 20<<10),
	} {
		_, err := ask(t, a, wrong)
		refused(t, err, problem.CodeUnauthenticated)
	}
	for _, headers := range [][]string{
		nil,
		{"Authorization", secret},
		{"Authorization", "Basic " + secret},
		{"X-Api-Key", secret},
		{"Authorization", "Bearer " + secret, "Authorization", "Bearer " + secret},
	} {
		_, err := a.Authenticate(request(t, headers...))
		refused(t, err, problem.CodeUnauthenticated)
	}
}

func TestToken_EmptyIsNotAdmin(t *testing.T) {
	t.Parallel()
	a := auth.New(auth.Config{Store: opened(t)})
	for _, guess := range []string{"", " ", "admin", "***"} {
		_, err := ask(t, a, guess)
		refused(t, err, problem.CodeUnauthenticated)
	}
}

func TestToken_IsUniqueWith256Bits(t *testing.T) {
	t.Parallel()
	a := auth.New(auth.Config{Store: opened(t)})
	seen := map[string]bool{}
	for range 50 {
		_, secret := issue(t, a, "ci", 0)
		if len(secret) != len("rct_")+43 || !strings.HasPrefix(secret, "rct_") || seen[secret] {
			t.Fatalf("token %q", secret)
		}
		seen[secret] = true
	}
}

func TestToken_DatabaseHoldsOnlyItsHash(t *testing.T) {
	t.Parallel()
	s := opened(t)
	_, secret := issue(t, auth.New(auth.Config{Store: s}), "ci", 0)
	var row string
	if err := s.Pool().QueryRow(t.Context(), `SELECT k::text || encode(k.hash, 'escape') FROM tokens k`).Scan(&row); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(row, strings.TrimPrefix(secret, "rct_")) || !strings.Contains(row, "ci") {
		t.Errorf("the row %s has the token %s, or not the name", row, secret)
	}
}

func TestToken_ExpiredIsRejected(t *testing.T) {
	t.Parallel()
	s := opened(t)
	a := auth.New(auth.Config{Store: s})
	token, secret := issue(t, a, "ci", time.Hour)
	if _, err := ask(t, a, secret); err != nil {
		t.Fatal(err)
	}
	const sql = `UPDATE tokens SET expires_at = clock_timestamp() - interval '1 millisecond' WHERE id = $1`
	if _, err := s.Pool().Exec(t.Context(), sql, token.ID); err != nil {
		t.Fatal(err)
	}
	_, err := ask(t, a, secret)
	refused(t, err, problem.CodeUnauthenticated)
}

// counted is the real store that counts how often a use is written down.
type counted struct {
	*store.Store
	touches int
}

func (c *counted) RecordTokenUse(ctx context.Context, id string) error {
	c.touches++
	return c.Store.RecordTokenUse(ctx, id)
}

func TestToken_LastUseIsNotWrittenPerRequest(t *testing.T) {
	t.Parallel()
	s := &counted{Store: opened(t)}
	a := auth.New(auth.Config{Store: s})
	token, secret := issue(t, a, "ci", 0)
	for range 10 {
		if _, err := ask(t, a, secret); err != nil {
			t.Fatal(err)
		}
	}
	if used, err := s.Token(t.Context(), token.ID); err != nil || used.LastUsedAt.IsZero() || s.touches != 1 {
		t.Errorf("%v, used %v, %d writes", err, used.LastUsedAt, s.touches)
	}
}

func TestToken_NeedsTheDatabase(t *testing.T) {
	t.Parallel()
	s := opened(t)
	a := auth.New(auth.Config{Store: s, Admin: operators})
	_, secret := issue(t, a, "ci", 0)
	s.Close()
	_, err := ask(t, a, secret)
	refused(t, err, problem.CodeUnavailable)
	if _, err := ask(t, a, operators); err != nil {
		t.Errorf("the operator's own token needs no database: %v", err)
	}
}

func TestOpen_RejectsOtherHosts(t *testing.T) {
	t.Parallel()
	a := auth.New(auth.Config{Open: true})
	for host, fine := range map[string]bool{
		"127.0.0.1:8080": true, "localhost:8080": true, "localhost": true, "[::1]:8080": true, "[::1]": true, "127.0.0.2": true,
		"evil.example:8080": false, "localhost.evil.example": false, "": false, "10.0.0.1": false, "[": false,
	} {
		r := request(t)
		r.Host = host
		who, err := a.Authenticate(r)
		if (err == nil) != fine || fine && (!who.Anonymous || who.Role != authz.RoleAdmin) {
			t.Errorf("as %q: %+v, %v", host, who, err)
		}
	}
}

func TestOpen_RejectsOtherSites(t *testing.T) {
	t.Parallel()
	a := auth.New(auth.Config{Open: true})
	for name, c := range map[string]struct {
		headers []string
		fine    bool
	}{
		"curl":              {nil, true},
		"its own page":      {[]string{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:8080"}, true},
		"another site":      {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, false},
		"an older browser":  {[]string{"Origin", "https://evil.example"}, false},
		"another port here": {[]string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:3000"}, false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:8080/services/a/environments/b/rollback", nil)
		for i := 0; i+1 < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		if _, err := a.Authenticate(r); (err == nil) != c.fine || err != nil && problem.CodeOf(err) != problem.CodeForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}
