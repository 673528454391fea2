package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// refusedBoth wants a write and a read to be refused for good, with the same words.
func refusedBoth(t *testing.T, d *rollout.Deployment, message string) {
	t.Helper()
	want(t, New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(10))), rollout.ResultRefused, message)
	_, err := New(Config{}).Read(t.Context(), d, twoTargets())
	if final, ok := errors.AsType[routing.Refusal](err); !ok || !strings.Contains(final.Error(), message) {
		t.Errorf("read: %v, want %q", err, message)
	}
	if preview := New(Config{}).Preview(t.Context(), d, twoTargets()); !strings.Contains(preview.Refused, message) {
		t.Errorf("the preview is %+v, want %q", preview, message)
	}
}

func TestHAProxy_RefusesBalancesThatTakeNoWeights(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"first", "static-rr", "source", "uri", "url_param x", "hdr(host)", "rdp-cookie", "hash path"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, "admin", strings.Replace(twoServers, "roundrobin", algorithm, 1))
			if algorithm == "hash path" && strings.Contains(p.printed(), "unknown") { // not before HAProxy 2.6
				t.Skip("this HAProxy does not know it")
			}
			name, _, _ := strings.Cut(strings.Fields(algorithm)[0], "(")
			refusedBoth(t, onProxy(p), `has "balance `+name+`"`)
			if got := p.weights(); got["web-1"] != 1 || got["web-2"] != 99 {
				t.Errorf("weights %v", got)
			}
		})
	}
	for _, algorithm := range []string{"roundrobin", "leastconn", "random", "random(3)"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, "admin", strings.Replace(twoServers, "roundrobin", algorithm, 1))
			want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), callFor(setting(10))), rollout.ResultDone, "")
			if got := p.weights(); got["web-1"] != 10 {
				t.Errorf("weights %v", got)
			}
		})
	}
}

func TestHAProxy_RefusesASocketBelowAdmin(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"user", "operator"} {
		refusedBoth(t, onProxy(startProxy(t, level, twoServers)), "has level "+level+", and only level admin")
	}
}

func TestHAProxy_RefusesAForbiddenSocketAtOnce(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", twoServers)
	m := New(Config{Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, fmt.Errorf("%w: --allow-socket does not name it", ErrForbidden)
	}})
	want(t, m.SetWeights(t.Context(), onProxy(p), twoTargets(), callFor(setting(10))), rollout.ResultRefused, "--allow-socket")
	if _, err := m.Read(t.Context(), onProxy(p), twoTargets()); !strings.Contains(fmt.Sprint(err), "--allow-socket") {
		t.Errorf("read: %v", err)
	}
}

func TestHAProxy_NamesAMasterSocket(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	socket, config := filepath.Join(dir, "master"), filepath.Join(dir, "cfg")
	text := "defaults\n  mode http\n  timeout client 1s\n  timeout server 1s\n  timeout connect 1s\n" + twoServers
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), haproxyProgram(t), "-W", "-S", socket+",level,admin", "-db", "-f", config)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // the worker ends with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	eventually(t, "the master answers", func() bool {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(longTimeout))
		_, _ = io.WriteString(conn, "show version\n")
		n, _ := conn.Read(make([]byte, 100))
		return n > 0
	})
	d := deploymentOn(routing.Config{Type: "haproxy", Socket: "unix:" + socket, Backend: "checkout"})
	began := time.Now()
	refusedBoth(t, d, "is the socket of HAProxy's master process")
	if took := time.Since(began); took > longTimeout/2 {
		t.Errorf("it took %v", took)
	}
}

func TestHAProxy_ShowsWhatItReadBeforeASilence(t *testing.T) {
	t.Parallel()
	l := listener(t, "tcp", "127.0.0.1:0")
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_, _ = conn.Write([]byte("220 mail.example ready\r\n")) // and waits
		}
	}()
	d := deploymentOn(routing.Config{Type: "haproxy", Socket: l.Addr().String(), Backend: "checkout", Timeout: duration.Duration(200 * time.Millisecond)})
	want(t, New(Config{}).SetWeights(t.Context(), d, twoTargets(), callFor(setting(10))), rollout.ResultNotSent, `it had answered "220 mail.example ready"`)
	if _, err := New(Config{}).Read(t.Context(), d, twoTargets()); !strings.Contains(fmt.Sprint(err), "220 mail.example") {
		t.Errorf("read: %v", err)
	}
	if preview := New(Config{}).Preview(t.Context(), d, twoTargets()); !strings.Contains(preview.Error, "220 mail.example") {
		t.Errorf("the preview is %+v", preview)
	}
	if preview := New(Config{}).Preview(t.Context(), deploymentOn(routing.Config{Type: "webhook"}), twoTargets()); preview != nil {
		t.Errorf("a webhook has the preview %+v", preview)
	}
}

func TestHAProxy_RefusesToStarveOtherServers(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "admin", "backend checkout\n  server web-1 127.0.0.1:1\n  server web-2 127.0.0.1:1\n  server mail 127.0.0.1:1\n  server spare 127.0.0.1:1 backup\n")
	call := callFor(setting(10))
	call.Baseline = []routing.Backend{{Target: "web-1", Weight: 1}, {Target: "web-2", Weight: 1}}
	want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), call), rollout.ResultRefused, "without taking from mail in backend checkout")
	call.Setting = weighted(twoTargets(), 1, 0)
	want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), call), rollout.ResultDone, "1 of 2")
	p.say("set server checkout/mail state maint") // nothing is taken from a server that has nothing
	call.Setting = setting(10)
	want(t, New(Config{}).SetWeights(t.Context(), onProxy(p), twoTargets(), call), rollout.ResultDone, "2 of 2")
}

func TestHAProxyGuide_ConfigurationIsValid(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/how-to/haproxy-in-front.md")
	if err != nil {
		t.Fatal(err)
	}
	_, config, _ := strings.Cut(string(guide), "```haproxy\n")
	config, _, _ = strings.Cut(config, "```")
	dir := shortDir(t)
	for _, folder := range []string{"/run/haproxy/", "/var/lib/haproxy/"} { // which are not there on every machine
		config = strings.ReplaceAll(config, folder, dir+"/")
	}
	file := filepath.Join(dir, "cfg")
	for name, text := range map[string]string{file: config, filepath.Join(dir, "state"): "1\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if said, err := exec.CommandContext(t.Context(), haproxyProgram(t), "-c", "-f", file).CombinedOutput(); err != nil || strings.Contains(string(said), "WARNING") {
		t.Errorf("%v: %s", err, said)
	}
}
