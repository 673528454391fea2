package localpg

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// helperDir, when set, turns this test binary into a server that holds the folder until it is stopped.
const helperDir = "ROLLCALL_LOCALPG_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		os.Exit(serve(dir))
	}
	flag.Parse()
	if testing.Short() {
		fmt.Println("PostgreSQL is not run with -short")
		os.Exit(0)
	}
	code := m.Run()
	if template != "" {
		_ = os.RemoveAll(filepath.Dir(template)) // a leftover in /tmp does no harm
	}
	os.Exit(code)
}

// template is a folder with freshly initialised data, made once: most tests are about what comes after.
var (
	template     string
	makeTemplate sync.Once
)

// seeded is a folder that was used before and stopped.
func seeded(t *testing.T) string {
	t.Helper()
	needPrograms(t)
	makeTemplate.Do(func() {
		parent, err := os.MkdirTemp("/tmp", "localpg-")
		must(t, err)
		must(t, os.Chmod(parent, 0o755))
		template = filepath.Join(parent, "pg")
		must(t, start(t, template).Stop())
	})
	dir := folder(t)
	if out, err := exec.Command("cp", "-a", template, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the template: %v: %s", err, out)
	}
	return dir
}

// kill ends the helper like a power cut, and returns when it has ended.
func (h *helper) kill(t *testing.T) {
	t.Helper()
	must(t, h.cmd.Process.Kill())
	if err := h.cmd.Wait(); err == nil {
		t.Error("the helper ended by itself")
	}
}

// serve starts a server, prints its URL, and stops it when its input ends.
func serve(dir string) int {
	s, err := Start(context.Background(), Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println(s.URL())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 1
	}
	if s.Stop() != nil {
		return 1
	}
	return 0
}

// helper is a server in a process of its own.
type helper struct {
	cmd *exec.Cmd
	in  io.Closer
	url string
}

// startHelper starts this binary as a server on dir, as the given account (nil: ours).
func startHelper(t *testing.T, binary, dir string, as *syscall.Credential) *helper {
	t.Helper()
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), helperDir+"="+dir)
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended already when the test went well
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	if !strings.HasPrefix(line, "postgres://") {
		t.Fatalf("the helper said %q", line)
	}
	return &helper{cmd: cmd, in: in, url: strings.TrimSpace(line)}
}

// folder is a folder that an account without rights can reach: t.TempDir is closed when the tests run as root.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "localpg-")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the test's folder: %v", err)
		}
	})
	return filepath.Join(dir, "pg")
}

// start starts a server that ends with the test; the test is skipped where PostgreSQL is not installed.
func start(t *testing.T, dir string) *Server {
	t.Helper()
	needPrograms(t)
	s, err := Start(t.Context(), Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { _ = s.Stop() }) // tests that care about its error stop it themselves
	return s
}

func needPrograms(t *testing.T) {
	t.Helper()
	if _, err := findPrograms("", ""); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
}

// refused starts a server that must not start, and checks what the error says.
func refused(t *testing.T, c Config, wants ...string) {
	t.Helper()
	s, err := Start(t.Context(), c)
	if err == nil {
		t.Fatalf("it started on %s; stop: %v", c.Dir, s.Stop())
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has more than one line: %v", err)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error %q does not say %q", err, want)
		}
	}
}

// query runs one statement on a connection of its own and gives its single value.
func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer func() { _ = conn.Close(context.Background()) }() // the answer is already here
	rows, err := conn.Query(t.Context(), sql)
	must(t, err)
	v, err := pgx.CollectOneRow(rows, pgx.RowTo[T])
	must(t, err)
	return v
}

// eventually waits for a fact.
func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !fact() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it did not happen: %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write stores one row that a later start must find.
func write(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer func() { _ = conn.Close(context.Background()) }() // committed before
	_, err = conn.Exec(t.Context(), "CREATE TABLE kept (v int); INSERT INTO kept VALUES (42)")
	must(t, err)
}

func wantKept(t *testing.T, url string) {
	t.Helper()
	if v := query[int](t, url, "SELECT v FROM kept"); v != 42 {
		t.Fatalf("the row is %d", v)
	}
}

func postmaster(t *testing.T, dir string) int {
	t.Helper()
	found, err := dataDir{dir: dir}.readPID()
	must(t, err)
	if found.pid == 0 {
		t.Fatal("there is no postmaster.pid")
	}
	return found.pid
}
