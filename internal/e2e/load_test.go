package e2e

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/fleet"
)

// watched is a server whose insides can be looked at.
type watched struct {
	*process
	admin string
}

func serveWatched(t *testing.T) *watched {
	t.Helper()
	admin := unusedAddress(t)
	return &watched{process: serve(t, dbtest.New(t), "--admin-addr="+admin), admin: "http://" + admin}
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
func (w *watched) many(f *fleet.Fleet, n int, change func(body object)) []string {
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

func TestAfterManyDeploymentsAtOnceTheProcessIsAsSmallAsBefore(t *testing.T) {
	t.Parallel()
	w := serveWatched(t)
	f := newFleet(t, 3, "v1")
	w.awaitEnd(w.many(f, 1, func(b object) { b["service"] = "first" })[0]) // what is made once is there
	goroutines, heap := w.goroutines(), w.heap()
	began := time.Now()
	ids := w.many(f, 200, func(b object) { b["force"] = true })
	for _, id := range ids {
		if d := w.awaitEnd(id); d.State != "completed" || d.Result.Updated != 3 {
			t.Fatalf("ended %s: %s", d.State, d.Reason)
		}
	}
	t.Logf("%d deployments took %s", len(ids), time.Since(began))
	w.awaitAtMost("goroutines", goroutines+5, w.goroutines)
	w.awaitAtMost("bytes of heap", heap+8<<20, w.heap)
	if n := len(f.Calls()); n != 3*201 {
		t.Errorf("%d calls for %d", n, 3*201)
	}
}

func TestADeploymentThatWaitsForLongCostsNoGoroutine(t *testing.T) {
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
