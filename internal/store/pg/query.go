package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Querier is a pool or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// QueryOne reads the one row that a query returns; pgx.ErrNoRows when there is none.
func QueryOne[T any](ctx context.Context, q Querier, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		var zero T
		return zero, err //nolint:wrapcheck // the caller names the operation
	}
	return pgx.CollectExactlyOneRow(rows, scan) //nolint:wrapcheck // the caller names the operation
}

// QueryAll reads all rows that a query returns.
func QueryAll[T any](ctx context.Context, q Querier, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the operation
	}
	return pgx.CollectRows(rows, scan) //nolint:wrapcheck // the caller names the operation
}

// ExecBatch runs a batch and returns the first error.
func ExecBatch(ctx context.Context, tx pgx.Tx, batch *pgx.Batch) error {
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("run the batch: %w", err)
	}
	return nil
}

// ReadClock returns the database's time.
func ReadClock(ctx context.Context, q Querier) (time.Time, error) {
	var now time.Time
	now, err := QueryOne(ctx, q, func(row pgx.CollectableRow) (time.Time, error) {
		err := row.Scan((*NullTime)(&now))
		return now, err //nolint:wrapcheck // wrapped below
	}, `SELECT clock_timestamp()`)
	if err != nil {
		return now, fmt.Errorf("read the database's clock: %w", err)
	}
	return now, nil
}
