package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/rollout"
)

// transactionTries bounds how often a transaction is run that lost a race; PostgreSQL has then undone all of it.
const transactionTries = 5

// inTx runs do in a transaction, and again when it lost a race against another one.
func (s *Store) inTx(ctx context.Context, do func(tx pgx.Tx) error) error {
	var err error
	for range transactionTries {
		err = pgx.BeginFunc(ctx, s.pool, do)
		if !lostRace(err) {
			break
		}
	}
	return err //nolint:wrapcheck // the caller says what was tried
}

func lostRace(err error) bool {
	return hasState(err, serializationFailure, deadlockDetected) || violates(err, oneWaiting)
}

// The unique indexes that callers are told about.
const (
	oneActive  = "deployments_one_active"
	oneWaiting = "deployments_one_waiting"
)

// channel is where changes are announced; the payload is the deployment's id.
const channel = "rollcall"

const notifySQL = `SELECT pg_notify('` + channel + `', $1)`

// progressMark stands before the id of a deployment in notifications that tell of progress: they are for those who watch
// it, and wake no engine.
const progressMark = "="

// canonical reports whether id is a UUID in the one spelling that is accepted.
func canonical(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.String() == id
}

// send runs a batch and returns the first error.
func send(ctx context.Context, tx pgx.Tx, batch *pgx.Batch) error {
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("run the batch: %w", err)
	}
	return nil
}

// instant scans a timestamptz as UTC, NULL as the zero time.
type instant time.Time

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (i *instant) ScanTimestamptz(v pgtype.Timestamptz) error {
	*i = instant{}
	if v.Valid {
		*i = instant(v.Time.UTC())
	}
	return nil
}

// word scans a text, NULL as the empty string.
type word string

// ScanText implements pgtype.TextScanner.
func (w *word) ScanText(v pgtype.Text) error {
	*w = word(v.String)
	return nil
}

// digest scans a bytea as a hash, NULL as none.
type digest rollout.Hash

// ScanBytes implements pgtype.BytesScanner.
func (d *digest) ScanBytes(v []byte) error {
	*d = digest{}
	if n := copy(d[:], v); v != nil && n != len(v) || v != nil && n != len(d) {
		return fmt.Errorf("a hash of %d bytes is stored", len(v))
	}
	return nil
}

// hash is a hash to be written; none is NULL.
func hash(h rollout.Hash) []byte {
	if h.IsZero() {
		return nil
	}
	return h[:]
}

// at is a time to be written; the zero time is NULL.
func at(t time.Time) pgtype.Timestamptz { return pgtype.Timestamptz{Time: t, Valid: !t.IsZero()} }

// text is a string to be written; the empty one is NULL.
func text[S ~string](s S) pgtype.Text { return pgtype.Text{String: string(s), Valid: s != ""} }
