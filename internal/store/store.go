package store

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"rollcall/internal/seal"
)

// Defaults that hold unless the database's URL sets them.
const (
	connectTimeout   = 3 * time.Second
	statementTimeout = "10s"
	// idleInTransaction frees the rows that a frozen replica has locked before its lease has ended.
	idleInTransaction = "4s"
	leastConnections  = 8
	connectionsPerCPU = 2
)

// Store is the database. Its methods may be called from any goroutine; they give a problem.Error with CodeUnavailable
// when the database cannot be reached or does not answer in time.
type Store struct {
	pool        connections
	subscribers *subscribers
	box         *seal.Box // nil: no secret is taken
}

// Open prepares a pool of connections to a PostgreSQL URL or DSN. It connects only when first asked for something, so an
// error means that the URL itself is wrong.
func Open(ctx context.Context, databaseURL string, options ...Option) (*Store, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("read the database's URL: %w", err)
	}
	setDefaults(config, databaseURL)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("prepare the pool of database connections: %w", err)
	}
	s := &Store{pool: connections{pool}, subscribers: &subscribers{}}
	for _, option := range options {
		option(s)
	}
	return s, nil
}

// Apart is the same database over connections of its own, so that whoever uses it never waits for those that s has given
// out. What one of the two hears is told to the subscribers of both. Each is closed by itself.
func (s *Store) Apart(ctx context.Context) (*Store, error) {
	pool, err := pgxpool.NewWithConfig(ctx, s.pool.Config())
	if err != nil {
		return nil, fmt.Errorf("prepare a second pool of database connections: %w", err)
	}
	return &Store{pool: connections{pool}, subscribers: s.subscribers, box: s.box}, nil
}

func setDefaults(config *pgxpool.Config, databaseURL string) {
	if !strings.Contains(databaseURL, "pool_max_conns") {
		config.MaxConns = int32(max(leastConnections, connectionsPerCPU*runtime.NumCPU())) //nolint:gosec // no machine has 2³¹ cores
	}
	conn := config.ConnConfig
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
		conn.DialFunc = (&net.Dialer{Timeout: connectTimeout}).DialContext
	}
	if _, set := conn.RuntimeParams["application_name"]; !set {
		conn.RuntimeParams["application_name"] = "rollcall"
	}
	conn.AfterConnect = apply(sessionSettings(&conn.Config))
}

// Close gives all connections back; what still runs is awaited.
func (s *Store) Close() { s.pool.Close() }

// Pool is the pool of connections, for its figures.
func (s *Store) Pool() *pgxpool.Pool { return s.pool.Pool }
