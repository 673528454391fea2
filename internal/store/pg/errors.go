package pg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"rollcall/internal/problem"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// SQLSTATE codes that decisions depend on (PostgreSQL, appendix A).
const (
	uniqueViolation      = "23505"
	readOnly             = "25006"
	idleTooLong          = "25P03"
	transactionTooLong   = "25P04"
	serializationFailure = "40001"
	DeadlockDetected     = "40P01"
	LockNotAvailable     = "55P03"
	queryCanceled        = "57014"
)

// unavailableClass reports whether a code is in a class of lost connections, exhausted resources, an operator's intervention, and system errors.
func unavailableClass(code string) bool {
	for _, class := range []string{"08", "53", "57P", "58"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

// Wrap adds the operation to an error. An error with a code stays as it is; a database that cannot be reached, or cannot work
// now, becomes CodeUnavailable with the reason as its message; nil stays nil.
func Wrap(operation string, err error) error {
	switch {
	case err == nil:
		return nil
	case problem.CodeOf(err) != "":
		return err
	case isUnavailable(err):
		return &problem.Error{
			Code: problem.CodeUnavailable, Message: unavailableMessage(err), Err: fmt.Errorf("%s: %w", operation, err),
		}
	default:
		return fmt.Errorf("%s: %w", operation, err)
	}
}

// isUnavailable reports whether the same call may succeed later, unchanged.
func isUnavailable(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case readOnly, idleTooLong, transactionTooLong, serializationFailure, DeadlockDetected, LockNotAvailable, queryCanceled:
			return true
		default:
			return unavailableClass(pg.Code)
		}
	}
	if errors.Is(err, context.Canceled) {
		return false
	}
	return lostConnection(err)
}

// reasons are messages for users, by SQLSTATE or its prefix; the first that matches counts.
var reasons = []struct{ code, message string }{
	{readOnly, readOnlyMessage},
	{queryCanceled, "a statement took longer than the database allows"},
	{idleTooLong, "a transaction took longer than the database allows"},
	{transactionTooLong, "a transaction took longer than the database allows"},
	{LockNotAvailable, "a lock in the database was not free in time"},
	{serializationFailure, "a transaction was in the way of others too often"},
	{DeadlockDetected, "a transaction was in the way of others too often"},
	{"53100", "the database's disk is full"},
	{"53300", "the database has no connection left"},
	{"53", "the database lacks resources"},
	{"57P", "the database is starting, stopping or closed to connections"},
	{"58", "the database's machine has failed"},
}

func unavailableMessage(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		for _, reason := range reasons {
			if strings.HasPrefix(pg.Code, reason.code) {
				return reason.message
			}
		}
	} else if errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) {
		return "the database did not answer in time"
	}
	return "the database cannot be reached"
}

func lostConnection(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, gone := range []error{
		context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, puddle.ErrClosedPool,
	} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return pgconn.Timeout(err) || pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}

// HasState reports whether an error has one of these codes.
func HasState(err error, codes ...string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if pg.Code == code {
			return true
		}
	}
	return false
}

// ViolatesIndex reports whether err is a violation of that unique index.
func ViolatesIndex(err error, index string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == uniqueViolation && pg.ConstraintName == index
}
