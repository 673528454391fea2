package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/clock"
)

// StartStandby starts a standby of the server, which follows it over the network. It can be broken like any Server, for one that
// was cut off, and Promote makes it a server of its own. It must be stopped.
func (s *Server) StartStandby() (*Server, error) {
	if s.orders == nil {
		return nil, errNotOurs
	}
	bin, err := findPrograms()
	if err != nil {
		return nil, err
	}
	standby, err := startCopy(bin, s.URL)
	if err != nil {
		return nil, fmt.Errorf("start a standby: %w", err)
	}
	if err := s.AwaitCondition("EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')"); err != nil {
		return nil, errors.Join(err, standby.Stop())
	}
	return standby, nil
}

// WaitForStandby has every commit wait until a standby has it, in databases that have synchronous_commit on.
func (s *Server) WaitForStandby(ctx context.Context) error {
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		if err := s.RunStatement(ctx, statement); err != nil {
			return err
		}
	}
	return s.AwaitCondition("EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
}

// CaughtUp waits until the standby has all that was written to the server until now.
func (s *Server) CaughtUp(ctx context.Context, standby *Server) error {
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // the answer is there
	var end string
	if err := conn.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&end); err != nil {
		return fmt.Errorf("ask where the log ends: %w", err)
	}
	return standby.AwaitCondition("pg_last_wal_replay_lsn() >= '" + end + "'::pg_lsn")
}

// Promote makes a standby a server that can be written to.
func (s *Server) Promote(ctx context.Context) error {
	return s.RunStatement(ctx, "SELECT pg_promote()")
}

// AwaitCondition waits until a condition holds on the server's own database.
func (s *Server) AwaitCondition(condition string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // the answer is there
	for holds := false; ; {
		if err := conn.QueryRow(ctx, "SELECT "+condition).Scan(&holds); err != nil {
			return fmt.Errorf("wait until %s: %w", condition, err)
		}
		if holds {
			return nil
		}
		clock.Sleep(ctx, pollPause)
	}
}

// DatabaseURL returns the URL of a database of the server.
func (s *Server) DatabaseURL(name string) string { return databaseURL(s.URL, name) }

// StartReplicated starts a server with a standby; both end with the test. Without PostgreSQL's programs the test fails when CI
// is set and is skipped otherwise. With -short it is skipped, too.
func StartReplicated(t testing.TB) (primary, standby *Server) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a database: none is started with -short")
	}
	primary, err := Start()
	if err == nil {
		t.Cleanup(func() { _ = primary.Stop() }) // its data goes with it
		standby, err = primary.StartStandby()
	}
	switch {
	case err == nil:
		t.Cleanup(func() { _ = standby.Stop() })
	case os.Getenv("CI") == "" && (errors.Is(err, errNone) || errors.Is(err, errNotOurs)):
		t.Skip(err)
	default:
		t.Fatal(err)
	}
	return primary, standby
}
