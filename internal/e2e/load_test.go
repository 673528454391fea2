package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
	"rollcall/internal/slowtest"
	"rollcall/internal/testtarget"
)

// watched is a server whose insides can be looked at.
type watched struct {
	*process
	admin    string
	database string
}

func serveWatched(t *testing.T) *watched {
	t.Helper()
	admin, database := unusedAddress(t), dbtest.New(t)
	return &watched{process: serve(t, database, "--admin-addr="+admin), admin: "http://" + admin, database: database}
}

var (
	goroutineTotal = regexp.MustCompile(`goroutine profile: total (\d+)`)
	heapInUse      = regexp.MustCompile(`# HeapInuse = (\d+)`)
)

// inside is a figure of the server's process, after idle connections of ours are gone.
func (w *watched) inside(path string, figure *regexp.Regexp) int {
	w.t.Helper()
	http.DefaultClient.CloseIdleConnections()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(w.admin + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := strconv.Atoi(string(figure.FindSubmatch(text)[1]))
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *watched) goroutines() int { return w.inside("/debug/pprof/goroutine?debug=1", goroutineTotal) }
func (w *watched) heap() int       { return w.inside("/debug/pprof/heap?gc=1&debug=1", heapInUse) }

// files counts what the process has open: files, and connections of every kind.
func (w *watched) files() int {
	w.t.Helper()
	http.DefaultClient.CloseIdleConnections()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.cmd.Process.Pid))
	if err != nil {
		w.t.Fatal(err)
	}
	return len(open)
}

// connections counts those to the database.
func (w *watched) connections() (n int) {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.database)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	const sql = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
	if err := conn.QueryRow(w.t.Context(), sql).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// awaitAtMost waits until a figure has come down.
func (w *watched) awaitAtMost(what string, most int, figure func() int) {
	w.t.Helper()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	n := 0
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-poll.C {
		if n = figure(); n <= most {
			w.t.Logf("%s: %d, allowed %d", what, n, most)
			return
		}
	}
	w.t.Errorf("%s: still %d, not %d at most", what, n, most)
}

// many posts n deployments of different services over the same targets.
func (w *watched) many(f *testtarget.Fleet, n int, change func(body object)) []string {
	w.t.Helper()
	ids := make([]string, n)
	for i := range ids {
		body := request(f, "v2", object{"type": "rolling"})
		body["service"] = fmt.Sprintf("service-%d", i)
		change(body)
		ids[i] = w.post(body).ID
	}
	return ids
}

func TestLoad_MemoryReturnsAfter500Deployments(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	w := serveWatched(t)
	f := newFleet(t, 2, "v1")
	w.runMany(f, 50, "first") // what is made once, or kept open for the next time, is there
	goroutines, heap, files, connections := w.goroutines(), w.heap(), w.files(), w.connections()
	began := time.Now()
	w.runMany(f, 500, "then")
	t.Logf("500 deployments took %s", time.Since(began))
	w.awaitAtMost("goroutines", goroutines+5, w.goroutines)
	w.awaitAtMost("bytes of heap", heap+8<<20, w.heap)
	w.awaitAtMost("connections to the database", connections+2, w.connections)
	w.awaitAtMost("open files", files+5, w.files)
	if n := len(f.Calls()); n != 2*550 {
		t.Errorf("%d calls for %d", n, 2*550)
	}
}

// runMany runs n deployments at once, to their good end.
func (w *watched) runMany(f *testtarget.Fleet, n int, prefix string) {
	w.t.Helper()
	ids := w.many(f, n, func(b object) {
		b["force"] = true
		b["service"] = prefix + "-" + part[string](b, "service")
	})
	for _, id := range ids {
		if d := w.awaitEnd(id); d.State != "completed" || d.Result.Updated != len(f.Targets) {
			w.t.Fatalf("ended %s: %s", d.State, d.Reason)
		}
	}
}

func TestLoad_WaitingDeploymentCostsNoGoroutine(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	w := serveWatched(t)
	f := newFleet(t, 1, "v1")
	w.awaitEnd(w.many(f, 1, func(b object) { b["service"] = "first" })[0])
	goroutines := w.goroutines()
	ids := w.many(f, 300, func(b object) {
		b["strategy"] = object{"type": "rolling", "bake": "1h"}
		b["health_checks"] = []object{{"type": "none"}}
	})
	for _, id := range ids {
		w.await(id, "watched, and free", func(d *deployment) bool { return d.Progress.Updated == 1 && d.Owner == nil })
	}
	w.awaitAtMost("goroutines", goroutines+5, w.goroutines)
}
