package pg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"rollcall/internal/problem"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// setting is a parameter of a session and its value.
type setting struct{ name, value string }

// defaultSettings hold unless the database's URL or PGOPTIONS sets them.
var defaultSettings = []setting{
	{"statement_timeout", statementTimeout},
	{"idle_in_transaction_session_timeout", idleInTransaction},
	{"jit", "off"}, // it takes longer than any statement here may
}

// pinnedSettings override the role, the database and the URL: every statement here depends on them.
var pinnedSettings = []setting{{"default_transaction_isolation", "read committed"}}

// migrationSettings lift every limit: a migration may take longer than anything else, and that of another replica even longer.
var migrationSettings = []setting{
	{"statement_timeout", "0"},
	{"lock_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"transaction_timeout", "0"},
	{"default_transaction_isolation", "read committed"},
}

// sessionSettings returns the settings of each connection of a store.
func sessionSettings(config *pgconn.Config) []setting {
	var settings []setting
	for _, s := range defaultSettings {
		if _, set := config.RuntimeParams[s.name]; !set && !strings.Contains(os.Getenv("PGOPTIONS"), s.name) {
			settings = append(settings, s)
		}
	}
	return append(settings, pinnedSettings...)
}

// settingsHook returns a hook that applies settings to each new connection. They are no startup parameters, which poolers reject; one
// that the server does not have is left out.
func settingsHook(settings []setting) func(context.Context, *pgconn.PgConn) error {
	terms := make([]string, len(settings))
	for i, s := range settings {
		terms[i] = fmt.Sprintf("('%s', '%s')", s.name, s.value)
	}
	sql := `SELECT set_config(p.name, w.value, false) FROM pg_settings p JOIN (VALUES ` + strings.Join(terms, ", ") + `) AS w (name, value) USING (name)`
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		bounded, cancel := context.WithTimeout(ctx, sessionTimeout)
		defer cancel()
		if _, err := conn.Exec(bounded, sql).ReadAll(); err != nil {
			return fmt.Errorf("set up the session: %w", sessionMissing(bounded, err))
		}
		return nil
	}
}

// sessionTimeout is how long a connection may wait for its session: a pooler accepts more connections than it has sessions.
const sessionTimeout = 5 * time.Second

// sessionMissing returns err, or CodeUnavailable when ctx, which limits the wait for a session, has ended.
func sessionMissing(ctx context.Context, err error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	return &problem.Error{Code: problem.CodeUnavailable, Err: err, Message: "the database gave a connection no session in time: " +
		"a pooler has too few (default_pool_size, max_db_connections), or the database is overloaded"}
}

// OpenUnlimited returns connections of their own on which no statement and no lock has a time limit.
func (db *DB) OpenUnlimited() *sql.DB {
	config := db.pool.Config().ConnConfig.Copy()
	config.AfterConnect = settingsHook(migrationSettings)
	return stdlib.OpenDB(*config)
}
