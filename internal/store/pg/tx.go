package pg

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// maxTries bounds how often a transaction is run that lost a race; PostgreSQL has then undone all of it.
const maxTries = 5

// InTx runs do in a transaction, and again when that lost a race against another one, as lostRace or one of also finds.
func (db *DB) InTx(ctx context.Context, do func(tx pgx.Tx) error, also ...func(error) bool) error {
	return Retry(func() error { return pgx.BeginFunc(ctx, db, do) }, also...)
}

// Retry calls try again while its error is a lost race, as lostRace or one of also finds.
func Retry(try func() error, also ...func(error) bool) (err error) {
	for range maxTries {
		if err = try(); !lostRace(err, also) {
			break
		}
	}
	return err
}

func lostRace(err error, also []func(error) bool) bool {
	for _, lost := range also {
		if lost(err) {
			return true
		}
	}
	return HasState(err, serializationFailure, DeadlockDetected)
}

// InSnapshot runs do in a transaction that only reads, and in which all statements see the same.
func (db *DB) InSnapshot(ctx context.Context, do func(tx pgx.Tx) error) error {
	//nolint:wrapcheck // the caller names the operation
	return pgx.BeginTxFunc(ctx, db.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, do)
}
