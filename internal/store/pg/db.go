package pg

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Defaults that hold unless the database's URL sets them.
const (
	connectTimeout    = 3 * time.Second
	statementTimeout  = "10s"
	minConnections    = 8
	connectionsPerCPU = 2
	// idleInTransaction frees the rows that a frozen replica has locked before its lease has ended.
	idleInTransaction = "4s"
)

// DB is a pool of connections to the database. In a context that WithTx has made every query goes to that transaction
// instead, so that everything a keyed request does is committed with its response or not at all.
type DB struct {
	pool        *pgxpool.Pool
	subscribers *subscribers
	announcer   announcer
	log         *slog.Logger
}

// Open prepares a pool of connections to a PostgreSQL URL or DSN. It connects only when first used, so an error means that
// the URL itself is wrong.
func Open(ctx context.Context, databaseURL string, log *slog.Logger) (*DB, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("read the database's URL: %w", err)
	}
	setDefaults(config, databaseURL)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("prepare the pool of database connections: %w", err)
	}
	return &DB{pool: pool, subscribers: &subscribers{}, log: log}, nil
}

// WithOwnPool returns the same database over connections of its own, whose users never wait for those of db. A notification
// that one of the two receives reaches the subscribers of both. Each is closed by itself.
func (db *DB) WithOwnPool(ctx context.Context) (*DB, error) {
	pool, err := pgxpool.NewWithConfig(ctx, db.pool.Config())
	if err != nil {
		return nil, fmt.Errorf("prepare a second pool of database connections: %w", err)
	}
	return &DB{pool: pool, subscribers: db.subscribers, log: db.log}, nil
}

func setDefaults(config *pgxpool.Config, databaseURL string) {
	if !strings.Contains(databaseURL, "pool_max_conns") {
		config.MaxConns = int32(max(minConnections, connectionsPerCPU*runtime.NumCPU())) //nolint:gosec // no machine has 2³¹ cores
	}
	conn := config.ConnConfig
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
		conn.DialFunc = (&net.Dialer{Timeout: connectTimeout}).DialContext
	}
	if _, set := conn.RuntimeParams["application_name"]; !set {
		conn.RuntimeParams["application_name"] = "rollcall"
	}
	conn.AfterConnect = settingsHook(sessionSettings(&conn.Config))
}

// Close returns all connections, and waits for the queries that still run.
func (db *DB) Close() {
	db.announcer.sending.Wait()
	db.pool.Close()
}

// Pool returns the pool of connections, for its figures.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

type contextTx struct{}

// WithTx returns a context in which all queries are part of the transaction.
func WithTx(ctx context.Context, tx pgx.Tx) context.Context {
	return context.WithValue(ctx, contextTx{}, tx)
}

// TxOf returns the transaction of a context that WithTx has made, else nil.
func TxOf(ctx context.Context) pgx.Tx {
	tx, _ := ctx.Value(contextTx{}).(pgx.Tx)
	return tx
}

// Begin starts a transaction, or a savepoint within that of the context.
func (db *DB) Begin(ctx context.Context) (pgx.Tx, error) {
	if tx := TxOf(ctx); tx != nil {
		return tx.Begin(ctx) //nolint:wrapcheck // the caller names the operation
	}
	return db.pool.Begin(ctx) //nolint:wrapcheck // the caller names the operation
}

// Query runs a query.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if tx := TxOf(ctx); tx != nil {
		return tx.Query(ctx, sql, args...) //nolint:wrapcheck // the caller names the operation
	}
	return db.pool.Query(ctx, sql, args...) //nolint:wrapcheck // the caller names the operation
}

// QueryRow runs a query of one row.
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if tx := TxOf(ctx); tx != nil {
		return tx.QueryRow(ctx, sql, args...)
	}
	return db.pool.QueryRow(ctx, sql, args...)
}

// Exec runs a statement.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if tx := TxOf(ctx); tx != nil {
		return tx.Exec(ctx, sql, args...) //nolint:wrapcheck // the caller names the operation
	}
	return db.pool.Exec(ctx, sql, args...) //nolint:wrapcheck // the caller names the operation
}

// SendBatch runs a batch.
func (db *DB) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if tx := TxOf(ctx); tx != nil {
		return tx.SendBatch(ctx, b)
	}
	return db.pool.SendBatch(ctx, b)
}
