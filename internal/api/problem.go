package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/types"
	"rollcall/internal/problem"
)

const (
	// maxProblems bounds how many wrong parts of a request are reported.
	maxProblems = 50
	// retryAfter is how many seconds a caller shall wait when the server cannot work, or works on the same request.
	retryAfter = 1
	// problemKinds starts the type of every problem.
	problemKinds = "urn:rollcall:problem:"
)

// refusal is an error that only HTTP knows.
type refusal struct {
	status int
	kind   string
	title  string
	detail string
	// allow lists the methods that would be taken; only with 405.
	allow []string
}

func (r *refusal) Error() string { return r.title + ": " + r.detail }

func errMalformed(detail string) error {
	return &refusal{status: http.StatusBadRequest, kind: "malformed", title: "Malformed request", detail: detail}
}

func errUnsupportedType(detail string) error {
	return &refusal{
		status: http.StatusUnsupportedMediaType, kind: "unsupported-type",
		title: "Unsupported media type", detail: detail,
	}
}

func errTooLarge(limit int64) error {
	return &refusal{
		status: http.StatusRequestEntityTooLarge, kind: "too-large",
		title: "Request body too large", detail: "the limit is " + strconv.FormatInt(limit, 10) + " bytes",
	}
}

func errNotFound(detail string) error {
	return &problem.Error{Code: problem.CodeNotFound, Message: detail}
}

func errNoRoute(*http.Request) error { return errNotFound("no such path") }

func errMethod(r *http.Request, allowed []string) error {
	return &refusal{
		status: http.StatusMethodNotAllowed, kind: "method-not-allowed", title: "Method not allowed",
		detail: "not supported by this path: " + strconv.Quote(r.Method), allow: allowed,
	}
}

func errInvalidAt(pointer, detail string) error {
	return problem.Invalid([]problem.FieldError{{Pointer: pointer, Detail: detail}})
}

// problemOf returns the response to an error, the only place where an error gets its status. What has no code is a fault
// whose details stay here.
func problemOf(err error) types.Problem {
	if r, ok := errors.AsType[*refusal](err); ok {
		return types.Problem{Type: problemKinds + r.kind, Title: r.title, Status: r.status, Detail: r.detail}
	}
	if p, ok := parameterProblem(err); ok {
		return p
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
	if e.ID != "" {
		p.DeploymentID = &e.ID
	}
	if len(e.Fields) > 0 {
		p.Errors = problemParts(e.Fields)
	}
	return p
}

// problemFor maps a code to its status.
func problemFor(code problem.Code) types.Problem {
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
	return types.Problem{Type: problemKinds + k.name, Title: k.title, Status: k.status}
}

// parameterProblem returns the problem that the generated binding of parameters found.
func parameterProblem(err error) (types.Problem, bool) {
	if e, ok := errors.AsType[*gen.TooManyValuesForParamError](err); ok {
		return problemOf(errMalformed("the header " + e.ParamName + " must be given once")), true
	}
	if e, ok := errors.AsType[*gen.InvalidParamFormatError](err); ok {
		return problemOf(errInvalidAt("/"+e.ParamName, "is not valid")), true
	}
	if e, ok := errors.AsType[*gen.RequiredParamError](err); ok {
		return problemOf(errInvalidAt("/"+e.ParamName, "is required")), true
	}
	return types.Problem{}, false
}

// decodingError returns the error of a body that its schema accepts and Go cannot decode: a number such as 1.0 or 1e2 for
// an integer.
func decodingError(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		pointer := "/" + strings.ReplaceAll(e.Field, ".", "/")
		return errInvalidAt(pointer, "must be an integer within range")
	}
	return err
}

func problemParts(problems []problem.FieldError) *[]types.ProblemPart {
	parts := make([]types.ProblemPart, 0, min(len(problems), maxProblems))
	for _, p := range problems[:min(len(problems), maxProblems)] {
		parts = append(parts, types.ProblemPart{Pointer: p.Pointer, Detail: p.Detail})
	}
	return &parts
}

// writeError responds with the problem of err. It is the only place where errors of requests are logged.
func (s *server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		level := slog.LevelError
		if p.Status == http.StatusServiceUnavailable {
			level = slog.LevelWarn
		}
		s.log.Log(r.Context(), level, "request failed",
			"request_id", requestID(r.Context()), "method", r.Method, "path", r.URL.Path, "error", err)
	}
	h := w.Header()
	if refused, ok := errors.AsType[*refusal](err); ok && len(refused.allow) > 0 {
		h.Set("Allow", strings.Join(refused.allow, ", "))
	}
	switch {
	case p.Status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", authChallenge(r))
	case p.Status == http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(secondsUntil(err)))
	case p.Status == http.StatusServiceUnavailable, p.Type == problemKinds+"in-progress":
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	s.writeProblem(w, r, p)
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

func (s *server) writeProblem(w http.ResponseWriter, r *http.Request, p types.Problem) {
	body, err := json.Marshal(p)
	if err != nil {
		s.log.ErrorContext(r.Context(), "failed to encode problem response", "request_id", requestID(r.Context()), "error", err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the caller went away: there is nothing to report it to
}

// ruleExtension says in openapi.yaml, for people, what a pattern demands.
const ruleExtension = "x-rule"

// fieldErrorsOf returns the violations of a schema, in the order of their pointers.
func fieldErrorsOf(err error) []problem.FieldError {
	var problems []problem.FieldError
	for _, e := range schemaErrors(err) {
		if problems = append(problems, fieldErrors(e)...); len(problems) > maxProblems*maxProblems {
			break
		}
	}
	slices.SortStableFunc(problems, func(a, b problem.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	return slices.Compact(problems)
}

func schemaErrors(err error) []*openapi3.SchemaError {
	if many, ok := errors.AsType[openapi3.MultiError](err); ok {
		var all []*openapi3.SchemaError
		for _, e := range many {
			all = append(all, schemaErrors(e)...)
		}
		return all
	}
	if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		return []*openapi3.SchemaError{e}
	}
	return nil
}

func fieldErrors(e *openapi3.SchemaError) []problem.FieldError {
	var pointer strings.Builder
	for _, step := range e.JSONPointer() {
		pointer.WriteString("/" + escapePointer(step))
	}
	if e.SchemaField == "properties" {
		if problems := unknownFields(pointer.String(), e); len(problems) > 0 {
			return problems
		}
	}
	return []problem.FieldError{{Pointer: pointer.String(), Detail: detailOf(e)}}
}

// unknownFields names all fields that the object must not have; kin-openapi only points at the object.
func unknownFields(pointer string, e *openapi3.SchemaError) []problem.FieldError {
	object, ok := e.Value.(map[string]any)
	if !ok {
		return nil
	}
	var problems []problem.FieldError
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if _, known := e.Schema.Properties[name]; !known && len(problems) < maxProblems {
			problems = append(problems, problem.FieldError{
				Pointer: pointer + "/" + escapePointer(name), Detail: "is not a known field",
			})
		}
	}
	return problems
}

// detailOf never repeats the value: it may be a secret.
func detailOf(e *openapi3.SchemaError) string {
	switch e.SchemaField {
	case "required":
		return "is required"
	case "pattern":
		if rule, ok := e.Schema.Extensions[ruleExtension].(string); ok {
			return rule
		}
		return "does not have the right form"
	case "nullable":
		return "must not be null"
	case "":
		return "is not valid"
	default:
		return e.Reason
	}
}
