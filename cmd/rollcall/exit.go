package main

import (
	"errors"

	"rollcall/internal/client"
)

// The exit codes are part of what CI jobs are written against.
const (
	codeDone        = 0
	codeFailed      = 1
	codeWrongUse    = 2
	codeUnreachable = 3
	codeTimedOut    = 4
	codeInterrupted = 130 // what shells expect after Ctrl-C
)

// wrongUseError is a command that cannot be meant.
type wrongUseError struct{ err error }

func (w *wrongUseError) Error() string { return w.err.Error() }

// failedError is a deployment that ended without success. It was shown already and has no text.
type failedError struct{}

func (failedError) Error() string { return "" }

// interruptedError is a command that a person has broken off. He was told what that means.
type interruptedError struct{}

func (interruptedError) Error() string { return "" }

// timedOutError is a wait that took too long. That was said already and has no text.
type timedOutError struct{}

func (timedOutError) Error() string { return "" }

// codeOf is the exit code for what came of a command.
func codeOf(err error) int {
	wrong, _ := errors.AsType[*wrongUseError](err)
	refused, _ := errors.AsType[*client.Refusal](err)
	_, failed := errors.AsType[failedError](err)
	_, late := errors.AsType[timedOutError](err)
	switch {
	case err == nil:
		return codeDone
	case failed:
		return codeFailed
	case late:
		return codeTimedOut
	case errors.Is(err, interruptedError{}):
		return codeInterrupted
	case wrong != nil, refused != nil && refused.Status < 500:
		return codeWrongUse
	default:
		return codeUnreachable
	}
}
