package traffic

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// state is a server's administrative state, from another command than the one that is tested.
func (p *proxy) state(backend, name string) string {
	p.t.Helper()
	for line := range strings.SplitSeq(p.say("show stat "+backend+" 4 -1"), "\n") {
		if cells := strings.Split(line, ","); len(cells) > 17 && cells[1] == name {
			return cells[17]
		}
	}
	p.t.Fatalf("no server %s/%s", backend, name)
	return ""
}

func TestHAProxyTakeOut_IsADrainThatOnlyRollcallLifts(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", twoServers+"  server web-3 127.0.0.1:1 weight 50\n")
	targets := targetsNamed("web-1", "web-2", "web-3")
	set := func(taken string, weights ...int) {
		t.Helper()
		call := callFor(weighted(targets, weights...))
		call.Baseline = []routing.Backend{{Target: "web-1", Weight: 1}, {Target: "web-2", Weight: 99}, {Target: "web-3", Weight: 50}}
		call.TakenOut = strings.Fields(taken)
		want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), targets, call), rollout.ResultDone, "")
	}
	is := func(words ...string) {
		t.Helper()
		for i, word := range words {
			weight, _, _ := strings.Cut(p.say("get weight checkout/"+targets[i].ID), " ")
			if got := p.state("checkout", targets[i].ID) + " " + weight; got != word {
				t.Errorf("%s is %s, want %s", targets[i].ID, got, word)
			}
		}
	}
	p.say("set server checkout/web-3 state drain") // by hand, and with its weight
	set("web-1", 0, 99, 0)
	is("DRAIN 0", "no check 99", "DRAIN 50")
	set("web-1 web-3", 1, 99, 50)
	is("no check 1", "no check 99", "DRAIN 50")

	p.say("set server checkout/web-3 state ready; set server checkout/web-1 weight 0; set server checkout/web-2 state maint")
	set("", 1, 99, 50)
	is("no check 0", "MAINT 99", "no check 50")
	set("web-2", 0, 99, 50) // what has no weight already is not drained as well
	is("no check 0", "MAINT 99", "no check 50")
}

func TestHAProxyTakeOut_LeavesWhatWasHeldAfterwards(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", twoServers)
	call := callFor(weighted(twoTargets(), 0, 99))
	want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), call), rollout.ResultDone, "1 of 2")
	p.say("set server checkout/web-1 state maint") // a drain becomes maintenance
	call.Setting = weighted(twoTargets(), 1, 99)
	want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), call), rollout.ResultDone, "1 of 2")
	if got := p.one("web-1"); got.HeldBy != "maint" || got.Weight != 1 || got.Serving {
		t.Errorf("it was lifted: %+v", got)
	}
}

func TestHAProxyTakeOut_NeverLiftsTheConfiguration(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", "backend checkout\n  cookie SRV insert\n  server web-1 127.0.0.1:1 disabled\n  server web-2 127.0.0.1:1\n  server-template t 1 nowhere.invalid:80 init-addr none\n")
	targets := targetsNamed("web-1", "web-2", "t1")
	for _, weights := range [][]int{{0, 1, 0}, {1, 1, 1}} {
		want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), targets, callFor(weighted(targets, weights...))), rollout.ResultDone, "0 of 3")
	}
	if one, other := p.state("checkout", "web-1"), p.state("checkout", "t1"); one != "MAINT" || other != "MAINT (resolution)" {
		t.Errorf("states %q and %q", one, other)
	}
}

func TestHAProxyTakeOut_IsMaintForPersistentClients(t *testing.T) {
	t.Parallel()
	const table = "  stick-table type ip size 1k expire 1m\n  stick on src\n"
	for name, test := range map[string]struct{ config, takeOut, state, says string }{
		"cookie":          {"  cookie SRV insert indirect nocache\n", "", "MAINT", "because of the cookie SRV"},
		"table":           {table, "", "MAINT", "because of the stick table"},
		"neither":         {"", "", "DRAIN", "1 of 2 servers set"},
		"maint asked for": {"", "maint", "MAINT", "1 of 2 servers set"},
		"drain asked for": {table, "drain", "DRAIN", "1 of 2 servers set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := "backend checkout\n  balance roundrobin\n" + test.config
			for _, server := range []string{"web-1", "web-2"} {
				address := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, server) })
				config += fmt.Sprintf("  server %s %s weight 10 cookie %s\n", server, strings.TrimPrefix(address, "http://"), server)
			}
			p := startProxy(t, "admin", config)
			d := onProxy(p)
			d.Spec.Traffic.TakeOut = test.takeOut
			preview := New(Config{}).Preview(t.Context(), d, twoTargets())
			if preview.TakeOut != strings.ToLower(test.state) || preview.Why == "" == (test.takeOut == "" && test.config != "") || preview.Refused != "" {
				t.Errorf("the preview is %+v", preview)
			}
			first, visit := p.visitor()
			both := map[string][]int{"web-1": {0, 10}, "web-2": {10, 0}}
			want(t, New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(weighted(twoTargets(), both[first]...))), rollout.ResultDone, test.says)
			if got := p.state("checkout", first); got != test.state {
				t.Errorf("%s is %s, want %s", first, got, test.state)
			}
			for range 10 {
				if by := visit(); by == first && test.state == "MAINT" {
					t.Fatalf("%s is taken out and still serves its client", by)
				}
			}
			want(t, New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(weighted(twoTargets(), 10, 10))), rollout.ResultDone, "1 of 2")
			if got := p.state("checkout", first); got != "no check" {
				t.Errorf("%s is %s after it was restored", first, got)
			}
		})
	}
}

// visitor is a client that keeps its cookie; it has visited once.
func (p *proxy) visitor() (first string, visit func() string) {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	visit = func() string {
		resp, err := client.Get("http://" + p.front)
		if err != nil {
			p.t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			p.t.Fatalf("HTTP %d %q: %v", resp.StatusCode, body, err)
		}
		return string(body)
	}
	return visit(), visit
}

func TestHAProxyTakeOut_ReachesABackendThatTracks(t *testing.T) {
	t.Parallel()
	line, _ := checked(t, "web-1", "weight 1")
	p := startProxy(t, "admin", "backend checkout\n"+line+"  server web-2 127.0.0.1:1 weight 99\nbackend mobile\n  server web-1 127.0.0.1:1 weight 5 track checkout/web-1\n")
	want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), callFor(weighted(twoTargets(), 0, 99))), rollout.ResultDone, "")
	if got := p.state("mobile", "web-1"); got != "DRAIN" {
		t.Errorf("the server that tracks is %q", got)
	}
	want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), callFor(weighted(twoTargets(), 1, 99))), rollout.ResultDone, "")
	if got := p.state("mobile", "web-1"); got == "DRAIN" {
		t.Errorf("the server that tracks is still %q", got)
	}
}

func TestHAProxy_UnchangedWriteSendsNothing(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", twoServers)
	w := newWire(t, p, "unix")
	d := onProxy(p)
	d.Spec.Traffic.Socket = w.socketName()
	w.next = drifts // at the next write
	want(t, New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(1))), rollout.ResultDone, "0 of 2")
	if w.next != drifts {
		t.Error("something was written")
	}
}
