package pg

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
func (db *DB) Ping(ctx context.Context) error {
	type facts struct{ Standby, ReadOnly bool }
	f, err := QueryOne(ctx, db, pgx.RowToStructByPos[facts], `SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean`)
	if err != nil {
		return Wrap("ping the database", err)
	}
	return checkWritable(f.Standby, f.ReadOnly)
}

func checkWritable(standby, readOnly bool) error {
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
func (db *DB) CheckServer(ctx context.Context) (warnings []string, err error) {
	config := db.pool.Config().ConnConfig
	first, err := connectPlain(ctx, config)
	if err != nil {
		return nil, Wrap("look at the database", err)
	}
	defer closePlain(ctx, first)
	facts, err := askPlain(ctx, first, serverFactsSQL)
	if err != nil {
		return nil, Wrap("look at the database", err)
	}
	if warnings, err = judgeServer(facts); err != nil {
		return nil, err
	}
	second, err := connectPlain(ctx, config)
	if err != nil {
		return nil, Wrap("look at the database", err)
	}
	defer closePlain(ctx, second)
	shared, err := shareSessions(ctx, first, second)
	switch {
	case err != nil:
		return nil, Wrap("look for a pooler before the database", err)
	case shared:
		return nil, errors.New(poolerMessage)
	default:
		return warnings, nil
	}
}

const poolerMessage = "a pooler before the database serves several connections by one session, as PgBouncer does with " +
	"pool_mode=transaction: set pool_mode=session, or connect to PostgreSQL itself"

// serverFactsSQL selects whether the version is too old, the version, and the other facts that judgeServer checks.
const serverFactsSQL = `SELECT current_setting('server_version_num')::int < 10000 * ` + oldestServer + `, current_setting('server_version'),
	current_setting('server_encoding'), pg_is_in_recovery(), current_setting('transaction_read_only')`

// judgeServer returns an error for a database that cannot be used; facts are those of serverFactsSQL.
func judgeServer(facts []string) (warnings []string, err error) {
	if encoding := facts[2]; encoding != "UTF8" {
		return nil, fmt.Errorf("the database keeps text as %s and not as UTF8, so names and messages would be lost or refused: make another one with "+
			"CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	if err := checkWritable(facts[3] == "t", facts[4] == "on"); err != nil {
		return nil, err
	}
	if facts[0] == "t" {
		warnings = append(warnings, "PostgreSQL "+facts[1]+" is older than what Rollcall is tested with: use version "+oldestServer+" or later")
	}
	return warnings, nil
}

// sessionRounds is how often two connections are compared: a round-robin pooler serves each by another session each time.
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

// connectPlain connects without the settings of a store, which a shared session would keep.
func connectPlain(ctx context.Context, config *pgx.ConnConfig) (*pgconn.PgConn, error) {
	plain := config.Config.Copy()
	plain.AfterConnect = nil
	return pgconn.ConnectConfig(ctx, plain) //nolint:wrapcheck // the caller names the operation
}

// askPlain returns the one row of a statement without parameters, as text: no encoding is assumed.
func askPlain(ctx context.Context, conn *pgconn.PgConn, sql string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionTimeout)
	defer cancel()
	_ = conn.Close(ctx) // the answers have been read
}
