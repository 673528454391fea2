package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"rollcall/internal/authz"
)

const (
	headerRequestID = "X-Request-Id"
	maxRequestID    = 128
)

type contextKey int

const (
	keyRequestID contextKey = iota
	keyBodyHash
	keyHead
	keyStream
	keyBudget
	keyPrincipal
	keyReauthorize
	keyReceived
)

// requestID returns the id of the request in logs and responses.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(keyRequestID).(string)
	return id
}

// getForHead serves HEAD as GET; net/http leaves the body out.
func getForHead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			r = r.WithContext(context.WithValue(r.Context(), keyHead, true))
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

// isHead reports whether the request was a HEAD.
func isHead(ctx context.Context) bool {
	head, _ := ctx.Value(keyHead).(bool)
	return head
}

// logRequests sets the request's id and logs one line when the request is over.
func (s *server) logRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		id := r.Header.Get(headerRequestID)
		if !isRequestID(id) {
			id = s.newID()
		}
		who := &authz.Principal{}
		r = r.WithContext(withPrincipal(context.WithValue(r.Context(), keyRequestID, id), who))
		w.Header().Set(headerRequestID, id)
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			route := chi.RouteContext(r.Context()).RoutePattern()
			s.log.LogAttrs(r.Context(), logLevel(route), "request",
				slog.String("request_id", id), slog.String("method", r.Method), slog.String("route", route),
				slog.String("path", r.URL.Path), slog.String("caller", who.Name), slog.Int("status", ww.Status()), slog.Int("bytes", ww.BytesWritten()),
				slog.Float64("duration_ms", float64(time.Since(began))/float64(time.Millisecond)))
		}()
		next.ServeHTTP(ww, r)
	})
}

// logLevel returns the debug level for probes, which machines send every few seconds.
func logLevel(route string) slog.Level {
	switch route {
	case "/healthz", "/readyz", "/metrics":
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

func isRequestID(id string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return id != "" && len(id) <= maxRequestID && strings.Trim(id, allowed) == ""
}

// securityHeaders sets the headers that keep a browser from interpreting or embedding a response.
func securityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'") // pages set their own
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// recoverPanics turns a panic into a 500 without details.
func (s *server) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(cause) // net/http's own way to cut a connection
			}
			s.log.ErrorContext(r.Context(), "panic",
				"request_id", requestID(r.Context()), "error", fmt.Sprint(cause), "stack", string(debug.Stack()))
			s.writeError(w, r, fmt.Errorf("panic: %v", cause))
		}()
		next.ServeHTTP(w, r)
	})
}
