package e2e

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// stat is a row of "show stat" about a server, by column.
type stat map[string]string

// up reports whether HAProxy gives a server its whole share.
func (s stat) up() bool {
	return (strings.HasPrefix(s["status"], "UP") || s["status"] == "no check") && s["weight"] != "0" && (s["throttle"] == "" || s["throttle"] == "100")
}

// stats asks HAProxy for what it reports of its servers, by name.
func (p *proxy) stats() (map[string]stat, error) {
	conn, err := net.Dial("tcp", p.api)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "show stat checkout 4 -1\n"); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(string(answer)), "# "))).ReadAll()
	if err != nil {
		return nil, err
	}
	servers := map[string]stat{}
	for _, row := range rows[1:] {
		s := stat{}
		for i, cell := range row {
			s[rows[0][i]] = cell
		}
		servers[s["svname"]] = s
	}
	return servers, nil
}

// watch calls see with what HAProxy reports, again and again, until the returned function is called.
func (p *proxy) watch(see func(map[string]stat)) (stop func()) {
	over, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for tick := time.Tick(10 * time.Millisecond); ; <-tick {
			servers, err := p.stats()
			if err != nil {
				ended <- err
				return
			}
			see(servers)
			select {
			case <-over:
				ended <- nil
				return
			default:
			}
		}
	}()
	return func() {
		p.t.Helper()
		close(over)
		if err := <-ended; err != nil {
			p.t.Error(err)
		}
	}
}

// fewest counts, until the returned function is called, how many servers had their whole share at the least.
func (p *proxy) fewest() (stop func() int) {
	least, when := 1000, ""
	end := p.watch(func(servers map[string]stat) {
		n, all := 0, ""
		for name, s := range servers {
			all += fmt.Sprint(" ", name, ":", s["status"], "/", s["weight"], "/", s["throttle"])
			if s.up() {
				n++
			}
		}
		if n < least {
			least, when = n, all
		}
	})
	return func() int {
		p.t.Helper()
		end()
		p.t.Logf("fewest: %s", when)
		return least
	}
}

// HAProxy's own check takes four good answers to find a server up again, long after Rollcall's has.
func TestHAProxy_NextIsDrainedWhenLastIsUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		strategy object
		fails    bool
	}{
		"between waves":   {strategy: object{"type": "rolling"}},
		"within a wave":   {strategy: object{"type": "canary", "stages": []any{object{"percent": 100, "duration": "0s"}}, "max_parallel": 1}},
		"on the way back": {strategy: object{"type": "rolling", "on_failure": "rollback"}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 3, "v1")
			for _, target := range f.Targets {
				target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 250 * time.Millisecond })
			}
			state := "completed"
			if c.fails {
				state = "rolled_back"
				f.Targets[2].SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v2" })
			}
			proxy := startProxyAs(t, f, "balance roundrobin", "balance roundrobin\n  option httpchk GET /",
				"weight 100", "weight 100 check inter 100ms fall 1 rise 4")
			p := serve(t, dbtest.New(t))
			stop := proxy.fewest()
			body := proxy.request(f, "v2", c.strategy)
			body["healthy_deadline"] = "3s"
			d := p.awaitEnd(p.post(body).ID)
			assertEnd(p, d, state, !c.fails)
			if n := stop(); n < len(f.Targets)-1 {
				t.Errorf("%d of %d served, and one at a time was to be out", n, len(f.Targets))
			}
		})
	}
}

func TestHAProxy_DownServerIsNotVerified(t *testing.T) {
	t.Parallel()
	const first = "weight 100\n  server web-2" // the first server's line ends, and the next begins
	for want, c := range map[string]struct{ config, command string }{
		"web-1 is in drain":       {command: "set server checkout/web-1 state drain"},
		"web-1 is in maintenance": {command: "set server checkout/web-1 state maint"},
		"web-1 is down: L4CON":    {config: "weight 100 check port 1 inter 100ms fall 1\n  server web-2"},
		"web-1 is a backup":       {config: "weight 100 backup\n  server web-2"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2, "v1")
			var proxy *proxy
			if c.config != "" {
				proxy = startProxyAs(t, f, first, c.config)
			} else {
				proxy = startProxy(t, f)
				proxy.say(c.command)
			}
			p := serve(t, dbtest.New(t))
			body := proxy.request(f, "v2", object{"type": "canary", "stages": []any{50, 100}})
			body["healthy_deadline"] = "2s"
			d := p.awaitEnd(p.post(body).ID)
			if d.Result.Success || !strings.Contains(d.Reason, want) {
				t.Errorf("ended %s: %s", d.State, d.Reason)
			}
		})
	}
}

func TestHAProxy_SlowStartIsNotFullWeight(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, "v1")
	proxy := startProxyAs(t, f, "weight 100", "weight 100 slowstart 2s")
	p := serve(t, dbtest.New(t))
	// HAProxy counts a slow start from its own start, too.
	awaitFact(t, "servers are past their slow start", func() bool {
		servers, err := proxy.stats()
		return err == nil && !slices.ContainsFunc(slices.Collect(maps.Values(servers)), func(s stat) bool {
			seconds, err := strconv.Atoi(s["lastchg"])
			return err != nil || seconds <= 2
		})
	})
	stop := proxy.fewest()
	body := proxy.request(f, "v2", object{"type": "canary", "stages": []any{object{"percent": 67, "duration": "0s"}, object{"percent": 100, "duration": "0s"}}, "max_parallel": 1})
	part[object](body, "traffic")["take_out"] = "maint"
	assertEnd(p, p.awaitEnd(p.post(body).ID), "completed", true)
	if n := stop(); n < 2 {
		t.Errorf("%d of 3 had their whole share, and one at a time was to be out", n)
	}
}

// download asks for an answer that takes as long, and returns when it has begun: with the server that gives it, and with what
// came of it later.
func (p *proxy) download(takes time.Duration) (server string, ended <-chan error) {
	p.t.Helper()
	res, err := http.Get("http://" + p.front + downloadPath + takes.String())
	if err != nil {
		p.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		done <- err
	}()
	return res.Header.Get("Server"), done
}

func TestHAProxy_DrainWaitsForSessions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ takes, drain, atLeast time.Duration }{
		"a download":      {2 * time.Second, 30 * time.Second, 2 * time.Second},
		"one without end": {time.Hour, 2 * time.Second, 2 * time.Second},
		"no session":      {0, 30 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2, "v1")
			proxy := startProxy(t, f)
			p := serve(t, dbtest.New(t))
			body := proxy.request(f, "v2", object{"type": "rolling"})
			part[object](body, "traffic")["drain"] = c.drain.String()
			began := time.Now()
			server, ended := proxy.download(c.takes)
			assertEnd(p, p.awaitEnd(p.post(body).ID), "completed", true)
			calls := f.Target(server).Calls()
			if took := calls[0].Received.Sub(began); took < c.atLeast || took > 15*time.Second {
				t.Errorf("%s was called after %v", server, took)
			}
			if c.takes < c.drain {
				if err := <-ended; err != nil {
					t.Errorf("the download: %v", err)
				}
			}
		})
	}
}

// Two servers that a failed deployment has left out come back one by one, each when its target is verified.
func TestHAProxy_DrainedStaysOutUntilVerified(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	bad := f.Targets[:2]
	for _, target := range bad {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v2" })
	}
	proxy := startProxy(t, f)
	p := serve(t, dbtest.New(t))
	body := proxy.request(f, "v2", object{"type": "rolling", "batch_size": 2, "on_failure": "halt"})
	body["healthy_deadline"] = "1s"
	assertEnd(p, p.awaitEnd(p.post(body).ID), "failed", false)
	if got := proxy.weights(); !slices.Equal(got, []int{0, 0, 100, 100}) {
		t.Fatalf("left with weights %v", got)
	}
	var early []string
	stop := proxy.watch(func(servers map[string]stat) {
		for _, target := range bad {
			if servers[target.ID].up() && target.Version() != "v3" {
				early = append(early, target.ID)
			}
		}
	})
	assertEnd(p, p.awaitEnd(p.post(proxy.request(f, "v3", object{"type": "rolling"})).ID), "completed", true)
	stop()
	if len(early) > 0 {
		t.Errorf("back before they were verified: %v", slices.Compact(early))
	}
	if got := proxy.weights(); !slices.Equal(got, []int{100, 100, 100, 100}) {
		t.Errorf("in the end the weights are %v", got)
	}
}
