package dbtest_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
)

func count(t *testing.T, address, sql string) int {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	var n int
	if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const tables = `SELECT count(*) FROM information_schema.tables WHERE table_name = 'deployments'`

func TestDatabase_NewHasSchemaEmptyHasNone(t *testing.T) {
	t.Parallel()
	if n := count(t, dbtest.New(t), tables); n != 1 {
		t.Errorf("a new database has %d tables called deployments, not 1", n)
	}
	if n := count(t, dbtest.NewEmpty(t), tables); n != 0 {
		t.Errorf("an empty database has %d tables called deployments", n)
	}
}

func TestDatabase_IsDroppedAfterTest(t *testing.T) {
	t.Parallel()
	var address string
	t.Run("inner", func(t *testing.T) { address = dbtest.New(t) })
	config, err := pgx.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, dbtest.NewEmpty(t), `SELECT count(*) FROM pg_database WHERE datname = '`+config.Database+`'`); n != 0 {
		t.Errorf("the database %s is still there", config.Database)
	}
}

func TestServer_StopLeavesNothing(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("no server is started with -short")
	}
	s, err := dbtest.Start()
	if err != nil {
		t.Skip(err)
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var data string
	if err := conn.QueryRow(ctx, `SHOW data_directory`).Scan(&data); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("the data in %s is still there (%v)", data, err)
	}
	if _, err := pgx.Connect(ctx, s.URL); err == nil {
		t.Error("the server still answers")
	}
}
