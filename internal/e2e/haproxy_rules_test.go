package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// startProxyAs changes the configuration of a proxy before its servers are seen.
func startProxyAs(t *testing.T, f *testtarget.Fleet, replacements ...string) *proxy {
	t.Helper()
	p := startProxy(t, f)
	config, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(replacements...).Replace(string(config))
	if err := os.WriteFile(p.config, []byte(changed), 0o600); err != nil || changed == string(config) {
		t.Fatalf("the configuration was not changed: %v", err)
	}
	p.restart()
	return p
}

// visitor asks as one client that keeps its cookies, until the returned function is called; that fails the test if a request
// failed.
func (p *proxy) visitor(t *testing.T) (stop func()) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	var over atomic.Bool
	var asked int
	failed, ended := "", make(chan struct{})
	go func() {
		defer close(ended)
		for !over.Load() && asked < maxRequests {
			if _, err := visit(client, "http://"+p.front); err != nil && failed == "" {
				failed = err.Error()
			}
			asked++
		}
	}()
	return func() {
		t.Helper()
		over.Store(true)
		<-ended
		if failed != "" || asked < 10 {
			t.Errorf("of %d requests one failed: %s", asked, failed)
		}
	}
}

func TestHAProxy_PermanentRefusalEndsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v1")
	p := serve(t, dbtest.New(t))
	for want, proxy := range map[string]*proxy{
		"balance first":       startProxyAs(t, f, "balance roundrobin", "balance first"),
		"balance source":      startProxyAs(t, f, "balance roundrobin", "balance source"),
		"level operator":      startProxyAs(t, f, "level admin", "level operator"),
		"has no server web-2": startProxyAs(t, f, "server web-2", "server www-2"),
		"Can't find backend":  startProxyAs(t, f, "backend checkout", "backend checkouts"),
	} {
		body := proxy.request(f, "v2", object{"type": "rolling"})
		body["service"] = strings.NewReplacer(" ", "-", "'", "").Replace(strings.ToLower(want))
		began := time.Now()
		d := p.awaitEnd(p.post(body).ID)
		if took := time.Since(began); d.Result.Success || !strings.Contains(d.Reason, want) || took > 30*time.Second {
			t.Errorf("%s: %s after %v: %s", want, d.State, took, d.Reason)
		}
	}
	if calls := f.Calls(); len(calls) > 0 {
		t.Errorf("%d calls", len(calls))
	}
}

func TestHAProxy_ForbiddenSocketIsInvalid(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t), "--allow-socket", "/run/other.sock")
	body := request(f, "v2", object{"type": "rolling"})
	body["traffic"] = object{"type": "haproxy", "socket": "unix:/run/haproxy.sock", "backend": "checkout"}
	p.refused(body, "/traffic/socket")
	body["traffic"] = object{"type": "haproxy", "sockets": []string{"unix:/run/other.sock", "unix:/run/haproxy.sock"}, "backend": "checkout"}
	p.refused(body, "/traffic/sockets/1")
}

// The application behind answers 503 while its target is called.
func TestHAProxy_StickyClientsMoveBeforeCall(t *testing.T) {
	t.Parallel()
	for name, persistence := range map[string][]string{
		"cookie": {"balance roundrobin", "balance roundrobin\n  cookie SRV insert indirect nocache dynamic\n  dynamic-cookie-key k"},
		"table":  {"balance roundrobin", "balance roundrobin\n  stick-table type ip size 1k expire 1m\n  stick on src"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := slowFleet(t, 3)
			proxy := startProxyAs(t, f, persistence...)
			p := serve(t, dbtest.New(t))
			stop := proxy.visitor(t)
			d := p.awaitEnd(p.post(proxy.request(f, "v2", object{"type": "rolling"})).ID)
			assertEnd(p, d, "completed", true)
			stop()
			if got := proxy.weights(); !slices.Equal(got, []int{100, 100, 100}) {
				t.Errorf("left with weights %v", got)
			}
		})
	}
}

func TestHAProxy_AgentDoesNotReviveCalledTarget(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_, _ = io.WriteString(conn, "75%\n")
			_ = conn.Close()
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	f := slowFleet(t, 3)
	proxy := startProxyAs(t, f, "weight 100", fmt.Sprintf("weight 100 agent-check agent-port %s agent-inter 20ms", port))
	p := serve(t, dbtest.New(t))
	_, stop := startLoad(t, proxy)
	d := p.awaitEnd(p.post(proxy.request(f, "v2", object{"type": "rolling"})).ID)
	assertEnd(p, d, "completed", true)
	stop()
	assertRuns(t, f, allRun("v2"))
}

func TestHAProxy_TwoBalancersMoveTogether(t *testing.T) {
	t.Parallel()
	f := slowFleet(t, 4)
	one, other := startProxy(t, f), startProxy(t, f)
	p := serve(t, dbtest.New(t))
	_, stop := startLoad(t, one)
	_, stopOther := startLoad(t, other)
	body := one.request(f, "v2", object{"type": "canary", "stages": []any{object{"percent": 50, "duration": "0s", "promotion": "manual"}, object{"percent": 100, "duration": "0s"}}})
	part[object](body, "traffic")["sockets"] = []string{other.api}
	d := p.post(body)
	p.await(d.ID, "at the gate", func(d *deployment) bool { return d.State == "paused" && d.Progress.Weight == 50 })
	if a, b := one.weights(), other.weights(); !slices.Equal(a, b) || len(a) != 4 {
		t.Errorf("weights %v and %v", a, b)
	}
	p.ask("/deployments/"+d.ID+"/promote", http.StatusOK)
	assertEnd(p, p.awaitEnd(d.ID), "completed", true)
	stop()
	stopOther()
	if a, b := one.weights(), other.weights(); !slices.Equal(a, b) {
		t.Errorf("left with weights %v and %v", a, b)
	}
}

func TestHAProxy_ManualMaintenanceStays(t *testing.T) {
	t.Parallel()
	f := slowFleet(t, 4)
	proxy := startProxy(t, f)
	p := serve(t, dbtest.New(t))
	proxy.say("set server checkout/web-1 state maint; set server checkout/web-2 state drain")
	d := p.post(proxy.request(f, "v2", object{"type": "rolling", "progress_deadline": "20s"}))
	p.awaitEnd(d.ID)
	state := proxy.say("show stat checkout 4 -1")
	for _, want := range []string{"web-1,", "web-2,"} {
		for line := range strings.SplitSeq(state, "\n") {
			if cells := strings.Split(line, ","); len(cells) > 17 && strings.HasPrefix(cells[1]+",", want) && !slices.Contains([]string{"MAINT", "DRAIN"}, cells[17]) {
				t.Errorf("%s is %s", cells[1], cells[17])
			}
		}
	}
}

func TestHAProxy_DryRunShowsDrain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v1")
	p := serve(t, dbtest.New(t))
	type router struct {
		TakeOut      *string `json:"take_out"`
		Why, Refused *string
	}
	plan := func(proxy *proxy) *router {
		var answer struct{ Router *router }
		call(t, http.MethodPost, p.url+"/deployments?dry_run=true", proxy.request(f, "v2", object{"type": "rolling"}), &answer)
		if answer.Router == nil {
			t.Fatal("the dry run has no router")
		}
		return answer.Router
	}
	if r := plan(startProxy(t, f)); r.TakeOut == nil || *r.TakeOut != "drain" || r.Why != nil {
		t.Errorf("without persistence: %+v", r)
	}
	if r := plan(startProxyAs(t, f, "balance roundrobin", "balance roundrobin\n  cookie SRV insert")); r.TakeOut == nil || *r.TakeOut != "maint" || r.Why == nil {
		t.Errorf("with a cookie: %+v", r)
	}
	if r := plan(startProxyAs(t, f, "balance roundrobin", "balance first")); r.TakeOut != nil || r.Refused == nil {
		t.Errorf("balance first: %+v", r)
	}
}
