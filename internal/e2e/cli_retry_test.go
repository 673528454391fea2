package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// lossy is a way to a server on which the answer to one change is lost.
type lossy struct {
	url string
	mu  sync.Mutex
	// meanwhile is done after the next change was answered by the server and before its connection is cut; nil cuts none.
	meanwhile func()
	lost      int
}

func newLossy(t *testing.T, p *process) *lossy {
	t.Helper()
	to, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	l, proxy := &lossy{}, httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		proxy.ServeHTTP(answer, r)
		if meanwhile := l.take(r.Method); meanwhile != nil {
			meanwhile()
			panic(http.ErrAbortHandler)
		}
		for name := range answer.Header() {
			w.Header().Set(name, answer.Header().Get(name))
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the command sees when it did not arrive
	}))
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

func (l *lossy) take(method string) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	meanwhile := l.meanwhile
	if method == http.MethodGet || meanwhile == nil {
		return nil
	}
	l.meanwhile = nil
	l.lost++
	return meanwhile
}

// rollcall runs a command whose answer is lost, and fails the test unless that happened.
func (l *lossy) rollcall(t *testing.T, meanwhile func(), args ...string) ran {
	t.Helper()
	l.mu.Lock()
	before := l.lost
	l.meanwhile = meanwhile
	l.mu.Unlock()
	r := finish(t, command(t, l.url, args...))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != before+1 {
		t.Errorf("%v: %d answers were lost, not one", args, l.lost-before)
	}
	return r
}

// TestCLI_LostResponseIsRepeatedWithKey loses the answer of each command until what it asked for is over, so that
// another one of it would do something else.
func TestCLI_LostResponseIsRepeatedWithKey(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	way := newLossy(t, p)
	of := func(service string, f *testtarget.Fleet, strategy object) object {
		body := request(f, "v2", strategy)
		body["service"] = service
		return body
	}
	all := func(service string) (ids []string) { // newest first
		for _, d := range list[struct{ ID, Service string }](p, "/deployments") {
			if d.Service == service {
				ids = append(ids, d.ID)
			}
		}
		return ids
	}
	ended := func(service string) func() { return func() { p.awaitEnd(all(service)[0]) } }
	gate := object{"type": "canary", "stages": []any{object{"percent": 50, "duration": "0s", "promotion": "manual"}, 100}, "stage_duration": "0s"}

	t.Run("rollback of what has ended", func(t *testing.T) {
		f := newFleet(t, 2, "v1")
		p.awaitEnd(p.post(of("ended", f, object{"type": "rolling"})).ID)
		way.rollcall(t, ended("ended"), "rollback", "ended", "--wait").want(0, "rolled_back")
		if n := len(all("ended")); n != 2 {
			t.Errorf("%d deployments", n)
		}
		assertRuns(t, f, allRun("v1"))
	})
	t.Run("rollback of what is in flight", func(t *testing.T) {
		f := newFleet(t, 2, "v1")
		d := p.post(of("flight", f, gate))
		p.awaitGate(d.ID, 1)
		way.rollcall(t, ended("flight"), "rollback", d.ID).want(0, d.ID)
		if n := len(all("flight")); n != 1 {
			t.Errorf("%d deployments", n)
		}
		assertRuns(t, f, allRun("v1"))
	})
	t.Run("last promote", func(t *testing.T) {
		d := p.post(of("promoted", newFleet(t, 2, "v1"), gate))
		p.awaitGate(d.ID, 1)
		way.rollcall(t, ended("promoted"), "promote", "promoted", "--wait").want(0, "completed")
	})
	t.Run("pause and resume", func(t *testing.T) {
		f := newFleet(t, 4, "v1")
		for _, target := range f.Targets {
			target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 200 * time.Millisecond })
		}
		d := p.post(of("paused", f, object{"type": "rolling", "batch_size": 1}))
		p.await(d.ID, "under way", func(d *deployment) bool { return d.Progress.InFlight > 0 })
		way.rollcall(t, func() { p.ask("/deployments/"+d.ID+"/resume", http.StatusOK) }, "pause", d.ID).want(0)
		if n := p.count(d.ID, "deployment.paused"); n != 1 {
			t.Errorf("paused %d times", n)
		}
		p.ask("/deployments/"+d.ID+"/pause", http.StatusOK)
		way.rollcall(t, ended("paused"), "resume", d.ID, "--wait").want(0, "completed")
	})
	t.Run("delete", func(t *testing.T) {
		file := written(t, "n.yaml", "kind: webhook\nurl: http://127.0.0.1:9/\n")
		p.rollcall(t, "notifications", "put", "main", "--file="+file).want(0)
		way.rollcall(t, func() {}, "notifications", "delete", "main").want(0)
	})
	t.Run("token", func(t *testing.T) {
		made := way.rollcall(t, func() {}, "tokens", "create", "ci", "--role=deployer").want(0)
		if n := len(list[object](p, "/tokens")); n != 1 || !strings.HasPrefix(made.out, "rct_") {
			t.Errorf("%d tokens, printed %q", n, made.out)
		}
	})
}

// TestCLI_KeyFindsCommandOutcome: who gave up says how to find out, and that does nothing a second time.
func TestCLI_KeyFindsCommandOutcome(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v1")
	p := serve(t, dbtest.New(t))
	way := newLossy(t, p)
	p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID)
	gaveUp := way.rollcall(t, func() {}, "rollback", "checkout", "--patience=0s", "--reason=too slow").
		want(3, "may have been carried out", `repeat rollcall rollback checkout --environment=production --reason="too slow" --key=`)
	p.awaitEnd(list[deployment](p, "/deployments")[0].ID)
	_, key, _ := strings.Cut(gaveUp.err, "--key=")
	key, _, _ = strings.Cut(key, "\n")
	p.rollcall(t, "rollback", "checkout", "--reason=too slow", "--key="+key, "--wait").want(0, "rolled_back")
	if n := len(list[deployment](p, "/deployments")); n != 2 {
		t.Errorf("%d deployments", n)
	}
	assertRuns(t, f, allRun("v1"))
}
