package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// busyFleet is one server that is many targets, each at a path of its own, whose work takes a while.
type busyFleet struct {
	*httptest.Server
	calls, open, most atomic.Int64
	mu                sync.Mutex
	seen              map[string]int
}

func newBusyFleet(t *testing.T, work time.Duration) *busyFleet {
	t.Helper()
	f := &busyFleet{seen: map[string]int{}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		open := f.open.Add(1)
		defer f.open.Add(-1)
		f.mu.Lock()
		f.seen[r.URL.Path]++
		f.most.Store(max(f.most.Load(), open))
		f.mu.Unlock()
		f.calls.Add(1)
		time.Sleep(work) // this is the work
	}))
	t.Cleanup(f.Close)
	return f
}

func TestCalls_WaveBeyondLimitIsSplit(t *testing.T) {
	t.Parallel()
	const n, most = 2000, 300
	f := newBusyFleet(t, 400*time.Millisecond)
	p := serve(t, dbtest.New(t), fmt.Sprintf("--max-calls=%d", most))
	var targets []object
	for i := range n {
		targets = append(targets, object{"id": fmt.Sprintf("t%04d", i), "address": fmt.Sprintf("%s/t%04d", f.URL, i)})
	}
	d := p.awaitEnd(p.post(object{
		"service": "checkout", "environment": "production", "version": "v2", "targets": targets,
		"strategy": object{"type": "rolling", "batch_size": n}, "deploy": object{"timeout": "1s"},
		"health_checks": []object{{"type": "none"}},
	}).ID)
	if d.State != "completed" || f.calls.Load() != n || len(f.seen) != n {
		t.Errorf("%s (%s) after %d calls of %d targets", d.State, d.Reason, f.calls.Load(), len(f.seen))
	}
	if f.most.Load() > most {
		t.Errorf("%d calls at once", f.most.Load())
	}
}

func TestTiming_BakeIsFullWhenDatabaseIsSlow(t *testing.T) {
	t.Parallel()
	const bake = 3300 * time.Millisecond
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2, "v1")
			f.Targets[0].SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = time.Duration(round) * 600 * time.Millisecond })
			database := linked(t, dbtest.New(t))
			p := serve(t, database.url)
			d := p.post(request(f, "v2", object{"type": "rolling", "bake": bake.String()}))
			p.await(d.ID, "bakes", func(d *deployment) bool { return d.Progress.Updated == 1 })
			repair := database.poison(`{"name":"slow","type":"latency","stream":"downstream","attributes":{"latency":1750}}`)
			awaitFact(t, "the database was slow for a heartbeat", func() bool {
				return time.Since(f.Targets[0].Calls()[0].Answered) > 2300*time.Millisecond
			})
			repair()
			if d := p.awaitEnd(d.ID); d.State != "completed" {
				t.Fatalf("%s: %s", d.State, d.Reason)
			}
			if baked := f.Targets[1].Calls()[0].Received.Sub(f.Targets[0].Calls()[0].Answered); baked < bake {
				t.Errorf("the next wave began %s after the call of the first", baked)
			}
		})
	}
}

func TestTiming_DoraEndsAtDatabaseNow(t *testing.T) {
	t.Parallel()
	database := dbtest.New(t)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql
		AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$`); err != nil {
		t.Fatal(err)
	}
	ahead, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	query := ahead.Query()
	query.Set("search_path", "public,pg_catalog")
	ahead.RawQuery = query.Encode()
	f := newFleet(t, 1, "v1")
	p := serve(t, ahead.String())
	p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID)
	awaitFact(t, "the change is within the last half hour of a database that is an hour ahead", func() bool {
		var stats struct{ Total struct{ Changes int } }
		call(t, http.MethodGet, p.url+"/stats/dora?window=30m", nil, &stats)
		return stats.Total.Changes == 1
	})
}
