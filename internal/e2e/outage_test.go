package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rollcall/internal/dbtest"
	"rollcall/internal/slowtest"
	"rollcall/internal/testtarget"
)

// link is a way to the database that can fail.
type link struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
	url   string
}

func linked(t *testing.T, database string) *link {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	control := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	l := &link{t: t, proxy: toxiproxy.NewProxy(control, "database", "127.0.0.1:0", u.Host)}
	if err := l.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.proxy.Stop)
	u.Host = l.proxy.Listen
	l.url = u.String()
	return l
}

// refuse cuts every connection and takes no new one, as a database that was stopped.
func (l *link) refuse() (repair func()) {
	l.proxy.Stop()
	return func() {
		if err := l.proxy.Start(); err != nil {
			l.t.Error(err)
		}
	}
}

// hang takes connections and requests and never lets an answer through, as a network that loses everything.
func (l *link) hang() (repair func()) {
	return l.poison(`{"name":"up","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`,
		`{"name":"down","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
}

// reset takes connections and resets each.
func (l *link) reset() (repair func()) {
	return l.poison(`{"name":"reset","type":"reset_peer","stream":"upstream","attributes":{"timeout":0}}`)
}

func (l *link) poison(toxics ...string) (repair func()) {
	for _, toxic := range toxics {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			l.t.Fatal(err)
		}
	}
	return func() { l.proxy.Toxics.ResetToxics(l.t.Context()) }
}

// slowly is a fleet of n whose calls take a while, so that a rollout one by one has a middle.
func slowly(t *testing.T, n int) *testtarget.Fleet {
	f := newFleet(t, n, "v1")
	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay, b.Fenced = 150*time.Millisecond, true })
	}
	return f
}

func TestOutage_RolloutSurvivesDatabaseLoss(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	for name, fail := range map[string]func(*link) func(){"refuses": (*link).refuse, "hangs": (*link).hang, "resets": (*link).reset} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := slowly(t, 12)
			database := linked(t, dbtest.New(t))
			p := serve(t, database.url)
			d := p.post(request(f, "v2", object{"type": "rolling"}))
			for round, what := range []string{"", "failed to renew the lease"} {
				p.await(d.ID, "under way", func(d *deployment) bool { return d.Progress.Updated >= 2+3*round })
				repair := fail(database)
				p.assertUnavailable(f)
				p.awaitLine(what)
				repair()
				p.assertProgresses(d.ID)
			}
			if d := p.awaitEnd(d.ID); d.State != "completed" || d.Result.Updated != len(f.Targets) {
				t.Errorf("ended %s (%s): %+v", d.State, d.Reason, d.Result)
			}
			assertTruth(p, d.ID, f)
		})
	}
}

// unavailableBound is how soon the API says that the database is away, and what a busy machine adds.
const unavailableBound = 2*time.Second + 500*time.Millisecond

// assertUnavailable checks that reading and writing are answered soon, and that the caller is asked to come again.
func (p *process) assertUnavailable(f *testtarget.Fleet) {
	p.t.Helper()
	body := request(f, "v3", object{"type": "rolling"})
	body["service"] = "another"
	for _, ask := range []struct {
		method, path string
		body         any
	}{{http.MethodGet, "/deployments", nil}, {http.MethodPost, "/deployments", body}, {http.MethodGet, "/readyz", nil}} {
		began := time.Now()
		res, data := call(p.t, ask.method, p.url+ask.path, ask.body, nil)
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			p.t.Errorf("without its database, %s %s answers %d %s", ask.method, ask.path, res.StatusCode, data)
		}
		if took := time.Since(began); took > unavailableBound {
			p.t.Errorf("without its database, %s %s answers after %s", ask.method, ask.path, took)
		}
	}
	if res, _ := call(p.t, http.MethodGet, p.url+"/healthz", nil, nil); res.StatusCode != http.StatusOK {
		p.t.Errorf("without its database, the process says that it is not alive: %d", res.StatusCode)
	}
}

// assertProgresses checks that the deployment moves within 5 s.
func (p *process) assertProgresses(id string) {
	p.t.Helper()
	began := time.Now()
	first := 0
	p.await(id, "going on", func(d *deployment) bool {
		if first == 0 {
			first = d.Revision
		}
		return d.Revision > first || d.terminal()
	})
	took := time.Since(began)
	p.t.Logf("it went on after %s", took)
	if took > 5*time.Second {
		p.t.Errorf("the rollout went on %s after its database was back", took)
	}
}

// awaitLine waits until the server has logged a message that begins with the text.
func (p *process) awaitLine(text string) {
	p.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-poll.C {
		if text == "" || p.logged(text) {
			return
		}
	}
	p.t.Fatalf("it never logged %q:\n%s", text, p.tail())
}

func (p *process) logged(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		var entry struct{ Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Msg, text) {
			return true
		}
	}
	return false
}
