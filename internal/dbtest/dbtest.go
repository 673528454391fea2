// Package dbtest gives each test a PostgreSQL database of its own.
//
// The server is, in this order: the one that TEST_DATABASE_URL names; one that the test binary starts from the programs of
// an installed PostgreSQL, and that ends with it; one in a container, where Docker answers. Without any, tests fail when CI
// is set and are skipped otherwise. With -short none is started, and tests without one are skipped.
// `go run ./internal/dbtest/serve -- go test ./...` starts one server for all packages.
//
// The server must be PostgreSQL 15 or later, and the URL's role must be allowed to make databases.
package dbtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"rollcall/migrations"
)

// URLVariable names the environment variable with the URL of a server to make test databases on.
const URLVariable = "TEST_DATABASE_URL"

// bound is how long the server may take for one thing.
const bound = time.Minute

// shared is the server that this test binary uses: there is one per process, as there is one testing.M.
var shared = sync.OnceValues(findOrStart)

// findOrStart finds or starts a server and makes the template on it. The one that was started is kept here and never stopped:
// it ends when this process has ended, or when its Server is not referenced any more.
func findOrStart() (*Server, error) {
	s := &Server{URL: os.Getenv(URLVariable)}
	if s.URL == "" {
		var err error
		if s, err = Start(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := makeTemplate(ctx, s.URL); err != nil {
		return nil, fmt.Errorf("prepare the template database: %w", err)
	}
	return s, nil
}

// New returns the URL of a fresh database with the newest schema. It is dropped when the test ends.
func New(t testing.TB) string {
	t.Helper()
	return createDatabase(t, "TEMPLATE "+templateName()+" STRATEGY FILE_COPY")
}

// NewEmpty returns the URL of a fresh database with nothing in it. It is dropped when the test ends.
func NewEmpty(t testing.TB) string {
	t.Helper()
	return createDatabase(t, "TEMPLATE template0 STRATEGY FILE_COPY")
}

// NewEncoded returns the URL of a fresh database with nothing in it that keeps text in an encoding other than UTF-8.
func NewEncoded(t testing.TB, encoding string) string {
	t.Helper()
	return createDatabase(t, "TEMPLATE template0 ENCODING '"+encoding+"' LC_COLLATE 'C' LC_CTYPE 'C'")
}

func createDatabase(t testing.TB, how string) string {
	t.Helper()
	if testing.Short() && os.Getenv(URLVariable) == "" {
		t.Skip("needs a database: none is started with -short")
	}
	server, err := shared()
	if err != nil {
		if errors.Is(err, errNone) && os.Getenv("CI") == "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	address, name := server.URL, "test_"+strings.ToLower(rand.Text())
	if err := runStatement(address, "CREATE DATABASE "+name+" "+how); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	t.Cleanup(func() {
		if err := runStatement(address, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the database: %v", err)
		}
	})
	return databaseURL(address, name)
}

// runStatement runs one statement on the server's own database.
func runStatement(address, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // the statement's answer is there
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// databaseURL returns the URL of another database on the same server.
func databaseURL(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // it was connected to, so it is a URL
	}
	u.Path = "/" + name
	return u.String()
}

// templateName returns the name of the migrated database that all others are copied from; it changes with the migrations.
func templateName() string {
	sum := sha256.New()
	err := fs.WalkDir(migrations.FS, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := migrations.FS.ReadFile(path)
		sum.Write(fmt.Appendf(nil, "%s\x00%d\x00%s", path, len(content), content))
		return err //nolint:wrapcheck // it cannot happen, see below
	})
	if err != nil {
		panic(err) // the files are part of the binary
	}
	return "rollcall_template_" + hex.EncodeToString(sum.Sum(nil)[:8])
}

// makeTemplate makes the template, unless it is there. Test binaries that run side by side wait for each other.
func makeTemplate(ctx context.Context, address string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", URLVariable, err)
	}
	defer func() { _ = conn.Close(ctx) }() // this frees the lock, too

	name := templateName()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, name); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	var ready bool
	const isReady = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)`
	if err := conn.QueryRow(ctx, isReady, name).Scan(&ready); err != nil || ready {
		return err //nolint:wrapcheck // the caller says what was tried
	}
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + name, "CREATE DATABASE " + name + " TEMPLATE template0"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	if err := migrateDatabase(ctx, databaseURL(address, name)); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+name+" IS_TEMPLATE true")
	return err //nolint:wrapcheck // the caller says what was tried
}

func migrateDatabase(ctx context.Context, address string) error {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return fmt.Errorf("read the URL: %w", err)
	}
	db := stdlib.OpenDB(*config)
	defer func(db *sql.DB) { _ = db.Close() }(db) // what was done is committed
	provider, err := migrations.Provider(db)
	if err != nil {
		return err //nolint:wrapcheck // it says what was tried
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}
