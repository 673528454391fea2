// Package problem has the errors that callers branch on: a code, a sentence for people, and the fields that are wrong.
package problem

import (
	"errors"
	"strings"
	"time"
)

// Code is the kind of an error that callers branch on.
type Code string

// The codes. Anything without one is a fault of the service itself.
const (
	CodeInvalid       Code = "invalid"     // understood, and wrong
	CodeNotFound      Code = "not_found"   // no such thing
	CodeConflict      Code = "conflict"    // not in this state
	CodeStale         Code = "stale"       // planned on an older revision
	CodeOwnershipLost Code = "lost"        // another owner has it
	CodeKeyReused     Code = "mismatch"    // the idempotency key was used for another request
	CodeInProgress    Code = "in_progress" // the same request is still being worked on
	CodeUnavailable   Code = "unavailable" // the database cannot be reached

	CodeUnauthenticated Code = "unauthenticated" // no credential, or one that is not good
	CodeForbidden       Code = "forbidden"       // known, and may not
	CodeRateLimited     Code = "too_many"        // more than the caller may have; later it may succeed
	CodeBadSignature    Code = "unsigned"        // not signed, or not with the right secret
)

// Error is an error with a code and a sentence for people.
type Error struct {
	Code    Code
	Message string
	// Fields are the parts of a request that are wrong; only with CodeInvalid.
	Fields []FieldError
	// ID is the deployment that stands in the way, where there is one.
	ID string
	// RetryAfter is when the same call may succeed; only with CodeRateLimited.
	RetryAfter time.Duration
	// Err is the cause; it is logged and never shown.
	Err error
}

// FieldError points (RFC 6901) at one wrong part of a request.
type FieldError struct {
	Pointer string
	Detail  string
}

// EscapePointer writes a field's name as a step of a Pointer.
func EscapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for _, p := range e.Fields {
		b.WriteString("; " + p.Pointer + ": " + p.Detail)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of err, or "" when it has none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// Invalid returns a CodeInvalid error with the fields found, or nil when there are none.
func Invalid(fields []FieldError) error {
	if len(fields) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Message: "the request is not valid", Fields: fields}
}
