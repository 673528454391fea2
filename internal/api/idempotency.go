package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/api/httpkit"
	"rollcall/internal/storage"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/go-chi/chi/v5"
)

const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotency-Replayed"
)

// handleIdempotencyKey executes requests with an idempotency key once. All that such a request does in the store is one
// transaction with its key and its response. A rejected request undoes all of it, and leaves the key free.
//
// POST /deployments takes its key by itself, in store.CreateDeployment: what is kept of it is a deployment, which the
// previous release reads and writes too, and which Git sources name for longer than a day.
func (s *server) handleIdempotencyKey(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, err := s.keyOf(r)
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		if key.Value == "" {
			next.ServeHTTP(w, r)
			return
		}
		known, inside, err := s.keys.TakeKey(r.Context(), key)
		switch {
		case err != nil:
			s.writeError(w, r, err)
		case known != nil:
			known.Header[headerReplayed] = "true"
			writeResponse(w, known)
		default:
			s.runOnce(w, r.WithContext(inside(r.Context())), key, next)
		}
	})
}

// runOnce executes a request whose key was free.
func (s *server) runOnce(w http.ResponseWriter, r *http.Request, key storage.IdempotencyKey, next http.Handler) {
	defer s.keys.DropKey(r.Context()) // also in a panic
	written := &httpkit.Recorder{}
	next.ServeHTTP(written, r)
	answer := recordedResponse(written)
	answer.Secret = routeOf(r) == "POST /tokens"
	if answer.Status >= http.StatusMultipleChoices {
		s.keys.DropKey(r.Context()) // before the caller learns of it, and asks again
	} else if err := s.keys.KeepResponse(r.Context(), key, answer); err != nil {
		s.writeError(w, r, err)
		return
	}
	writeResponse(w, &answer)
}

// keyOf returns the key of a request; the zero key when it has none, or its operation accepts none.
func (s *server) keyOf(r *http.Request) (storage.IdempotencyKey, error) {
	given := r.Header.Values(headerKey)
	route := routeOf(r)
	if len(given) == 0 || route == "POST /deployments" || !takesKey(s.contract.routes[route]) {
		return storage.IdempotencyKey{}, nil
	}
	if len(given) > 1 {
		return storage.IdempotencyKey{}, httpkit.MalformedError("the header " + headerKey + " must be given once")
	}
	key, err := idempotencyKey(r.Context(), &given[0])
	if err != nil || r.URL.Query().Get("dry_run") == "true" { // nothing is done, so there is nothing to do once
		return storage.IdempotencyKey{}, err
	}
	key.Hash = sha256.Sum256(fmt.Appendf(nil, "%s %s?%s\n%x", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, key.Hash))
	return key, nil
}

// takesKey reports whether the operation has the header as a parameter.
func takesKey(route *routers.Route) bool {
	return route != nil && slices.ContainsFunc(parametersOf(route), func(p *openapi3.Parameter) bool {
		return p.In == openapi3.ParameterInHeader && p.Name == headerKey
	})
}

func routeOf(r *http.Request) string {
	return r.Method + " " + chi.RouteContext(r.Context()).RoutePattern()
}

// idempotencyKey returns the caller's name for the request, with the hash of its body; the zero key when there is none.
func idempotencyKey(ctx context.Context, given *string) (storage.IdempotencyKey, error) {
	if given == nil {
		return storage.IdempotencyKey{}, nil
	}
	if *given == "" || !utf8.ValidString(*given) || strings.ContainsFunc(*given, unicode.IsControl) || strings.ContainsFunc(*given, httpkit.IsDeceptive) {
		return storage.IdempotencyKey{}, httpkit.MalformedError("the header Idempotency-Key must be text of 1 to 255 characters")
	}
	return storage.IdempotencyKey{Caller: principalName(ctx), Value: *given, Hash: bodyHash(ctx)}, nil
}

// recordedResponse returns a response as the store keeps it.
func recordedResponse(r *httpkit.Recorder) storage.Response {
	a := storage.Response{Status: r.Status(), Header: map[string]string{}, Body: r.Body()}
	for name := range r.Header() {
		a.Header[name] = r.Header().Get(name)
	}
	return a
}

// writeResponse writes a stored response.
func writeResponse(w http.ResponseWriter, a *storage.Response) {
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		w.Header().Set(name, a.Header[name])
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) //nolint:gosec // JSON that this API made; the caller who went away learns nothing
}
