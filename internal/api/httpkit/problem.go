package httpkit

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/problem"
)

const (
	// MaxFieldErrors is the maximum number of problems that are reported of one request.
	MaxFieldErrors = 50
	// retryAfter is the number of seconds in Retry-After when the server is unavailable, or works on the same request.
	retryAfter = 1
	// problemKinds starts the type of every problem.
	problemKinds = "urn:rollcall:problem:"
)

// Refusal is an error that is specific to HTTP.
type Refusal struct {
	Status int
	// Kind ends the type of the problem.
	Kind   string
	Title  string
	Detail string
	// Allow lists the methods that the path supports; only with 405.
	Allow []string
}

func (r *Refusal) Error() string { return r.Title + ": " + r.Detail }

// MalformedError returns the error of a request that cannot be parsed.
func MalformedError(detail string) error {
	return &Refusal{Status: http.StatusBadRequest, Kind: "malformed", Title: "Malformed request", Detail: detail}
}

// UnsupportedTypeError returns the error of a body whose type or encoding is not supported.
func UnsupportedTypeError(detail string) error {
	return &Refusal{
		Status: http.StatusUnsupportedMediaType, Kind: "unsupported-type",
		Title: "Unsupported media type", Detail: detail,
	}
}

func tooLargeError(limit int64) error {
	return &Refusal{
		Status: http.StatusRequestEntityTooLarge, Kind: "too-large",
		Title: "Request body too large", Detail: "the limit is " + strconv.FormatInt(limit, 10) + " bytes",
	}
}

// InvalidField returns the CodeInvalid error of one field of a request.
func InvalidField(pointer, detail string) error {
	return problem.Invalid([]problem.FieldError{{Pointer: pointer, Detail: detail}})
}

// document is the body of a problem: the schema Problem of openapi.yaml.
type document struct {
	DeploymentID string `json:"deployment_id,omitempty"`
	Detail       string `json:"detail"`
	Errors       []part `json:"errors,omitempty"`
	Status       int    `json:"status"`
	Title        string `json:"title"`
	Type         string `json:"type"`
}

// part is a field of a request with its problem.
type part struct {
	Detail  string `json:"detail"`
	Pointer string `json:"pointer"`
}

// problemOf returns the problem of an error. It is the only place that chooses a status. An error without a code is internal:
// its details are not shown.
func problemOf(err error) document {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return document{Type: problemKinds + r.Kind, Title: r.Title, Status: r.Status, Detail: r.Detail}
	}
	e, ok := errors.AsType[*problem.Error](err)
	if !ok {
		e = &problem.Error{Message: "Internal error; search the server log for this X-Request-Id."}
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			e = &problem.Error{Code: problem.CodeUnavailable, Message: "the database did not answer in time"}
		}
	}
	p := problemFor(e.Code)
	p.Detail = e.Message
	p.DeploymentID = e.ID
	for _, field := range e.Fields[:min(len(e.Fields), MaxFieldErrors)] {
		p.Errors = append(p.Errors, part{Pointer: field.Pointer, Detail: field.Detail})
	}
	return p
}

// problemFor maps a code to its status.
func problemFor(code problem.Code) document {
	type kind struct {
		status      int
		name, title string
	}
	k, known := map[problem.Code]kind{
		problem.CodeInvalid:         {http.StatusUnprocessableEntity, "invalid", "Invalid request"},
		problem.CodeNotFound:        {http.StatusNotFound, "not-found", "Not found"},
		problem.CodeConflict:        {http.StatusConflict, "conflict", "Conflict with current state"},
		problem.CodeOwnershipLost:   {http.StatusConflict, "conflict", "Conflict with current state"},
		problem.CodeInProgress:      {http.StatusConflict, "in-progress", "Request in progress"},
		problem.CodeKeyReused:       {http.StatusUnprocessableEntity, "key-reused", "Idempotency-Key reused"},
		problem.CodeStale:           {http.StatusPreconditionFailed, "stale", "Precondition failed"},
		problem.CodeUnauthenticated: {http.StatusUnauthorized, "unauthenticated", "Authentication required"},
		problem.CodeForbidden:       {http.StatusForbidden, "forbidden", "Forbidden"},
		problem.CodeRateLimited:     {http.StatusTooManyRequests, "too-many", "Too many requests"},
		problem.CodeBadSignature:    {http.StatusUnauthorized, "unsigned", "Invalid signature"},
		problem.CodeUnavailable:     {http.StatusServiceUnavailable, "unavailable", "Service unavailable"},
	}[code]
	if !known {
		k = kind{http.StatusInternalServerError, "failure", "Internal error"}
	}
	return document{Type: problemKinds + k.name, Title: k.title, Status: k.status}
}

// WriteError responds with the problem of err. It is the only place where errors of requests are logged.
func WriteError(w http.ResponseWriter, r *http.Request, err error, log *slog.Logger) {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		level := slog.LevelError
		if p.Status == http.StatusServiceUnavailable {
			level = slog.LevelWarn
		}
		log.Log(r.Context(), level, "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	h := w.Header()
	if refused, ok := errors.AsType[*Refusal](err); ok && len(refused.Allow) > 0 {
		h.Set("Allow", strings.Join(refused.Allow, ", "))
	}
	switch {
	case p.Status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", authChallenge(r))
	case p.Status == http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(secondsUntil(err)))
	case p.Status == http.StatusServiceUnavailable, p.Type == problemKinds+"in-progress":
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	writeProblem(w, r, p, log)
}

// authChallenge returns the required credential (RFC 6750, section 3).
func authChallenge(r *http.Request) string {
	if r.Header.Get("Authorization") == "" {
		return `Bearer realm="rollcall"`
	}
	return `Bearer realm="rollcall", error="invalid_token"`
}

// secondsUntil returns how long a rate-limited caller should wait, rounded up.
func secondsUntil(err error) int {
	e, ok := errors.AsType[*problem.Error](err)
	if !ok || e.RetryAfter <= time.Second {
		return retryAfter
	}
	return int(math.Ceil(e.RetryAfter.Seconds()))
}

func writeProblem(w http.ResponseWriter, r *http.Request, p document, log *slog.Logger) {
	body, err := json.Marshal(p)
	if err != nil {
		log.ErrorContext(r.Context(), "failed to encode problem response", "error", err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the caller went away: there is nothing to report it to
}
