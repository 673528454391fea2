package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// timePassed is what docs/how-to/back-up-and-restore.md has operators do to a restored database.
var timePassed = regexp.MustCompile("(?s)```sql\n(.*?)```")

// pgProgram is a program of PostgreSQL's clients; without it the test is skipped.
func pgProgram(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 { // the pattern is a good one
		return found[len(found)-1]
	}
	t.Skip("there is no " + name)
	return ""
}

func program(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), pgProgram(t, name), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func TestRestore_OldBackupWaitsThenDeploysOverFences(t *testing.T) {
	t.Parallel()
	pgProgram(t, "pg_dump")
	guide, err := os.ReadFile("../../docs/how-to/back-up-and-restore.md")
	if err != nil {
		t.Fatal(err)
	}
	advice := timePassed.FindSubmatch(guide)
	if advice == nil {
		t.Fatal("the guide does not say how")
	}
	f := newFleet(t, 4, "v1")
	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Fenced = true })
	}
	database, dump := dbtest.New(t), filepath.Join(t.TempDir(), "rollcall.dump")
	p := serve(t, database)
	p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling", "batch_size": 4})).ID)
	running := p.post(request(f, "v3", object{"type": "rolling", "bake": "5m"}))
	p.await(running.ID, "watches its first wave", func(d *deployment) bool { return strings.Contains(d.Reason, "baking until") })
	program(t, "pg_dump", "-Fc", "-f", dump, database)
	call(t, http.MethodPost, p.url+"/deployments/"+running.ID+"/promote", object{"full": true}, nil)
	p.awaitEnd(running.ID)
	for _, version := range []string{"v4", "v5", "v6"} { // fences go far beyond those of the backup
		p.awaitEnd(p.post(request(f, version, object{"type": "rolling", "batch_size": 4})).ID)
	}
	p.stop()

	restored := dbtest.NewEmpty(t)
	program(t, "pg_restore", "--exit-on-error", "-d", restored, dump)
	conn, err := pgx.Connect(t.Context(), restored)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), string(advice[1])); err != nil {
		t.Fatal(err)
	}
	before := f.CallCount()
	p = serve(t, restored)
	p.await(running.ID, "paused", func(d *deployment) bool { return d.State == "paused" })
	awaitFact(t, "the target is found to run something else", func() bool {
		return list[targetResult](p, "/deployments/"+running.ID+"/targets")[0].Health == "unhealthy"
	})
	if n := f.CallCount(); n != before {
		t.Errorf("%d calls were made", n-before)
	}
	call(t, http.MethodPost, p.url+"/deployments/"+running.ID+"/abort", nil, nil)
	if d := p.awaitEnd(running.ID); d.State != "aborted" || f.CallCount() != before {
		t.Errorf("it ended %s after %d calls", d.State, f.CallCount()-before)
	}
	assertRuns(t, f, allRun("v6"))
	if d := p.awaitEnd(p.post(request(f, "v7", object{"type": "rolling", "batch_size": 4})).ID); d.State != "completed" {
		t.Errorf("the next deployment ended %s: %s", d.State, d.Reason)
	}
	assertRuns(t, f, allRun("v7"))
}
