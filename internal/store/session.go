package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"rollcall/internal/problem"

	"github.com/jackc/pgx/v5/pgconn"
)

// setting is a parameter of a session and its value.
type setting struct{ name, value string }

// defaultSettings hold unless the database's URL or PGOPTIONS sets them.
var defaultSettings = []setting{
	{"statement_timeout", statementTimeout},
	{"idle_in_transaction_session_timeout", idleInTransaction},
	{"jit", "off"}, // it takes longer than any statement here may
}

// pinnedSettings hold whatever the role, the database or the URL says: every statement here is written for them.
var pinnedSettings = []setting{{"default_transaction_isolation", "read committed"}}

// migrationSettings lift every bound: a migration may take longer than anything else, and another replica's longer still.
var migrationSettings = []setting{
	{"statement_timeout", "0"},
	{"lock_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"transaction_timeout", "0"},
	{"default_transaction_isolation", "read committed"},
}

// sessionSettings are the settings of each connection of a store.
func sessionSettings(config *pgconn.Config) []setting {
	var settings []setting
	for _, s := range defaultSettings {
		if _, set := config.RuntimeParams[s.name]; !set && !strings.Contains(os.Getenv("PGOPTIONS"), s.name) {
			settings = append(settings, s)
		}
	}
	return append(settings, pinnedSettings...)
}

// apply gives settings to each new connection. They are no startup parameters, which poolers refuse; one that the server
// does not have is left out.
func apply(settings []setting) func(context.Context, *pgconn.PgConn) error {
	terms := make([]string, len(settings))
	for i, s := range settings {
		terms[i] = fmt.Sprintf("('%s', '%s')", s.name, s.value)
	}
	sql := `SELECT set_config(p.name, w.value, false) FROM pg_settings p JOIN (VALUES ` + strings.Join(terms, ", ") + `) AS w (name, value) USING (name)`
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		bound, cancel := context.WithTimeout(ctx, sessionWithin)
		defer cancel()
		if _, err := conn.Exec(bound, sql).ReadAll(); err != nil {
			return fmt.Errorf("set up the session: %w", sessionMissing(bound, err))
		}
		return nil
	}
}

// sessionWithin is how long a connection may wait for its session: a pooler takes connections that it has none for.
const sessionWithin = 5 * time.Second

// sessionMissing is err, or says that no session was there in time when ctx, which bounds the wait, has ended.
func sessionMissing(ctx context.Context, err error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	return &problem.Error{Code: problem.CodeUnavailable, Err: err, Message: "the database gave a connection no session in time: " +
		"a pooler has too few (default_pool_size, max_db_connections), or the database is overloaded"}
}
