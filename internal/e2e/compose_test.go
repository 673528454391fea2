package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/localpg"
)

// What docker-compose.yml does, one container after another, without containers: secrets, role, migration, servers.
func TestCompose_ServersRunWithoutOwnerPassword(t *testing.T) {
	t.Parallel()
	folder := privateFolder(t)
	postgres, err := localpg.Start(t.Context(), localpg.Config{Dir: filepath.Join(folder, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = postgres.Stop() })
	secrets, socket := filepath.Join(folder, "secrets"), filepath.Join(folder, "postgres", "run")
	own, err := os.ReadFile(filepath.Join(folder, "postgres", "data", "rollcall.pgpass"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is there stays
		pasted(t, "scripts/compose-secrets "+secrets)
	}
	server, err := os.ReadFile(filepath.Join(secrets, "server.pgpass"))
	if err != nil {
		t.Fatal(err)
	}
	owner := filepath.Join(folder, "owner.pgpass") // this Postgres made the owner's password by itself
	if err := os.WriteFile(owner, append(append([]byte{}, server...), own...), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		pasted(t, "scripts/compose-role", "POSTGRES_USER=rollcall", "POSTGRES_DB=rollcall", "SECRETS="+secrets, "PGHOST="+socket, "PGPASSFILE="+owner)
	}
	database := "@/rollcall?sslmode=disable&host=" + socket + "&passfile="
	asServer := "postgres://rollcall_server" + database + filepath.Join(secrets, "server.pgpass")
	for range 2 {
		migrate := exec.CommandContext(t.Context(), binary, "--migrate", "--database-url="+asServer,
			"--owner-database-url=postgres://rollcall"+database+owner)
		if out, err := migrate.CombinedOutput(); err != nil || !strings.Contains(string(out), "cannot change events") {
			t.Fatalf("%v: %s", err, out)
		}
	}
	p := serve(t, asServer)
	f := newFleet(t, 2, "v1")
	id := p.post(request(f, "v2", object{"type": "rolling"})).ID
	p.awaitEnd(id)
	assertRuns(t, f, func(int) string { return "v2" })
	if !p.says("cannot change events") {
		t.Errorf("the server's role may do more than it needs:\n%s", p.tail())
	}
	for name, want := range map[string]os.FileMode{"admin-token": 0o640, "secret-key": 0o640, "owner.pgpass": 0o640, "": 0o700} {
		if st, err := os.Stat(filepath.Join(secrets, name)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
}
