package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

const proxyConfig = `
global
  stats socket fd@3 level admin
  nbthread 1
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
  timeout check 5s
frontend front
  bind fd@4
  default_backend checkout
backend checkout
  balance roundrobin
%s`

// proxy is a real HAProxy, before the applications of a fleet.
type proxy struct {
	api, front string
	t          *testing.T
	config     string
	files      []*os.File
	cmd        *exec.Cmd
}

// startProxy hands HAProxy sockets that listen already, so that no test waits for it or guesses a free port.
func startProxy(t *testing.T, f *testtarget.Fleet) *proxy {
	t.Helper()
	return startProxyWeighted(t, f, func(int) int { return 100 })
}

// startProxyWeighted gives each server the weight of its configuration.
func startProxyWeighted(t *testing.T, f *testtarget.Fleet, weight func(i int) int) *proxy {
	t.Helper()
	var servers strings.Builder
	for i, target := range f.Targets {
		fmt.Fprintf(&servers, "  server %s %s weight %d\n", target.ID, application(t, target), weight(i))
	}
	p := &proxy{t: t, config: filepath.Join(t.TempDir(), "cfg")}
	if err := os.WriteFile(p.config, fmt.Appendf(nil, proxyConfig, servers.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	api, apiFile := handedOver(t)
	front, frontFile := handedOver(t)
	p.api, p.front, p.files = api, front, []*os.File{apiFile, frontFile}
	p.start()
	t.Cleanup(func() { _ = p.cmd.Wait() }) // the test's context has ended it
	return p
}

func (p *proxy) start() {
	p.t.Helper()
	p.cmd = exec.CommandContext(p.t.Context(), haproxyProgram(p.t), "-db", "-f", p.config)
	p.cmd.ExtraFiles = p.files
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// restart ends HAProxy and starts it again, with the weights of its configuration.
func (p *proxy) restart() {
	p.t.Helper()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.start()
}

// say sends one line of commands to HAProxy's runtime API.
func (p *proxy) say(line string) string {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.api)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(answer)
}

// weights are those that HAProxy has now, in the order of its configuration.
func (p *proxy) weights() []int {
	p.t.Helper()
	var weights []int
	for _, line := range strings.Split(p.say("show servers state checkout"), "\n") {
		if fields := strings.Fields(line); len(fields) > 8 && fields[1] == "checkout" {
			weight, err := strconv.Atoi(fields[7])
			if err != nil {
				p.t.Fatal(err)
			}
			weights = append(weights, weight)
		}
	}
	return weights
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

// handedOver is a socket that listens, for a child process.
func handedOver(t *testing.T) (address string, file *os.File) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	file, err = l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = l.Close(), file.Close() })
	return l.Addr().String(), file
}

// application is what users see of a target: it returns its version, and is out of order while the target is being called.
func application(t *testing.T, target *testtarget.Target) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text, ok := strings.CutPrefix(r.URL.Path, downloadPath); ok {
			giveDownload(w, r, target.ID, text)
			return
		}
		calls := target.Calls()
		if slices.ContainsFunc(calls, func(c testtarget.Call) bool { return c.Answered.IsZero() }) {
			http.Error(w, target.ID+" is being deployed to", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, target.Version()) // a caller that left needs no error
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// downloadPath is that of an answer that takes as long as the rest of the path says.
const downloadPath = "/download/"

// giveDownload begins an answer at once, names the server in it, and ends it when its time is over or the client has left.
func giveDownload(w http.ResponseWriter, r *http.Request, id, text string) {
	takes, err := time.ParseDuration(text)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Server", id)
	_, _ = io.WriteString(w, "begun")
	_ = http.NewResponseController(w).Flush()
	select {
	case <-time.After(takes):
	case <-r.Context().Done():
	}
}

const (
	// sample is how many requests are counted in one position; tolerance is how far a share may be off.
	sample    = 2000
	tolerance = 0.02
	// maxRequests ends the load whatever happens.
	maxRequests = 400_000
)

// load is a constant stream of requests.
type load struct {
	mu     sync.Mutex
	total  int
	failed []string
	// served counts answers by version since the last position was taken up.
	position int
	served   map[string]int
	enough   chan struct{}
}

// startLoad sends requests, a few at a time, until the returned function is called; that fails the test if one failed.
func startLoad(t *testing.T, p *proxy) (l *load, stop func()) {
	l = &load{}
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				before, more := l.next()
				if !more {
					return
				}
				version, err := visit(client, "http://"+p.front)
				l.count(before, version, err)
			}
		})
	}
	return l, func() {
		t.Helper()
		cancel()
		clients.Wait()
		t.Logf("%d requests", l.total)
		if len(l.failed) > 0 {
			t.Errorf("%d of %d requests failed, the first: %s", len(l.failed), l.total, l.failed[0])
		}
	}
}

// visit is never cut short: each request that was sent counts.
func visit(client *http.Client, url string) (version string, err error) {
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status + " " + string(body))
	}
	return string(body), err
}

func (l *load) next() (position int, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	return l.position, l.total <= maxRequests
}

func (l *load) count(before int, version string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = append(l.failed, err.Error())
	}
	if err != nil || l.enough == nil || before != l.position {
		return
	}
	l.served[version]++
	sum := 0
	for _, n := range l.served {
		sum += n
	}
	if sum == sample {
		close(l.enough)
		l.enough = nil
	}
}

// assertShare counts the next requests and checks how many of them a version answers, in percent.
func (l *load) assertShare(t *testing.T, version string, percent int) {
	t.Helper()
	l.mu.Lock()
	enough := make(chan struct{})
	l.position, l.served, l.enough = l.position+1, map[string]int{}, enough
	l.mu.Unlock()
	select {
	case <-enough:
	case <-time.After(60 * time.Second):
		t.Fatal("too few requests")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	got := float64(l.served[version]) / sample
	if math.Abs(got-float64(percent)/100) > tolerance || percent == 0 && got > 0 {
		t.Errorf("%s answered %.3f of the requests, not %d %%", version, got, percent)
	}
}

func (p *proxy) request(f *testtarget.Fleet, version string, strategy object) object {
	body := request(f, version, strategy)
	body["traffic"] = object{"type": "haproxy", "socket": p.api, "backend": "checkout", "drain": "300ms"}
	return body
}

func slowFleet(t *testing.T, n int) *testtarget.Fleet {
	f := newFleet(t, n, "v1")
	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 100 * time.Millisecond })
	}
	return f
}

func TestHAProxy_CanaryUsersSeeNoFailure(t *testing.T) {
	t.Parallel()
	f := slowFleet(t, 10)
	proxy := startProxy(t, f)
	p := serve(t, dbtest.New(t))
	l, stop := startLoad(t, proxy)
	l.assertShare(t, "v2", 0)
	stage := func(percent int) object { return object{"percent": percent, "duration": "0s", "promotion": "manual"} }
	d := p.post(proxy.request(f, "v2", object{"type": "canary", "stages": []any{stage(10), stage(50), stage(100)}}))
	for _, percent := range []int{10, 50} {
		p.await(d.ID, "at a gate", func(d *deployment) bool { return d.State == "paused" && d.Progress.Weight == percent })
		l.assertShare(t, "v2", percent)
		p.ask("/deployments/"+d.ID+"/promote", http.StatusOK)
	}
	p.await(d.ID, "at its last gate", func(d *deployment) bool { return d.State == "paused" && d.Progress.Wave == 3 })
	l.assertShare(t, "v2", 100)
	p.ask("/deployments/"+d.ID+"/rollback", http.StatusOK)
	assertEnd(p, p.awaitEnd(d.ID), "rolled_back", false)
	l.assertShare(t, "v1", 100)
	stop()
	assertRuns(t, f, allRun("v1"))
}

func TestHAProxy_SwitchUsersSeeNoFailure(t *testing.T) {
	t.Parallel()
	f := slowFleet(t, 6)
	proxy := startProxy(t, f)
	p := serve(t, dbtest.New(t))
	l, stop := startLoad(t, proxy)
	for i, version := range []string{"v2", "v3"} {
		d := p.post(inSlots(proxy.request(f, version, blueGreen(object{"promotion": "manual", "keep_old_for": "10m"}))))
		p.await(d.ID, "at the gate", func(d *deployment) bool { return d.State == "paused" })
		l.assertShare(t, version, 0)
		p.ask("/deployments/"+d.ID+"/promote", http.StatusOK)
		p.await(d.ID, "switched", func(d *deployment) bool { return d.Progress.Weight == 100 })
		l.assertShare(t, version, 100)
		if i == 0 {
			p.ask("/deployments/"+d.ID+"/rollback", http.StatusOK)
			assertEnd(p, p.awaitEnd(d.ID), "rolled_back", false)
			l.assertShare(t, "v1", 100)
		}
	}
	stop()
}
