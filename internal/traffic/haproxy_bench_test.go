package traffic

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/routing"
)

// proxy is a real HAProxy, a child of the test.
type proxy struct {
	t *testing.T
	// socket is its runtime API, front the address of its frontend, log the file of what it prints.
	socket, front, log string
}

const proxyConfig = `
global
  stats socket fd@3 level %s
  nbthread 2
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
  timeout check 5s
frontend front
  bind fd@4
  default_backend checkout
%s`

// twoServers is a backend whose servers go by a target's id and by its metadata.
const twoServers = `
backend checkout
  balance roundrobin
  server web-1 127.0.0.1:1 weight 1
  server web-2 127.0.0.1:1 weight 99
`

// startProxy hands HAProxy sockets that listen already, so that no test has to wait for it or guess a free port.
func startProxy(t *testing.T, level, backends string) *proxy {
	t.Helper()
	program := haproxyProgram(t)
	dir := shortDir(t)
	p := &proxy{t: t, socket: filepath.Join(dir, "api"), log: filepath.Join(dir, "log")}
	api, front := listener(t, "unix", p.socket), listener(t, "tcp", "127.0.0.1:0")
	p.front = front.Addr().String()
	config := filepath.Join(dir, "cfg")
	if err := os.WriteFile(config, fmt.Appendf(nil, proxyConfig, level, backends), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-db", "-f", config)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{fileOf(t, api), fileOf(t, front)}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _, _ = api.Close(), front.Close(), log.Close()
	t.Cleanup(func() {
		_ = cmd.Wait() // the test's context has ended it
		if t.Failed() {
			t.Logf("HAProxy: %s", p.printed())
		}
	})
	return p
}

// haproxyProgram finds HAProxy, also where only root's PATH would lead.
func haproxyProgram(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("haproxy is missing: apt-get install haproxy")
	}
	t.Skip("haproxy is not installed")
	return ""
}

func (p *proxy) printed() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Errorf("HAProxy's log: %v", err)
	}
	return string(text)
}

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func listener(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func fileOf(t *testing.T, l net.Listener) *os.File {
	t.Helper()
	own, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		t.Fatalf("%T has no file", l)
	}
	f, err := own.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// say sends one line to HAProxy itself and gives its answer.
func (p *proxy) say(line string) string {
	conn, err := net.Dial("unix", p.socket)
	if err != nil {
		p.t.Errorf("HAProxy's socket: %v", err)
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(longTimeout))
	_, err = io.WriteString(conn, line+"\n")
	answer, readErr := io.ReadAll(conn)
	if err != nil || readErr != nil {
		p.t.Errorf("%s: %v, %v", line, err, readErr)
	}
	return string(answer)
}

// weights come from another command of HAProxy than the one that is tested.
func (p *proxy) weights() map[string]int {
	found := map[string]int{}
	for _, name := range []string{"web-1", "web-2"} {
		var weight int
		if _, err := fmt.Sscanf(p.say("get weight checkout/"+name), "%d (initial", &weight); err != nil {
			p.t.Errorf("weight of %s: %v", name, err)
		}
		found[name] = weight
	}
	return found
}

// wire stands between a Client and HAProxy, and may be bad.
type wire struct {
	*proxy
	listener net.Listener

	mu   sync.Mutex
	next fault
}

func newWire(t *testing.T, p *proxy, network string) *wire {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(shortDir(t), "wire")
	}
	w := &wire{proxy: p, listener: listener(t, network, address)}
	go func() {
		for {
			conn, err := w.listener.Accept()
			if err != nil {
				return
			}
			go w.carry(conn)
		}
	}()
	return w
}

func (w *wire) carry(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		return
	}
	line = strings.TrimSpace(line)
	var now fault
	if strings.HasPrefix(line, "set server ") {
		w.mu.Lock()
		now, w.next = w.next, ""
		w.mu.Unlock()
	}
	if now == hangs {
		_, _ = io.Copy(io.Discard, in) // until the other side gives up
		return
	}
	answer := w.say(line)
	if now == drifts {
		w.say("set server checkout/web-1 weight 7")
	}
	if now != loses {
		_, _ = io.WriteString(conn, answer)
	}
}

func (w *wire) socketName() string {
	if w.listener.Addr().Network() == "unix" {
		return "unix:" + w.listener.Addr().String()
	}
	return w.listener.Addr().String()
}

func haproxyBench(network string) func(t *testing.T) *bench {
	return func(t *testing.T) *bench {
		t.Helper()
		w := newWire(t, startProxy(t, "admin", twoServers), network)
		d := deploymentOn(routing.Config{Type: "haproxy", Socket: w.socketName(), Backend: "checkout"})
		b := &bench{deployment: d, targets: twoTargets(), weights: w.weights}
		b.fail = func(how fault) {
			switch how {
			case gone:
				_ = w.listener.Close()
			case refuses:
				b.targets[1].Metadata["haproxy_server"] = "absent"
			default:
				w.mu.Lock()
				defer w.mu.Unlock()
				w.next = how
			}
		}
		return b
	}
}
