package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"rollcall/internal/auth"
	"rollcall/internal/authz"
	"rollcall/internal/problem"
)

// issuer is a CI system's real OIDC issuer: discovery, keys, and tokens signed with them.
type issuer struct {
	*httptest.Server
	keys  []*rsa.PrivateKey
	asked atomic.Int32
	away  atomic.Bool
	// found counts who asks where the keys are; hold, when there is one, makes them wait.
	found atomic.Int32
	hold  chan struct{}
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{keys: []*rsa.PrivateKey{newKey(t)}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.found.Add(1)
		if i.hold != nil {
			<-i.hold
		}
		i.answer(t, w, map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
			"authorization_endpoint": i.URL + "/none", "token_endpoint": i.URL + "/none",
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		var set jose.JSONWebKeySet
		for n, key := range i.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: fmt.Sprint(n), Algorithm: "RS256", Use: "sig"})
		}
		i.answer(t, w, set)
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (i *issuer) answer(t *testing.T, w http.ResponseWriter, body any) {
	if i.away.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(body); err != nil {
		t.Error(err)
	}
}

// claims are those of a good token; changes replace some, nil removes.
func (i *issuer) claims(changes map[string]any) map[string]any {
	c := map[string]any{
		"iss": i.URL, "aud": "rollcall", "sub": "repo:acme/checkout:ref:refs/heads/main", "repository": "acme/checkout",
		"ref": "refs/heads/main", "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func sign(t *testing.T, key any, alg jose.SignatureAlgorithm, kid string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// trusting takes the issuer's tokens as its file says.
func (i *issuer) trusting(t *testing.T) *auth.Authenticator {
	t.Helper()
	file := fmt.Sprintf(`{"providers": [{"name": "github", "issuer": %q, "audience": "rollcall", "rules": [
		{"claims": {"repository": "acme/checkout", "ref": ["refs/heads/main", "refs/heads/release"]}, "role": "deployer",
			"scopes": [{"service": "checkout", "environment": "*"}]},
		{"claims": {"repository": "acme/checkout"}, "role": "viewer", "scopes": [{"service": "checkout", "environment": "staging"}]},
		{"claims": {"groups": "sre"}, "role": "admin", "scopes": [{"service": "*", "environment": "*"}]}]}]}`, i.URL)
	providers, err := auth.ReadProviders(written(t, file))
	if err != nil {
		t.Fatal(err)
	}
	return auth.New(auth.Config{Providers: providers, Store: opened(t)})
}

func written(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "oidc.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOIDC_FirstMatchingRuleCounts(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := i.trusting(t)
	for name, c := range map[string]struct {
		changes map[string]any
		role    authz.Role
	}{
		"main":                    {nil, authz.RoleDeployer},
		"release":                 {map[string]any{"ref": "refs/heads/release"}, authz.RoleDeployer},
		"another branch":          {map[string]any{"ref": "refs/heads/x"}, authz.RoleViewer},
		"no branch":               {map[string]any{"ref": nil}, authz.RoleViewer},
		"a list of groups":        {map[string]any{"repository": "acme/infra", "groups": []string{"dev", "sre"}}, authz.RoleAdmin},
		"another repository":      {map[string]any{"repository": "mallory/checkout"}, ""},
		"a number for a text":     {map[string]any{"repository": 7}, ""},
		"no subject":              {map[string]any{"sub": nil}, ""},
		"a subject that deceives": {map[string]any{"sub": "a\u202eb"}, ""},
		"another audience":        {map[string]any{"aud": "vault"}, ""},
		"several audiences":       {map[string]any{"aud": []string{"vault", "rollcall"}}, authz.RoleDeployer},
		"expired":                 {map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}, ""},
		"without an end":          {map[string]any{"exp": nil}, ""},
		"not yet":                 {map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}, ""},
	} {
		who, err := ask(t, a, sign(t, i.keys[0], jose.RS256, "0", i.claims(c.changes)))
		if c.role == "" {
			refused(t, err, problem.CodeUnauthenticated)
			continue
		}
		if err != nil || who.Role != c.role || !strings.HasPrefix(who.Name, "oidc:github:repo:acme/checkout:") || who.ExpiresAt.IsZero() {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("the keys were asked for %d times", n)
	}
}

func TestOIDC_RejectsForeignSignature(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := i.trusting(t)
	good := sign(t, i.keys[0], jose.RS256, "0", i.claims(nil))
	parts := strings.Split(good, ".")
	other := strings.Split(sign(t, i.keys[0], jose.RS256, "0", i.claims(map[string]any{"groups": "sre", "repository": "x"})), ".")
	for name, token := range map[string]string{
		"another key":       sign(t, newKey(t), jose.RS256, "0", i.claims(nil)),
		"no signature":      "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"cut signature":     parts[0] + "." + parts[1] + ".",
		"swapped claims":    parts[0] + "." + other[1] + "." + parts[2],
		"a secret as key":   sign(t, []byte("0123456789abcdef0123456789abcdef"), jose.HS256, "0", i.claims(nil)),
		"another algorithm": sign(t, i.keys[0], jose.RS512, "0", i.claims(nil)),
		"another issuer":    sign(t, i.keys[0], jose.RS256, "0", i.claims(map[string]any{"iss": "https://evil.example"})),
		"no issuer":         sign(t, i.keys[0], jose.RS256, "0", i.claims(map[string]any{"iss": nil})),
	} {
		if who, err := ask(t, a, token); problem.CodeOf(err) != problem.CodeUnauthenticated {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	if _, err := ask(t, a, good); err != nil {
		t.Error(err)
	}
}

func TestOIDC_ForgedTokensCauseFewIssuerCalls(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := i.trusting(t)
	mallory := newKey(t)
	for n := range 30 {
		_, err := ask(t, a, sign(t, mallory, jose.RS256, fmt.Sprint("made-up-", n), i.claims(nil)))
		refused(t, err, problem.CodeUnauthenticated)
		_, err = ask(t, a, sign(t, mallory, jose.RS256, "0", i.claims(map[string]any{"iss": "http://127.0.0.1:1"})))
		refused(t, err, problem.CodeUnauthenticated)
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("the keys were asked for %d times", n)
	}
}

func TestOIDC_UnavailableIssuerRejectsForNowOnly(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := i.trusting(t)
	i.away.Store(true)
	token := sign(t, i.keys[0], jose.RS256, "0", i.claims(nil))
	_, err := ask(t, a, token)
	refused(t, err, problem.CodeUnavailable)
	i.away.Store(false)
	deadline := time.Now().Add(20 * time.Second)
	for _, err = ask(t, a, token); err != nil && time.Now().Before(deadline); _, err = ask(t, a, token) {
		refused(t, err, problem.CodeUnavailable)
	}
	if err != nil {
		t.Errorf("it is back, and still %v", err)
	}
}

// A cancelled request ends only its own wait, not the fetch that others wait for.
func TestOIDC_CancelledRequestDoesNotCancelOthers(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.hold = make(chan struct{})
	a := i.trusting(t)
	token := sign(t, i.keys[0], jose.RS256, "0", i.claims(nil))
	gone, hangUp := context.WithCancel(t.Context())
	answers := make(chan error)
	for _, ctx := range []context.Context{gone, t.Context()} {
		go func() {
			_, err := a.Authenticate(request(t, "Authorization", "Bearer "+token).WithContext(ctx))
			answers <- err
		}()
	}
	for i.found.Load() == 0 {
		runtime.Gosched()
	}
	hangUp()
	refused(t, <-answers, problem.CodeUnavailable) // at once, though the issuer has not answered
	close(i.hold)
	if err := <-answers; err != nil {
		t.Errorf("who waited with it: %v", err)
	}
	if _, err := ask(t, a, token); err != nil {
		t.Errorf("who comes later: %v", err)
	}
	if n := i.found.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times", n)
	}
}

func TestOIDC_ConfigFileIsStrict(t *testing.T) {
	t.Parallel()
	const rule = `{"claims":{"a":"b"},"role":"viewer","scopes":[{"service":"*","environment":"*"}]}`
	provider := func(change ...string) string {
		p := `{"name":"ci","issuer":"https://ci.example","audience":"rollcall","rules":[` + rule + `]}`
		return strings.NewReplacer(change...).Replace(p)
	}
	file := func(p ...string) string { return `{"providers":[` + strings.Join(p, ",") + `]}` }
	if _, err := auth.ReadProviders(written(t, file(provider()))); err != nil {
		t.Fatal(err)
	}
	for says, content := range map[string]string{
		"issuer":         file(provider("https://ci.example", "http://ci.example")),
		"audience":       file(provider(`"audience":"rollcall",`, "")),
		"rules":          file(provider(rule, "")),
		"claims":         file(provider(`"claims":{"a":"b"},`, "")),
		"no values":      file(provider(`"b"`, "[]")),
		"text":           file(provider(`"b"`, "7")),
		"role":           file(provider("viewer", "root")),
		"scopes":         file(provider(`[{"service":"*","environment":"*"}]`, "[]")),
		"environment":    file(provider(`,"environment":"*"`, "")),
		"unknown field":  file(provider(`"claims"`, `"claim":{},"claims"`)),
		"once":           file(provider(), provider()),
		"after the end":  file(provider()) + "{}",
		"name":           file(provider(`"ci"`, `"CI 1"`)),
		"unexpected EOF": `{"providers":`,
	} {
		if _, err := auth.ReadProviders(written(t, content)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
