package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// connections is the pool. What is asked in the context of a keyed request goes to that request's transaction instead, so
// that everything the request does is committed with its answer or not at all.
type connections struct{ *pgxpool.Pool }

type transactionKey struct{}

// transaction is the transaction that the context belongs to, nil when there is none.
func transaction(ctx context.Context) pgx.Tx {
	tx, _ := ctx.Value(transactionKey{}).(pgx.Tx)
	return tx
}

// Begin starts a transaction, or a savepoint within that of the context.
func (c connections) Begin(ctx context.Context) (pgx.Tx, error) {
	if tx := transaction(ctx); tx != nil {
		return tx.Begin(ctx) //nolint:wrapcheck // the caller says what was tried
	}
	return c.Pool.Begin(ctx) //nolint:wrapcheck // the caller says what was tried
}

// Query is pgx.Tx.Query.
func (c connections) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if tx := transaction(ctx); tx != nil {
		return tx.Query(ctx, sql, args...) //nolint:wrapcheck // the caller says what was tried
	}
	return c.Pool.Query(ctx, sql, args...) //nolint:wrapcheck // the caller says what was tried
}

// QueryRow is pgx.Tx.QueryRow.
func (c connections) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if tx := transaction(ctx); tx != nil {
		return tx.QueryRow(ctx, sql, args...)
	}
	return c.Pool.QueryRow(ctx, sql, args...)
}

// Exec is pgx.Tx.Exec.
func (c connections) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if tx := transaction(ctx); tx != nil {
		return tx.Exec(ctx, sql, args...) //nolint:wrapcheck // the caller says what was tried
	}
	return c.Pool.Exec(ctx, sql, args...) //nolint:wrapcheck // the caller says what was tried
}

// SendBatch is pgx.Tx.SendBatch.
func (c connections) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if tx := transaction(ctx); tx != nil {
		return tx.SendBatch(ctx, b)
	}
	return c.Pool.SendBatch(ctx, b)
}
