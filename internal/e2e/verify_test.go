package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
)

// connected is a connection to a database that ends with the test.
func connected(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) }) // the server may be gone by now
	return conn
}

func TestVerify_FindsTamperedEvents(t *testing.T) {
	t.Parallel()
	database := dbtest.New(t)
	f, p := newFleet(t, 2, "v1"), serve(t, database)
	body := request(f, "v2", object{"type": "rolling"})
	id := p.post(body).ID
	p.awaitEnd(id)
	found := decoded[struct {
		Verified bool   `json:"verified"`
		Events   int    `json:"events"`
		Hash     string `json:"events_hash"`
	}](p.rollcall(t, "verify", id, "--json").want(0))
	if !found.Verified || found.Events < 10 || len(found.Hash) != 64 {
		t.Fatalf("%+v", found)
	}
	p.rollcall(t, "verify", "checkout", "--hash="+found.Hash).want(0, "events verified", found.Hash)
	p.rollcall(t, "verify", id, "--hash="+strings.Repeat("ab", 32)).want(1, "no event has the hash given with --hash")
	p.rollcall(t, "verify", id, "--hash=ab").want(2, "hexadecimal")

	conn := connected(t, database)
	const swap = `UPDATE deployment_events SET seq = seq - 9 WHERE deployment_id = $1 AND seq IN (4, 5);
		UPDATE deployment_events SET seq = -seq WHERE deployment_id = $1 AND seq < 0`
	for what, c := range map[string]struct{ sql, says string }{
		"changed":   {`UPDATE deployment_events SET message = 'all is well' WHERE deployment_id = $1 AND seq = 3`, "event 3: it was changed"},
		"a call":    {`UPDATE deployment_events SET call = jsonb_set(call, '{version}', '"v9"') WHERE deployment_id = $1 AND call IS NOT NULL`, "it was changed"},
		"deleted":   {`DELETE FROM deployment_events WHERE deployment_id = $1 AND seq = 4`, "event 4: it is missing"},
		"swapped":   {swap, "event 4: it is out of order: it was written as event 5"},
		"truncated": {`DELETE FROM deployment_events WHERE deployment_id = $1 AND seq > 5`, "event 5: the events end here"},
		"inserted": {`INSERT INTO deployment_events (deployment_id, seq, at, type, actor) SELECT $1, max(seq) + 1, now(), 'x', 'ann'
			FROM deployment_events WHERE deployment_id = $1`, "it has no hash"},
	} {
		if _, err := conn.Exec(t.Context(), `CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM deployment_events`); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), c.sql, pgx.QueryExecModeSimpleProtocol, id); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		p.rollcall(t, "verify", id).want(1, c.says, "event log verification FAILED")
		if _, err := conn.Exec(t.Context(), `TRUNCATE deployment_events; INSERT INTO deployment_events OVERRIDING SYSTEM VALUE SELECT * FROM kept`); err != nil {
			t.Fatal(err)
		}
		p.rollcall(t, "verify", id).want(0)
	}
}

func TestVerify_WithoutNameChecksAll(t *testing.T) {
	t.Parallel()
	database := dbtest.New(t)
	p := serve(t, database)
	p.rollcall(t, "verify").want(0, "event logs of 0 deployments")
	var ids []string
	for _, service := range []string{"checkout", "search", "checkout"} {
		body := request(newFleet(t, 1, "v1"), "v2", object{"type": "rolling"})
		body["service"] = service
		ids = append(ids, p.post(body).ID)
		p.awaitEnd(ids[len(ids)-1])
	}
	found := decoded[struct {
		Verified    bool  `json:"verified"`
		Deployments int   `json:"deployments"`
		Events      int   `json:"events"`
		Failed      []any `json:"failed"`
	}](p.rollcall(t, "verify", "--json").want(0))
	if !found.Verified || found.Deployments != len(ids) || found.Events < 8*len(ids) || len(found.Failed) != 0 {
		t.Fatalf("%+v", found)
	}
	p.rollcall(t, "verify", "--hash="+strings.Repeat("ab", 32)).want(2, "--hash")
	conn := connected(t, database)
	if _, err := conn.Exec(t.Context(), `UPDATE deployment_events SET message = 'all is well' WHERE deployment_id = $1 AND seq = 3`, ids[0]); err != nil {
		t.Fatal(err)
	}
	p.rollcall(t, "verify").want(1, ids[0]+"  event log verification FAILED", "event 3: it was changed", "event log verification FAILED for 1 of 3 deployments")
	p.rollcall(t, "verify", ids[2]).want(0)
}

func TestPrivatePostgres_RoleCannotChangeEvents(t *testing.T) {
	t.Parallel()
	state := privateFolder(t)
	f, p := newFleet(t, 2, "v1"), serve(t, "", "--state-dir="+state)
	id := p.post(request(f, "v2", object{"type": "rolling"})).ID
	p.awaitEnd(id)
	at := "@/rollcall?sslmode=disable&host=" + filepath.Join(state, "postgres", "run")
	for _, role := range []string{"rollcall", "rollcall_server"} {
		if conn, err := pgx.Connect(t.Context(), "postgres://"+role+at); err == nil {
			t.Errorf("%s is let in without a password: %v", role, conn.Close(t.Context()))
		}
	}
	at += "&passfile=" + filepath.Join(state, "postgres", "data", "rollcall.pgpass")
	var others int
	owner := connected(t, "postgres://rollcall"+at)
	err := owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rollcall' AND usename <> 'rollcall_server'`).Scan(&others)
	if err != nil || others != 0 {
		t.Errorf("%d of the server's connections have another role (%v)", others, err)
	}
	server := connected(t, "postgres://rollcall_server"+at)
	for _, sql := range []string{
		`UPDATE deployment_events SET message = ''`, `DELETE FROM deployment_events`, `TRUNCATE deployment_events`,
		`DELETE FROM deployments`, `DROP TABLE deployment_events`, `CREATE TABLE mine (x int)`,
	} {
		if _, err := server.Exec(t.Context(), sql); err == nil {
			t.Errorf("the server's role may: %s", sql)
		}
	}
	p.rollcall(t, "verify", id).want(0)
}
