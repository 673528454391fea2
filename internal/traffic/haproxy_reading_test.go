package traffic

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// targetsNamed are targets that go by their servers' names.
func targetsNamed(names ...string) []rollout.Target {
	targets := make([]rollout.Target, len(names))
	for i, name := range names {
		targets[i].ID = name
	}
	return targets
}

// weighted is a setting that gives each of the targets its weight.
func weighted(targets []rollout.Target, weights ...int) routing.TrafficSplit {
	var s routing.TrafficSplit
	for i := range targets {
		s.Backends = append(s.Backends, routing.Backend{Target: targets[i].ID, Weight: weights[i]})
	}
	return s
}

func (p *proxy) read(targets []rollout.Target) routing.Reading {
	p.t.Helper()
	reading, err := New(Config{}).Read(p.t.Context(), onProxy(p), targets)
	if err != nil {
		p.t.Fatalf("no reading: %v", err)
	}
	return reading
}

// one is the reading of one server.
func (p *proxy) one(name string) routing.BackendReading {
	p.t.Helper()
	return p.read(targetsNamed(name)).Backends[0]
}

// checked is a server of an application that HAProxy's check finds up while the application is.
func checked(t *testing.T, name, options string) (line string, up *atomic.Bool) {
	t.Helper()
	up = new(atomic.Bool)
	up.Store(true)
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, name)
	})
	return fmt.Sprintf("  server %s %s check inter 20ms fall 1 %s\n", name, strings.TrimPrefix(address, "http://"), options), up
}

func TestHAProxyReading_NamesWhyAServerIsIdle(t *testing.T) {
	t.Parallel()
	line, up := checked(t, "down", "rise 1")
	up.Store(false)
	p := startProxy(t, "admin", "backend checkout\n  option httpchk\n"+line+`
  server plain 127.0.0.1:1 weight 7
  server zero 127.0.0.1:1 weight 0
  server off 127.0.0.1:1 disabled
  server spare 127.0.0.1:1 backup
  server drained 127.0.0.1:1
  server tracker 127.0.0.1:1 track base/b
  server-template t 1 nowhere.invalid:80 init-addr none
backend base
  server b 127.0.0.1:1 check inter 1h
`)
	p.say("set server checkout/drained state drain; set server base/b state maint")
	eventually(t, "the check finds it down", func() bool { return !p.one("down").Serving })
	for name, want := range map[string]routing.BackendReading{
		"down":    {Weight: 1, Why: "down is down: L7STS Service Unavailable"},
		"plain":   {Weight: 7, Serving: true},
		"zero":    {Why: "zero has weight 0"},
		"off":     {Weight: 1, HeldBy: "maint", Why: "off is in maintenance"},
		"spare":   {Weight: 1, Why: "spare is a backup, and serves only when others cannot"},
		"drained": {Weight: 1, HeldBy: "drain", Why: "drained is in drain"},
		"tracker": {Weight: 1, HeldBy: "maint", Why: "tracker is in maint through the server that it tracks (MAINT (via base/b))"},
		"t1":      {Weight: 1, HeldBy: "maint", Why: "t1 is in maintenance, because its name has no address"},
	} {
		want.Target, want.Effective = name, 100
		if got := p.one(name); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	p.say("set server checkout/plain state maint")
	if got := p.one("spare"); !got.Serving {
		t.Errorf("the backup has its turn: %+v", got)
	}
}

func TestHAProxyReading_ServesOnlyOnceItsChecksRose(t *testing.T) {
	t.Parallel()
	line, up := checked(t, "web-1", "rise 30")
	p := startProxy(t, "admin", "backend checkout\n  option httpchk\n"+line+"  server web-2 127.0.0.1:1\n")
	up.Store(false)
	eventually(t, "it is down", func() bool { return !p.one("web-1").Serving })
	up.Store(true)
	began := time.Now()
	eventually(t, "it serves", func() bool { return p.one("web-1").Serving })
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("it serves after %v, before 30 checks", took)
	}
}

func TestHAProxyReading_CountsSessionsInWork(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	release := sync.OnceFunc(func() { close(end) })
	address := serve(t, func(http.ResponseWriter, *http.Request) { <-end })
	t.Cleanup(release) // before the server closes, which waits for its requests
	p := startProxy(t, "admin", "backend checkout\n  server web-1 "+strings.TrimPrefix(address, "http://")+"\n  server web-2 127.0.0.1:1 backup\n")
	if got := p.one("web-1"); got.Sessions != 0 {
		t.Errorf("%d sessions before any", got.Sessions)
	}
	for range 2 {
		go func() {
			if resp, err := http.Get("http://" + p.front); err == nil {
				_ = resp.Body.Close()
			}
		}()
	}
	eventually(t, "two sessions", func() bool { return p.one("web-1").Sessions == 2 })
	p.say("set server checkout/web-1 state drain")
	if got := p.one("web-1"); got.Sessions != 2 {
		t.Errorf("%d sessions in drain", got.Sessions)
	}
	release()
	eventually(t, "none", func() bool { return p.one("web-1").Sessions == 0 })
}

func TestHAProxyReading_ReportsASlowStart(t *testing.T) {
	t.Parallel()
	line, _ := checked(t, "web-1", "weight 200 rise 1 slowstart 2s")
	p := startProxy(t, "admin", "backend checkout\n  option httpchk\n"+line+"  server web-2 127.0.0.1:1\n")
	p.say("set server checkout/web-1 state maint")
	p.say("set server checkout/web-1 state ready")
	var seen []int
	eventually(t, "the start is over", func() bool {
		got := p.one("web-1")
		seen = append(seen, got.Effective)
		if got.Weight != 200 || !got.Serving {
			t.Errorf("in its start: %+v", got)
		}
		return got.Effective == 100
	})
	if seen[0] >= 60 {
		t.Errorf("the parts were %v", seen)
	}
}

func TestHAProxyReading_NamesTheProcess(t *testing.T) {
	t.Parallel()
	p, other := startProxy(t, "admin", twoServers), startProxy(t, "admin", twoServers)
	first := p.read(twoTargets()).Instance
	if again := p.read(twoTargets()).Instance; first == "" || again != first {
		t.Errorf("one process is %q and %q", first, again)
	}
	if second := other.read(twoTargets()).Instance; second == first {
		t.Errorf("two processes are both %q", first)
	}
}

// agent answers HAProxy's agent-check.
func agent(t *testing.T, says string) (options string, says2 *atomic.Pointer[string]) {
	t.Helper()
	says2 = new(atomic.Pointer[string])
	says2.Store(&says)
	l := listener(t, "tcp", "127.0.0.1:0")
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_, _ = io.WriteString(conn, *says2.Load()+"\n")
			_ = conn.Close()
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "agent-check agent-port " + port + " agent-inter 20ms", says2
}

func TestHAProxyAgent_DoesNotTakeADrainBack(t *testing.T) {
	t.Parallel()
	options, says := agent(t, "75%")
	p := startProxy(t, "admin", "backend checkout\n  server web-1 127.0.0.1:1 weight 200 "+options+"\n  server web-2 127.0.0.1:1 weight 100\n")
	has := func(weight string) bool {
		return strings.HasPrefix(p.say("get weight checkout/web-1"), weight+" ")
	}
	eventually(t, "the agent has said its part", func() bool { return has("150") })
	targets, d := targetsNamed("web-1", "web-2"), onProxy(p)
	if got := p.one("web-1"); got.Weight != 200 || !got.Serving || got.Effective != 100 {
		t.Errorf("in full rotation: %+v", got)
	}
	set := func(weights ...int) {
		t.Helper()
		call := callFor(weighted(targets, weights...))
		call.Baseline = []routing.Backend{{Target: "web-1", Weight: 200}, {Target: "web-2", Weight: 100}}
		call.TakenOut = []string{"web-1"}
		d.Progress.Router = &routing.State{Sent: &call, Baseline: call.Baseline}
		want(t, New(Config{}).SetWeights(t.Context(), d, targets, call), rollout.ResultDone, "")
	}
	reads := func(weight int, serving bool) {
		t.Helper()
		r, err := New(Config{}).Read(t.Context(), d, targets)
		if err != nil || r.Backends[0].Weight != weight || r.Backends[0].Serving != serving {
			t.Errorf("read %+v, %v", r, err)
		}
	}
	set(0, 100)
	said := "50%"
	says.Store(&said)
	eventually(t, "the agent has taken the weight back", func() bool { return has("100") })
	reads(0, false)
	set(200, 100)
	reads(200, true)
	eventually(t, "the agent's part counts again", func() bool { return has("100") })
	reads(200, true)
}

func TestHAProxyAgent_WeightsRuleOutShares(t *testing.T) {
	t.Parallel()
	options, _ := agent(t, "75%")
	p := startProxy(t, "admin", "backend checkout\n  server web-1 127.0.0.1:1 weight 200 "+options+"\n  server web-2 127.0.0.1:1\n")
	eventually(t, "the agent has said its part", func() bool { return strings.HasPrefix(p.say("get weight checkout/web-1"), "150 ") })
	d, targets := onProxy(p), targetsNamed("web-1", "web-2")
	d.Spec.Strategy.Type = "rolling"
	want(t, New(Config{}).SetWeights(t.Context(), d, targets, callFor(weighted(targets, 200, 1))), rollout.ResultDone, "")
	d.Spec.Strategy.Type = "canary"
	want(t, New(Config{}).SetWeights(t.Context(), d, targets, callFor(weighted(targets, 200, 1))), rollout.ResultRefused, "agent of server web-1")
	if _, err := New(Config{}).Read(t.Context(), d, targets); err == nil || !strings.Contains(err.Error(), "agent of server web-1") {
		t.Errorf("read: %v", err)
	}
}
