package traffic

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

func onProxy(p *proxy) *rollout.Deployment {
	return deploymentOn(routing.Config{Type: "haproxy", Socket: "unix:" + p.socket, Backend: "checkout"})
}

func TestHAProxy_CommandLikeNamesAreRefused(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", twoServers)
	for _, name := range []any{
		"", "web 1", "web-1;disable server checkout/web-2", "web-1\nquit", "web/1", "#1", "wéb", `web\ 1`, 7, nil, []any{"web-1"},
	} {
		targets := twoTargets()
		targets[1].Metadata = map[string]any{"haproxy_server": name}
		got := New(Config{}).SetWeights(t.Context(), onProxy(p), targets, callFor(setting(10)))
		want(t, got, rollout.ResultRefused, "no name of an HAProxy server")
		d := onProxy(p)
		if text, ok := name.(string); ok {
			d.Spec.Traffic.Backend = text
			got = New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(10)))
			want(t, got, rollout.ResultRefused, "no name of an HAProxy backend")
		}
	}
	if got := p.weights(); got["web-1"] != 1 || got["web-2"] != 99 {
		t.Errorf("weights %v", got)
	}
}

func TestHAProxy_InvalidWeightsAreRejected(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", twoServers)
	for message, change := range map[string]func(*routing.TrafficSplit, *rollout.Deployment, []rollout.Target){
		"both HAProxy's server web-1": func(_ *routing.TrafficSplit, _ *rollout.Deployment, targets []rollout.Target) {
			targets[1].Metadata["haproxy_server"] = "web-1"
		},
		"not between 0 and 256": func(s *routing.TrafficSplit, _ *rollout.Deployment, _ []rollout.Target) { s.Backends[1].Weight = 257 },
		"no server web-3": func(s *routing.TrafficSplit, _ *rollout.Deployment, _ []rollout.Target) {
			s.Backends[1].Target = "web-3"
		},
		"Can't find backend": func(_ *routing.TrafficSplit, d *rollout.Deployment, _ []rollout.Target) {
			d.Spec.Traffic.Backend = "nowhere"
		},
		"slash": func(_ *routing.TrafficSplit, d *rollout.Deployment, _ []rollout.Target) {
			d.Spec.Traffic.Socket = "unix:api"
		},
		"host:port": func(_ *routing.TrafficSplit, d *rollout.Deployment, _ []rollout.Target) {
			d.Spec.Traffic.Socket = "haproxy"
		},
	} {
		s, d, targets := setting(10), onProxy(p), twoTargets()
		change(&s, d, targets)
		want(t, New(Config{}).SetWeights(t.Context(), d, targets, callFor(s)), rollout.ResultRefused, message)
	}
	if got := p.weights(); got["web-1"] != 1 || got["web-2"] != 99 {
		t.Errorf("a refused write changed the weights: %v", got)
	}
}

func TestHAProxy_MetadataNamesServer(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", twoServers)
	targets := []rollout.Target{
		{ID: "0198-1", Metadata: map[string]any{"haproxy_server": "web-2"}},
		{ID: "web-1"},
	}
	s := routing.TrafficSplit{Backends: []routing.Backend{{Target: "0198-1", Weight: 256}, {Target: "web-1", Weight: 3}}}
	want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), targets, callFor(s)), rollout.ResultDone, "2 of 2 servers set")
	if got := p.weights(); got["web-1"] != 3 || got["web-2"] != 256 {
		t.Errorf("weights %v", got)
	}
}

func TestHAProxy_ReadOnlySocketIsRejected(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "user", twoServers)
	got := New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), callFor(setting(10)))
	want(t, got, rollout.ResultRefused, "has level user, and only level admin")
}

func TestHAProxy_BackendWithoutWeightsIsRejected(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", strings.Replace(twoServers, "balance roundrobin", "balance static-rr", 1))
	got := New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), callFor(setting(10)))
	want(t, got, rollout.ResultRefused, "balance static-rr")
}

func TestHAProxy_DownServersGetNoTraffic(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", twoServers)
	set := func(percent int) rollout.CallResult {
		return New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), callFor(setting(percent)))
	}
	p.say("set server checkout/web-1 state maint")
	got := set(100)
	want(t, got, rollout.ResultRetry, "holds each server down")
	if got.RetryAfter != checkDelay || p.weights()["web-2"] != 99 {
		t.Errorf("wait %v, weights %v", got.RetryAfter, p.weights())
	}
	want(t, set(50), rollout.ResultDone, "") // the other still serves
	p.say("set server checkout/web-1 state ready")
	want(t, set(100), rollout.ResultDone, "")

	p.say("set server checkout/web-1 state drain; set server checkout/web-2 state maint")
	want(t, set(0), rollout.ResultDone, "") // no server serves now, so nothing can be lost
}

func TestHAProxy_AllWeightsMayBeZero(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", twoServers)
	s := routing.TrafficSplit{Backends: []routing.Backend{{Target: "web-1"}, {Target: "web-2"}}}
	want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), callFor(s)), rollout.ResultDone, "2 of 2")
	want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), nil, callFor(routing.TrafficSplit{})), rollout.ResultDone, "0 of 0")
}

func TestHAProxy_ThousandServersFitInLines(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", "backend checkout\n  server-template a-server-with-a-long-name- 1000 127.0.0.1:1 weight 1\n")
	s := routing.TrafficSplit{}
	for i := range 1000 {
		s.Backends = append(s.Backends, routing.Backend{Target: fmt.Sprintf("a-server-with-a-long-name-%d", i+1), Weight: i % 257})
	}
	want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), nil, callFor(s)), rollout.ResultDone, "996 of 1000 servers set")
	if answer := p.say("get weight checkout/a-server-with-a-long-name-1000"); !strings.HasPrefix(answer, "228 ") {
		t.Errorf("the last has %q", answer)
	}
}

func TestHAProxy_RaisesBeforeItTakesOut(t *testing.T) {
	t.Parallel()
	v := &view{place: place{backend: "checkout"}, servers: map[string]server{}}
	var shares []serverWeight
	for i := range 500 {
		name := fmt.Sprintf("s%d", i)
		v.servers[name] = server{weight: 1 - i%2, configured: 1, op: opRunning}
		shares = append(shares, serverWeight{name, name, i % 2})
	}
	var all []string
	for _, line := range groupIntoLines(v.changeCommands(splitRequest{deployment: deploymentOn(routing.Config{})}, shares, routing.Call{})) {
		if length := len(strings.Join(line, ";")) + 1; length > maxLine {
			t.Errorf("a line of %d bytes", length)
		}
		all = append(all, line...)
	}
	first := slices.IndexFunc(all, func(c string) bool { return strings.HasSuffix(c, " weight 0") })
	if len(all) != 750 || first != 250 || strings.Contains(strings.Join(all[250:], ";"), " weight 1") {
		t.Errorf("%d commands, taken out from %d", len(all), first)
	}
}

func TestHAProxy_UnreadableStateIsNotWritten(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ reply, message string }{
		"hangs up": {"", "not sent: the connection was closed"},
		"stops":    {"Name: HAProxy\nPid: 7\n\nadmin\n\n# pxname,svname,\ncheckout,web-1,\n\n", "not sent: the connection was closed"},
		"hangs":    {"hang", "not sent: nothing within"},
	} {
		l := listener(t, "tcp", "127.0.0.1:0")
		go func() {
			for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
				line, _ := bufio.NewReader(conn).ReadString('\n')
				if !strings.HasPrefix(line, "show ") {
					t.Errorf("%s: it got %q", name, line)
				}
				if test.reply == "hang" {
					_, _ = io.Copy(io.Discard, conn)
				}
				_, _ = io.WriteString(conn, test.reply)
				_ = conn.Close()
			}
		}()
		d := deploymentOn(routing.Config{Type: "haproxy", Socket: l.Addr().String(), Backend: "checkout"})
		if test.reply == "hang" {
			d.Spec.Traffic.Timeout = duration.Duration(50 * time.Millisecond)
		}
		want(t, New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(10))), rollout.ResultNotSent, test.message)
		if _, err := New(Config{}).Read(t.Context(), d, twoTargets()); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}

func TestHAProxy_AnswerCutShortIsNone(t *testing.T) {
	t.Parallel()
	whole := startProxy(t, "admin", twoServers).say(viewCommands("checkout"))
	if v, err := parseView(whole, "checkout"); err != nil || len(v.servers) != 2 {
		t.Fatal(v, err)
	}
	for n := range len(whole) - 1 {
		if v, err := parseView(whole[:n], "checkout"); err == nil {
			t.Errorf("%d of %d bytes were enough: %v", n, len(whole), v)
		}
	}
	stat, state := "# pxname,svname,status,\ncheckout,a,UP,\n\n", "1\n# srv_name srv_uweight srv_iweight srv_admin_state srv_op_state\na 1 1 0 2\n\n"
	if _, err := parseView(stat+state, "checkout"); err != nil {
		t.Error(err)
	}
	for _, odd := range []string{
		stat, state, stat + strings.Replace(state, "srv_uweight", "other", 1), stat + strings.Replace(state, "a 1 1 0", "a 1 1 x", 1),
		stat + strings.Replace(state, "a 1", "b 1", 1), strings.Replace(stat, "checkout", "other", 1) + state, "HTTP/1.1 400 Bad Request\r\n\r\n\n\n",
	} {
		if v, err := parseView(odd, "checkout"); err == nil {
			t.Errorf("%q: %v", odd, v)
		}
	}
}
