package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
)

// keyedPost sends a POST with an idempotency key. Status 0 means that nothing came back.
func keyedPost(t testing.TB, url, key string) (res *http.Response, d deployment) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = nil // else net/http sends one with a key twice
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err = http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return &http.Response{Header: http.Header{}}, d
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return res, d
}

// TestKey_ServerKilledBeforeResponse kills the server around the commit of a rollback, and repeats the request at the next
// one, when what came of it has ended.
func TestKey_ServerKilledBeforeResponse(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"before the commit": true, "after the commit": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2, "v1")
			database := dbtest.New(t)
			way := newWire(t, database)
			p := serve(t, way.url)
			p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID)

			const path = "/services/checkout/environments/production/rollback"
			way.onCommit(commitFault{before: before, of: "deployment.created", strike: p.kill})
			if res, _ := keyedPost(t, p.url+path, "undo-1"); res.StatusCode != 0 {
				t.Fatalf("answered %d; the server was to be killed", res.StatusCode)
			}
			p = serve(t, database)
			for _, d := range list[deployment](p, "/deployments") {
				p.awaitEnd(d.ID) // a rollback under way would be left alone without any key
			}
			_, first := keyedPost(t, p.url+path, "undo-1")
			if end := p.awaitEnd(first.ID); end.State != "rolled_back" || !end.Result.Success {
				t.Errorf("ended %s: %s", end.State, end.Reason)
			}
			res, again := keyedPost(t, p.url+path, "undo-1")
			if res.StatusCode != http.StatusAccepted || again.ID != first.ID || res.Header.Get("Idempotency-Replayed") != "true" ||
				res.Header.Get("Location") != "/deployments/"+first.ID {
				t.Errorf("again: %d, %s instead of %s, %v", res.StatusCode, again.ID, first.ID, res.Header)
			}
			if all := list[deployment](p, "/deployments"); len(all) != 2 || len(f.Calls()) != 4 {
				t.Errorf("%d deployments, %d calls", len(all), len(f.Calls()))
			}
			assertRuns(t, f, func(int) string { return "v1" })
		})
	}
}

// TestKey_PauseIsNotRepeatedAfterKill: the deployment waits at a gate without checks, so that nothing but the pause is
// committed when the server is killed.
func TestKey_PauseIsNotRepeatedAfterKill(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v1")
	database := dbtest.New(t)
	way := newWire(t, database)
	p := serve(t, way.url)
	stage := object{"percent": 50, "duration": "0s", "promotion": "manual"}
	body := request(f, "v2", object{"type": "canary", "stages": []any{stage, 100}, "stage_duration": "0s"})
	delete(body, "health_checks")
	d := p.post(body)
	p.awaitGate(d.ID, 1)

	pause := "/deployments/" + d.ID + "/pause"
	way.onCommit(commitFault{of: "deployment.paused", strike: p.kill})
	if res, _ := keyedPost(t, p.url+pause, "k"); res.StatusCode != 0 {
		t.Fatalf("answered %d; the server was to be killed", res.StatusCode)
	}
	p = serve(t, database)
	if n := p.count(d.ID, "deployment.paused"); n != 1 {
		t.Fatalf("paused %d times; the pause was committed", n)
	}
	p.ask("/deployments/"+d.ID+"/resume", http.StatusOK)
	if res, _ := keyedPost(t, p.url+pause, "k"); res.StatusCode != http.StatusOK || res.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: %d %v", res.StatusCode, res.Header)
	}
	if n := p.count(d.ID, "deployment.paused"); n != 1 {
		t.Errorf("paused %d times", n)
	}
}
