package main

import (
	"errors"

	"rollcall/internal/client"
)

// CI jobs depend on the exit codes.
const (
	codeSuccess     = 0
	codeFailed      = 1
	codeUsage       = 2
	codeUnreachable = 3
	codeTimedOut    = 4
	codeInterrupted = 130 // the shells' convention for Ctrl-C
)

// usageError is an invalid command line.
type usageError struct{ err error }

func (w *usageError) Error() string { return w.err.Error() }

// failedError is a deployment that ended without success. It was printed already and has no text.
type failedError struct{}

func (failedError) Error() string { return "" }

// interruptedError is a command that was interrupted. What that means for the deployment was printed already.
type interruptedError struct{}

func (interruptedError) Error() string { return "" }

// timedOutError is a wait that exceeded its timeout. It was printed already and has no text.
type timedOutError struct{}

func (timedOutError) Error() string { return "" }

// exitCode returns the exit code for a command's error.
func exitCode(err error) int {
	usage, _ := errors.AsType[*usageError](err)
	rejected, _ := errors.AsType[*client.APIError](err)
	_, failed := errors.AsType[failedError](err)
	_, late := errors.AsType[timedOutError](err)
	switch {
	case err == nil:
		return codeSuccess
	case failed:
		return codeFailed
	case late:
		return codeTimedOut
	case errors.Is(err, interruptedError{}):
		return codeInterrupted
	case usage != nil, rejected != nil && rejected.Status < 500:
		return codeUsage
	default:
		return codeUnreachable
	}
}
