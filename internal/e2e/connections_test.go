package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"rollcall/internal/dbtest"
)

// connTarget is a target that records which requests came over which connection. It is unhealthy on v2.
type connTarget struct {
	*httptest.Server
	open sync.WaitGroup // a connection each

	mu      sync.Mutex
	version string
	calls   int
	checks  map[string][]int // by connection: how many calls there had been before each check
	called  map[string]bool  // the connections of calls
}

func newConnTarget(t *testing.T) *connTarget {
	t.Helper()
	c := &connTarget{checks: map[string][]int{}, called: map[string]bool{}}
	c.Server = httptest.NewUnstartedServer(c)
	c.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			c.open.Add(1)
		case http.StateClosed:
			c.open.Done()
		default:
		}
	}
	c.Start()
	t.Cleanup(c.Close)
	return c
}

// ServeHTTP implements http.Handler.
func (c *connTarget) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.URL.Path == "/deploy" {
		var call struct{ Version string }
		_ = json.NewDecoder(r.Body).Decode(&call)
		c.version, c.called[r.RemoteAddr] = call.Version, true
		c.calls++
		return
	}
	c.checks[r.RemoteAddr] = append(c.checks[r.RemoteAddr], c.calls)
	if c.version == "v2" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// The checks of a target share a connection, but not with a deploy call, nor with the checks before it. All are closed when
// the rollout has ended.
func TestConnections_ChecksShareOneBetweenCalls(t *testing.T) {
	t.Parallel()
	const checks = 8
	target := newConnTarget(t)
	p := serve(t, dbtest.New(t))
	for _, want := range []struct{ version, end string }{{"v1", "completed"}, {"v2", "rolled_back"}} {
		if d := p.awaitEnd(p.post(connectedRequest(target, want.version, checks)).ID); d.State != want.end {
			t.Fatalf("%s: %s: %s", want.version, d.State, d.Reason)
		}
	}
	target.open.Wait()
	target.mu.Lock()
	defer target.mu.Unlock()
	longest := map[int]int{} // by calls
	for conn, seen := range target.checks {
		if target.called[conn] {
			t.Errorf("a call and %d checks shared a connection", len(seen))
		}
		if first, last := seen[0], seen[len(seen)-1]; first != last {
			t.Errorf("checks after %d and after %d calls shared a connection", first, last)
		}
		longest[seen[0]] = max(longest[seen[0]], len(seen))
	}
	if target.calls != 3 || longest[1] < checks || longest[3] < checks {
		t.Errorf("%d calls; most checks on one connection, by calls before: %v", target.calls, longest)
	}
}

func connectedRequest(target *connTarget, version string, checks int) object {
	return object{
		"service": "checkout", "environment": "production", "version": version, "healthy_deadline": "2s",
		"targets":  []object{{"id": "web-1", "address": target.URL}},
		"strategy": object{"type": "rolling", "batch_size": 1},
		"health_checks": []object{{
			"type": "http", "path": "/health", "interval": "100ms", "healthy_threshold": checks,
		}},
	}
}
