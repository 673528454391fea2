package traffic

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// startTwoProxies starts two load balancers with two backends each, of which the deployment moves all four.
func startTwoProxies(t *testing.T) (one, other *proxy, d *rollout.Deployment) {
	t.Helper()
	backends := twoServers + strings.Replace(twoServers, "checkout", "mobile", 1)
	one, other = startProxy(t, "admin", backends), startProxy(t, "admin", backends)
	d = onProxy(one)
	d.Spec.Traffic.Sockets = []string{"unix:" + other.socket}
	d.Spec.Traffic.Backends = []string{"checkout", "mobile"} // a name twice is once
	return one, other, d
}

func TestHAProxyPair_IsWrittenAndReadEverywhere(t *testing.T) {
	t.Parallel()
	one, other, d := startTwoProxies(t)
	want(t, New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(10))), rollout.ResultDone, "8 servers set")
	for _, p := range []*proxy{one, other} {
		for _, backend := range []string{"checkout", "mobile"} {
			if got := p.say("get weight " + backend + "/web-1"); !strings.HasPrefix(got, "10 ") {
				t.Errorf("web-1 in %s: %s", backend, got)
			}
		}
	}
	r, err := New(Config{}).Read(t.Context(), d, twoTargets())
	if err != nil || r.Backends[0].Weight != 10 || r.Backends[1].Weight != 90 || len(strings.Fields(r.Instance)) != 4 {
		t.Errorf("read %+v, %v", r, err)
	}
	other.say("set server mobile/web-2 state maint")
	if r, err = New(Config{}).Read(t.Context(), d, twoTargets()); err != nil || r.Backends[1].Serving || r.Backends[1].HeldBy != "maint" {
		t.Errorf("read %+v, %v", r, err)
	}
}

func TestHAProxyPair_DisagreementIsSeen(t *testing.T) {
	t.Parallel()
	_, other, d := startTwoProxies(t)
	other.say("set server checkout/web-1 weight 55")
	_, err := New(Config{}).Read(t.Context(), d, twoTargets())
	if final, ok := errors.AsType[routing.Refusal](err); !ok || !strings.Contains(final.Error(), "target web-1 has weight 1 in backend checkout") {
		t.Errorf("the first reading: %v", err)
	}
	call := callFor(setting(1))
	d.Progress.Router = &routing.State{Sent: &call, Baseline: call.Setting.Backends}
	r, err := New(Config{}).Read(t.Context(), d, twoTargets())
	if err != nil || r.Backends[0].Weight != 55 || r.Backends[1].Weight != 99 {
		t.Errorf("a later reading: %+v, %v", r, err)
	}
	want(t, New(Config{}).SetWeights(t.Context(), d, twoTargets(), call), rollout.ResultDone, "1 of 8")
	if got := other.weights(); got["web-1"] != 1 {
		t.Errorf("weights %v", got)
	}
}

func TestHAProxyPair_HalfWrittenIsNoSuccess(t *testing.T) {
	t.Parallel()
	one, other, d := startTwoProxies(t)
	w := newWire(t, other, "unix")
	d.Spec.Traffic.Sockets = []string{w.socketName()}
	w.next = hangs
	d.Spec.Traffic.Timeout = duration.Duration(longTimeout / 20)
	want(t, New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(10))), rollout.ResultUnknown, "nothing within")
	if a, b := one.weights()["web-1"], other.weights()["web-1"]; a != 10 || b != 1 {
		t.Errorf("weights %d and %d", a, b)
	}
	d.Spec.Traffic.Timeout = duration.Duration(longTimeout)
	want(t, New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(10))), rollout.ResultDone, "4 of 8")
	_ = w.listener.Close()
	want(t, New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(50))), rollout.ResultNotSent, "backend checkout at unix:")
	if got := one.weights()["web-1"]; got != 10 {
		t.Errorf("weight %d although the other is gone", got)
	}
}

// Two processes on one port share its connections: each gets half, and each reports only itself.
func TestHAProxy_TwoProcessesOnOnePortAreNamed(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	config := filepath.Join(shortDir(t), "cfg")
	text := fmt.Sprintf("global\n  stats socket %s level admin\ndefaults\n  mode http\n  timeout client 1s\n  timeout server 1s\n  timeout connect 1s\n%s", address, twoServers)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		cmd := exec.CommandContext(t.Context(), haproxyProgram(t), "-db", "-f", config)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Wait() })
	}
	d := deploymentOn(routing.Config{Type: "haproxy", Socket: address, Backend: "checkout"})
	seen := map[string]bool{}
	eventually(t, "both answer", func() bool {
		r, err := New(Config{}).Read(t.Context(), d, twoTargets())
		if err == nil {
			seen[r.Instance] = true
		}
		return len(seen) == 2
	})
	eventually(t, "it is named", func() bool {
		answer := New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(10)))
		_ = New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(90)))
		return answer.Kind == rollout.ResultUnknown && strings.Contains(answer.Message, "two of them listen at one address")
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
