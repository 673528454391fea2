package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
)

// nextMigration is what a later version of the server might bring: more columns, one of them with a default, and an index.
const nextMigration = `-- +goose Up
ALTER TABLE deployments ADD COLUMN later text NOT NULL DEFAULT 'x';
ALTER TABLE deployment_targets ADD COLUMN later integer;
CREATE INDEX deployments_later ON deployments (later);
-- +goose Down
ALTER TABLE deployment_targets DROP COLUMN later;
ALTER TABLE deployments DROP COLUMN later;
`

// nextVersion builds the server as it will be with one more migration.
func nextVersion(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	migration, overlay, program := filepath.Join(folder, "next.sql"), filepath.Join(folder, "overlay.json"), filepath.Join(folder, "server")
	described, err := json.Marshal(object{"Replace": object{filepath.Join(root, "migrations/99999_next.sql"): migration}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{migration: []byte(nextMigration), overlay: described} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay="+overlay, "-o", program, "rollcall/cmd/server")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return program
}

func TestANewVersionMigratesWhileTheOldOneServesAndARolloutGoesOn(t *testing.T) {
	t.Parallel()
	next := nextVersion(t)
	f := slowly(t, 12)
	database := dbtest.New(t)
	old := serve(t, database)
	d := old.post(request(f, "v2", object{"type": "rolling"}))
	old.await(d.ID, "under way", func(d *deployment) bool { return d.Progress.Updated > 0 })

	stopAsking := old.keepAsking()
	fresh := launchProgram(t, next, database)
	fresh.awaitReady()
	assertMigrated(t, database)
	old.await(d.ID, "further, on the new schema", func(d *deployment) bool { return d.Progress.Updated >= 5 })
	stopAsking()

	again := serve(t, database) // the old version may be started again on the schema of the new one
	if took := old.stop(); took > 2*time.Second+slack {
		t.Errorf("the old version took %s to hand over", took)
	}
	again.stop()
	if end := fresh.awaitEnd(d.ID); end.State != "completed" || end.Result.Updated != len(f.Targets) {
		t.Errorf("ended %s (%s): %+v", end.State, end.Reason, end.Result)
	}
	assertTruth(fresh, d.ID, f)
	if calls := len(f.Calls()); calls != len(f.Targets) {
		t.Errorf("%d calls for %d targets", calls, len(f.Targets))
	}
	if end := fresh.awaitEnd(fresh.post(request(f, "v3", object{"type": "rolling", "batch_size": 12})).ID); end.State != "completed" {
		t.Errorf("the next one ended %s: %s", end.State, end.Reason)
	}
}

func assertMigrated(t *testing.T, database string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var columns int
	const sql = `SELECT count(*) FROM information_schema.columns WHERE column_name = 'later'`
	if err := conn.QueryRow(t.Context(), sql).Scan(&columns); err != nil || columns != 2 {
		t.Errorf("the new version brought %d columns: %v", columns, err)
	}
}

// keepAsking reads through the API without a pause, until the function that it gives is called: every answer must be good.
func (p *process) keepAsking() (stop func()) {
	end := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			for _, path := range []string{"/deployments", "/services", "/summary"} {
				res, err := http.Get(p.url + path)
				if err != nil {
					p.t.Errorf("during the migration %s: %v", path, err)
					return
				}
				if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
					p.t.Errorf("during the migration %s answers %d", path, res.StatusCode)
				}
			}
		}
	})
	return func() { close(end); asking.Wait() }
}
