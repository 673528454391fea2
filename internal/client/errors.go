package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"rollcall/internal/api/gen"
)

// Refusal is a server's no.
type Refusal struct {
	Status  int
	Problem gen.Problem
}

// newRefusal reads the problem that an answer tells of; what is no problem document came from something in between.
func newRefusal(response *http.Response, answer []byte) *Refusal {
	r := &Refusal{Status: response.StatusCode}
	if json.Unmarshal(answer, &r.Problem) != nil || r.Problem.Title == "" {
		r.Problem = gen.Problem{Title: "the server answers " + response.Status, Detail: firstLine(answer)}
	}
	return r
}

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return line[:min(len(line), 200)]
}

// Error says what the server said, in one line.
func (r *Refusal) Error() string {
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

// Unreachable is a server that was given up.
type Unreachable struct {
	URL string
	Err error
	// Sent says that the request may have arrived, and may have been carried out.
	Sent bool
}

func (u *Unreachable) Error() string {
	return fmt.Sprintf("cannot reach Rollcall at %s: %s", u.URL, u.Err)
}

// Unwrap gives what went wrong last.
func (u *Unreachable) Unwrap() error { return u.Err }

// NotRollcall is an answer that Rollcall does not give, such as a login page before it.
type NotRollcall struct {
	// URL is what was asked, Answer what came: the status, the type of the body, and where a redirect leads.
	URL, Answer string
}

func (n *NotRollcall) Error() string {
	return fmt.Sprintf("%s answers %s: this is not Rollcall, or something before it that wants a login. "+
		"Give Rollcall's own URL (--url, ROLLCALL_URL), and let requests with a Rollcall token pass", n.URL, n.Answer)
}

func strange(response *http.Response) error {
	text := response.Status
	if kind := response.Header.Get("Content-Type"); kind != "" {
		text += " with " + kind
	}
	if to := response.Header.Get("Location"); to != "" {
		text += " and redirects to " + to + ", which is not followed"
	}
	return &NotRollcall{URL: response.Request.URL.String(), Answer: text}
}

// passingError is what may go well when it is tried again.
type passingError struct {
	err error
	// after is how long the server asks to wait.
	after time.Duration
	// notSent: the request certainly did not arrive.
	notSent bool
}

func (p *passingError) Error() string { return p.err.Error() }

// lost is a request without an answer.
func lost(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	return &passingError{err: err, notSent: ok && op.Op == "dial"}
}
