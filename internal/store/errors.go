package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"rollcall/internal/rollout"
)

// The SQLSTATE codes that something is decided by (PostgreSQL, appendix A).
const (
	uniqueViolation      = "23505"
	readOnly             = "25006"
	idleTooLong          = "25P03"
	transactionTooLong   = "25P04"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	queryCanceled        = "57014"
)

// unavailableClasses are those of lost connections, exhausted resources, an operator's intervention, and system errors.
func unavailableClass(code string) bool {
	for _, class := range []string{"08", "53", "57P", "58"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

// failed says what was tried. An error with a code passes as it is; a database that cannot be reached becomes one with
// CodeUnavailable; nil stays nil.
func failed(tried string, err error) error {
	switch {
	case err == nil:
		return nil
	case rollout.ErrorCode(err) != "":
		return err
	case unavailable(err):
		return &rollout.Error{
			Code: rollout.CodeUnavailable, Message: "the database cannot be reached", Err: fmt.Errorf("%s: %w", tried, err),
		}
	default:
		return fmt.Errorf("%s: %w", tried, err)
	}
}

// unavailable reports whether the same call may succeed later without anybody changing it.
func unavailable(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case readOnly, idleTooLong, transactionTooLong, serializationFailure, deadlockDetected, lockNotAvailable, queryCanceled:
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

// hasState reports whether PostgreSQL answered with one of these codes.
func hasState(err error, codes ...string) bool {
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

// violates reports whether err is a violation of that unique index.
func violates(err error, index string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == uniqueViolation && pg.ConstraintName == index
}

func notFound(id string) error {
	return &rollout.Error{Code: rollout.CodeNotFound, Message: fmt.Sprintf("there is no deployment %q", id)}
}
