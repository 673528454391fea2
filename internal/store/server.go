package store

import (
	"context"
	"errors"
	"fmt"

	"rollcall/internal/problem"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// oldestServer is the oldest version of PostgreSQL that is tested.
const oldestServer = "15"

const (
	readOnlyMessage = "the database is read-only: it is a standby, or default_transaction_read_only is on"
	standbyMessage  = "the database is a standby, and nothing can be written to it: name the primary in the database's URL, or all hosts " +
		"and target_session_attrs=read-write"
	roleReadOnlyMessage = "the database is read-only: default_transaction_read_only is on for the server, the database or the role"
)

// Ping reports whether the database answers and can be written to; if not, the error says why.
func (s *Store) Ping(ctx context.Context) error {
	type facts struct{ Standby, ReadOnly bool }
	f, err := one(ctx, s.pool, pgx.RowToStructByPos[facts], `SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean`)
	if err != nil {
		return failed("ping the database", err)
	}
	return writable(f.Standby, f.ReadOnly)
}

func writable(standby, readOnly bool) error {
	switch {
	case standby:
		return &problem.Error{Code: problem.CodeUnavailable, Message: standbyMessage}
	case readOnly:
		return &problem.Error{Code: problem.CodeUnavailable, Message: roleReadOnlyMessage}
	default:
		return nil
	}
}

// CheckServer reports whether a server can work with the database: that it can be written to, keeps text as UTF-8, and gives
// each connection a session of its own. The error says what to do. warnings are about what is not tested and may work. It
// changes nothing, and needs no schema.
func (s *Store) CheckServer(ctx context.Context) (warnings []string, err error) {
	config := s.pool.Config().ConnConfig
	first, err := connectPlain(ctx, config)
	if err != nil {
		return nil, failed("look at the database", err)
	}
	defer closePlain(ctx, first)
	facts, err := askPlain(ctx, first, serverFactsSQL)
	if err != nil {
		return nil, failed("look at the database", err)
	}
	if warnings, err = judgeServer(facts); err != nil {
		return nil, err
	}
	second, err := connectPlain(ctx, config)
	if err != nil {
		return nil, failed("look at the database", err)
	}
	defer closePlain(ctx, second)
	shared, err := shareSessions(ctx, first, second)
	switch {
	case err != nil:
		return nil, failed("look for a pooler before the database", err)
	case shared:
		return nil, errors.New(poolerMessage)
	default:
		return warnings, nil
	}
}

const poolerMessage = "a pooler before the database serves several connections by one session, as PgBouncer does with " +
	"pool_mode=transaction: set pool_mode=session, or connect to PostgreSQL itself"

// serverFactsSQL asks whether the version is too old, which it is, and what judgeServer judges beside it.
const serverFactsSQL = `SELECT current_setting('server_version_num')::int < 10000 * ` + oldestServer + `, current_setting('server_version'),
	current_setting('server_encoding'), pg_is_in_recovery(), current_setting('transaction_read_only')`

// judgeServer refuses a database that cannot be worked with; facts are those of serverFactsSQL.
func judgeServer(facts []string) (warnings []string, err error) {
	if encoding := facts[2]; encoding != "UTF8" {
		return nil, fmt.Errorf("the database keeps text as %s and not as UTF8, so names and messages would be lost or refused: make another one with "+
			"CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	if err := writable(facts[3] == "t", facts[4] == "on"); err != nil {
		return nil, err
	}
	if facts[0] == "t" {
		warnings = append(warnings, "PostgreSQL "+facts[1]+" is older than what Rollcall is tested with: use version "+oldestServer+" or later")
	}
	return warnings, nil
}

// sessionRounds is how often two connections are compared: a pooler that takes turns gives each another session each time.
const sessionRounds = 3

// shareSessions reports whether two connections were served by the same session of the database.
func shareSessions(ctx context.Context, connections ...*pgconn.PgConn) (bool, error) {
	by := map[string]int{} // session → connection
	for range sessionRounds {
		for i, conn := range connections {
			session, err := askPlain(ctx, conn, `SELECT pg_backend_pid() || ' ' || pg_postmaster_start_time()`)
			if err != nil {
				return false, err
			}
			if other, seen := by[session[0]]; seen && other != i {
				return true, nil
			}
			by[session[0]] = i
		}
	}
	return false, nil
}

// connectPlain connects without settings of ours: a session that is shared would keep them.
func connectPlain(ctx context.Context, config *pgx.ConnConfig) (*pgconn.PgConn, error) {
	plain := config.Config.Copy()
	plain.AfterConnect = nil
	return pgconn.ConnectConfig(ctx, plain) //nolint:wrapcheck // the caller says what was tried
}

// askPlain is the one row that a statement without parameters answers, as text: no encoding is assumed.
func askPlain(ctx context.Context, conn *pgconn.PgConn, sql string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, sessionWithin)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, sessionMissing(ctx, err)
	}
	row := make([]string, len(results[0].Rows[0]))
	for i, value := range results[0].Rows[0] {
		row[i] = string(value)
	}
	return row, nil
}

func closePlain(ctx context.Context, conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionWithin)
	defer cancel()
	_ = conn.Close(ctx) // what was asked is answered
}
