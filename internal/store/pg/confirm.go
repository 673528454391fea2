package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// confirmSQL writes to the log, and to no table.
const confirmSQL = `SELECT pg_logical_emit_message(true, 'rollcall', '')`

// executor is a pool or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// ConfirmDurable makes sure that what was read before it is as durable as a commit. A commit whose response was lost can be read while
// its standby does not have it yet: with synchronous replication that is lost with the primary. A commit of one's own waits
// for all that was written before it. In a transaction it is the transaction's end that waits.
func ConfirmDurable(ctx context.Context, db executor) error {
	if _, err := db.Exec(ctx, confirmSQL, pgx.QueryExecModeExec); err != nil {
		return fmt.Errorf("make sure that what was read is durable: %w", err)
	}
	return nil
}
