package e2e

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
	"rollcall/internal/e2e/chaos"
)

// breakable is a database on a server that may be broken. The servers under test are not its owners, so that limits hold
// for them.
type breakable struct {
	server *dbtest.Server
	name   string
	url    string
}

func newBreakable(t testing.TB, server *dbtest.Server, name string) *breakable {
	t.Helper()
	if _, err := server.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	b := &breakable{server: server, name: name}
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path, u.User = "/"+name, url.User(name)
	b.url = u.String()
	for _, statement := range []string{"CREATE ROLE " + name + " LOGIN", "GRANT rollcall TO " + name, "ALTER ROLE " + name + " SET role TO rollcall"} {
		b.run(t, statement)
	}
	t.Cleanup(func() {
		for _, statement := range []string{"DROP DATABASE " + name + " WITH (FORCE)", "DROP ROLE " + name} {
			if err := server.RunStatement(context.Background(), statement); err != nil {
				t.Error(err)
			}
		}
	})
	return b
}

func (b *breakable) run(t testing.TB, statement string) {
	t.Helper()
	if err := b.server.RunStatement(t.Context(), statement); err != nil {
		t.Error(err)
	}
}

// strike breaks the database in one way and returns what repairs it.
func (b *breakable) strike(t testing.TB, kind chaos.Kind) (repair func()) {
	t.Helper()
	check := func(what string, err error) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	switch kind {
	case chaos.DatabaseStop:
		check("stop the database", b.server.Crash())
		return func() { check("start the database", b.server.Restart()) }
	case chaos.DatabaseFreeze:
		check("freeze the database", b.server.Freeze())
		return func() { check("thaw the database", b.server.Thaw()) }
	case chaos.ReadOnly:
		b.run(t, "ALTER SYSTEM SET default_transaction_read_only = on")
		b.run(t, "SELECT pg_reload_conf()")
		return func() {
			b.writable(t, "ALTER SYSTEM RESET default_transaction_read_only")
			b.run(t, "SELECT pg_reload_conf()")
		}
	case chaos.Crowded:
		b.run(t, fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT 0", b.name))
		b.run(t, fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '%s'", b.name))
		return func() { b.run(t, fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT -1", b.name)) }
	default:
		t.Errorf("%s is no fault of a database", kind)
		return func() {}
	}
}

// fails reports whether servers cannot write to the database before a time has passed.
func (b *breakable) fails(within time.Duration) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); {
		if b.tryToWrite() != nil {
			return true
		}
		<-time.After(20 * time.Millisecond)
	}
	return false
}

// tryToWrite writes as a server does, to no row.
func (b *breakable) tryToWrite() error {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	conn, err := pgx.Connect(ctx, b.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "UPDATE deployments SET id = id WHERE false")
	return err
}

// writable runs a statement although the database is read-only for others.
func (b *breakable) writable(t testing.TB, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	config, err := pgx.ParseConfig(b.server.URL)
	if err != nil {
		t.Error(err)
		return
	}
	config.RuntimeParams["default_transaction_read_only"] = "off"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Error(err)
	}
}
