package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/dbtest"
)

// The programs under test.
var binary, commandLine string

// waiting is how many tests run at a time for each processor: they wait for timeouts and probes most of the time.
const waiting = 4

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("end-to-end tests are not run with -short")
		os.Exit(0)
	}
	parallelize()
	folder, err := os.MkdirTemp("", "rollcall-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary, commandLine = filepath.Join(folder, "rollcall-server"), filepath.Join(folder, "rollcall")
	http.DefaultTransport = withToken{http.DefaultTransport}
	code := 1
	if built(binary, "rollcall/cmd/server") && built(commandLine, "rollcall/cmd/rollcall") {
		code = m.Run()
	}
	_ = os.RemoveAll(folder) // what is left lies in the system's folder for temporary files
	os.Exit(code)
}

// parallelize sets how many tests run at a time, unless the command line does.
func parallelize() {
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		_ = flag.Set("test.parallel", strconv.Itoa(waiting*runtime.GOMAXPROCS(0))) // it takes every number
	}
}

func built(path, pkg string) bool {
	build := exec.Command("go", "build", "-o", path, pkg)
	build.Stderr = os.Stderr
	return build.Run() == nil
}

// adminToken makes the servers of these tests ask for credentials, as in production; they allow loopback targets all the
// same, because of --dev.
const adminToken = "the-admin-token-of-these-tests"

// withToken sends the admin token with each request that has no credential of its own.
type withToken struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header["Authorization"] == nil {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+adminToken)
	}
	return w.RoundTripper.RoundTrip(r)
}

// CloseIdleConnections is for http.Client.CloseIdleConnections, which asks its transport for it.
func (w withToken) CloseIdleConnections() {
	(&http.Client{Transport: w.RoundTripper}).CloseIdleConnections()
}

// process is one running server.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	url  string
	done chan struct{}
	// printed is what went to standard output; complete once done is closed.
	printed shared
	mu      sync.Mutex
	lines   []string
}

// shared is text that may be read while it is written.
type shared struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// String is what was written until now.
func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// serve starts a server and returns when it is ready.
func serve(t testing.TB, database string, args ...string) *process {
	t.Helper()
	p := launch(t, database, args...)
	p.awaitReady()
	return p
}

// launch starts a server without waiting for it.
func launch(t testing.TB, database string, args ...string) *process {
	t.Helper()
	return launchProgram(t, binary, database, args...)
}

// launchProgram is launch for another version of the server.
func launchProgram(t testing.TB, program, database string, args ...string) *process {
	t.Helper()
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--state-dir") }) {
		args = append(args, "--state-dir="+t.TempDir()) // the machine's own folder is none of a test's business
	}
	args = append([]string{"--dev", "--addr=127.0.0.1:0", "--rate-limit=0"}, args...)
	p := &process{t: t, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "DATABASE_URL="+database, "ROLLCALL_ADMIN_TOKEN="+adminToken, "ROLLCALL_SECRET_KEY="+dbtest.Key)
	p.cmd.Stdout = &p.printed
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			p.keep(lines.Text(), ready)
		}
		_ = p.cmd.Wait() // its exit code is asked for where it matters
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		p.signal(syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("the last lines of %s:\n%s", p.url, p.tail())
		}
	})
	select {
	case p.url = <-ready:
	case <-p.done:
	case <-time.After(60 * time.Second):
		t.Fatalf("the server does not start:\n%s", p.tail())
	}
	return p
}

func (p *process) awaitReady() {
	p.t.Helper()
	if p.url == "" {
		p.t.Fatalf("the server has ended:\n%s", p.tail())
	}
}

func (p *process) keep(line string, ready chan<- string) {
	p.mu.Lock()
	p.lines = append(p.lines, line)
	p.mu.Unlock()
	var entry struct{ Msg, Address string }
	if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "rollcall is ready" {
		ready <- "http://" + entry.Address
	}
}

func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines[max(0, len(p.lines)-25):], "\n")
}

func (p *process) signal(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // a process that has ended needs none
}

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// stop ends the server as an operator would, and answers how long it took.
func (p *process) stop() time.Duration {
	began := time.Now()
	p.signal(syscall.SIGTERM)
	<-p.done
	return time.Since(began)
}
