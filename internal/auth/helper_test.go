package auth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"rollcall/internal/auth"
	"rollcall/internal/authz"
	"rollcall/internal/dbtest"
	"rollcall/internal/problem"
	"rollcall/internal/store"
)

const operators = "the-operators-own-token"

// opened is a database of its own.
func opened(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dbtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// request is a GET with these headers.
func request(t *testing.T, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8080/deployments", nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// ask is who the authenticator takes the sender of a token for.
func ask(t *testing.T, a *auth.Authenticator, token string) (authz.Principal, error) {
	t.Helper()
	return a.Authenticate(request(t, "Authorization", "Bearer "+token))
}

func refused(t *testing.T, err error, code problem.Code) {
	t.Helper()
	if problem.CodeOf(err) != code {
		t.Errorf("%v is not %s", err, code)
	}
}
