package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
	"rollcall/internal/slowtest"
)

// migration is what the nth version after this one might bring: more columns, one of them with a default, and an index.
func migration(n int) string {
	return fmt.Sprintf(`-- +goose Up
SET LOCAL lock_timeout = '1200ms';
ALTER TABLE deployments ADD COLUMN later%[1]d text NOT NULL DEFAULT 'x';
ALTER TABLE deployment_targets ADD COLUMN later%[1]d integer;
CREATE INDEX deployments_later%[1]d ON deployments (later%[1]d);
-- +goose Down
ALTER TABLE deployment_targets DROP COLUMN later%[1]d;
ALTER TABLE deployments DROP COLUMN later%[1]d;
`, n)
}

// nextVersions builds the server as it will be in its next n versions, each with one migration more than the one before.
func nextVersions(t *testing.T, n int) []string {
	t.Helper()
	folder := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	replaced := overlaid(t)
	var programs []string
	for i := range n {
		added := filepath.Join(folder, fmt.Sprintf("%d.sql", i))
		writeFile(t, added, []byte(migration(i)))
		replaced[filepath.Join(root, fmt.Sprintf("migrations/%d_next.sql", 99000+i))] = added
		described, err := json.Marshal(object{"Replace": replaced})
		if err != nil {
			t.Fatal(err)
		}
		overlay, program := filepath.Join(folder, "overlay.json"), filepath.Join(folder, fmt.Sprintf("server-%d", i))
		writeFile(t, overlay, described)
		build := exec.CommandContext(t.Context(), "go", "build", "-overlay="+overlay, "-o", program, "rollcall/cmd/server")
		if said, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		programs = append(programs, program)
	}
	return programs
}

// overlaid is what an overlay in GOFLAGS replaces already: the flag of a build takes its place, and would repair a product
// that was broken on purpose.
func overlaid(t *testing.T) map[string]string {
	t.Helper()
	var overlay struct{ Replace map[string]string }
	for _, given := range strings.Fields(os.Getenv("GOFLAGS")) {
		path, ok := strings.CutPrefix(given, "-overlay=")
		if !ok {
			continue
		}
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &overlay)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if overlay.Replace == nil {
		overlay.Replace = map[string]string{}
	}
	return overlay.Replace
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUpgrade_MigratesDuringRollout(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	next := nextVersions(t, 1)[0]
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
	if columns, err := brought(t.Context(), conn, 0); err != nil || columns != 2 {
		t.Errorf("the new version brought %d columns: %v", columns, err)
	}
}

// brought is how many columns the nth migration has brought.
func brought(ctx context.Context, conn *pgx.Conn, n int) (columns int, err error) {
	const sql = `SELECT count(*) FROM information_schema.columns WHERE column_name = 'later' || $1::text`
	err = conn.QueryRow(ctx, sql, strconv.Itoa(n)).Scan(&columns)
	return columns, err
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
