package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"rollcall/internal/api/types"
)

// APIError is a response that is no success.
type APIError struct {
	Status  int
	Problem types.Problem
}

// newAPIError reads a problem document; any other body comes from something between client and server.
func newAPIError(response *http.Response, answer []byte) *APIError {
	r := &APIError{Status: response.StatusCode}
	if json.Unmarshal(answer, &r.Problem) != nil || r.Problem.Title == "" {
		r.Problem = types.Problem{Title: "the server returned " + response.Status, Detail: firstLine(answer)}
	}
	return r
}

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return line[:min(len(line), 200)]
}

// Error returns the problem on one line.
func (r *APIError) Error() string {
	text := r.Problem.Title
	if r.Problem.Detail != "" {
		text += ": " + r.Problem.Detail
	}
	if r.Problem.Errors == nil {
		return text
	}
	for _, part := range *r.Problem.Errors {
		text += fmt.Sprintf("; %s %s", part.Pointer, part.Detail)
	}
	return text
}

// UnreachableError is a server that did not respond within Config.RetryFor.
type UnreachableError struct {
	URL string
	Err error
	// Sent reports that the request may have arrived, and may have been executed.
	Sent bool
}

func (u *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach Rollcall at %s: %s", u.URL, u.Err)
}

// Unwrap returns the last attempt's error.
func (u *UnreachableError) Unwrap() error { return u.Err }

// NotRollcallError is a response that is not Rollcall's, such as a login page of a proxy.
type NotRollcallError struct {
	// URL is the request's, Answer the response: the status, the type of the body, and a redirect's destination.
	URL, Answer string
}

func (n *NotRollcallError) Error() string {
	return fmt.Sprintf("%s returned %s: this is not Rollcall, or a proxy before it requires a login. "+
		"Use Rollcall's own URL (--url, ROLLCALL_URL), and let requests with a Rollcall token pass the proxy", n.URL, n.Answer)
}

func notRollcallError(response *http.Response) error {
	text := response.Status
	if kind := response.Header.Get("Content-Type"); kind != "" {
		text += " with " + kind
	}
	if to := response.Header.Get("Location"); to != "" {
		text += " and redirects to " + to + ", which is not followed"
	}
	return &NotRollcallError{URL: response.Request.URL.String(), Answer: text}
}

// retryableError is a failure that may pass.
type retryableError struct {
	err error
	// after is the server's Retry-After.
	after time.Duration
	// notSent: the request certainly did not arrive.
	notSent bool
}

func (p *retryableError) Error() string { return p.err.Error() }

// transportError returns the error of a request without a response.
func transportError(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	return &retryableError{err: err, notSent: ok && op.Op == "dial"}
}
