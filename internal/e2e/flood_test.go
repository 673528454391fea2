package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// Requests that wait for a lock hold connections to the database; the engine must have some of its own, or rollouts stop
// and the lease is lost because of what callers do.
func TestFlood_BlockedRequestsDelayNoRollout(t *testing.T) {
	t.Parallel()
	f := slowly(t, 6)
	database := dbtest.New(t)
	p := serve(t, database)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `SELECT pg_advisory_lock(hashtextextended('locked/production', 0))`); err != nil {
		t.Fatal(err)
	}
	body := request(f, "v2", object{"type": "rolling"})
	body["service"] = "locked"
	payload, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	d := p.post(request(f, "v2", object{"type": "rolling"}))
	var flood sync.WaitGroup
	defer flood.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for range 40 {
		flood.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/deployments", bytes.NewReader(payload))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			if res, err := http.DefaultClient.Do(req); err == nil {
				_ = res.Body.Close()
			}
		})
	}
	p.awaitTargets(f, 6)
	if p.logged("heartbeat failed") || p.logged("failed to save deployment") {
		t.Errorf("the engine got no connection:\n%s", p.tail())
	}
	stop()
	if d := p.awaitEnd(d.ID); d.State != "completed" {
		t.Errorf("ended %s: %s", d.State, d.Reason)
	}
}

// awaitTargets waits until the fleet has been called so often. It does not ask the API, which is busy.
func (p *process) awaitTargets(f *testtarget.Fleet, calls int) {
	p.t.Helper()
	began := time.Now()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); <-poll.C {
		if len(f.Calls()) >= calls {
			p.t.Logf("%d calls within %s", calls, time.Since(began))
			return
		}
	}
	p.t.Errorf("only %d of %d calls were made", len(f.Calls()), calls)
}
