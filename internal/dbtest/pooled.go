package dbtest

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/clock"
)

// StartPooler returns the URL of the same database behind a PgBouncer of its own, which ends with the test; settings are lines
// of its section [pgbouncer]. Without PgBouncer the test fails when CI is set and is skipped otherwise.
func StartPooler(t testing.TB, address string, settings ...string) string {
	t.Helper()
	program := pgBouncer(t)
	direct, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rollcall-pgbouncer-") // t.TempDir is closed to the account that PgBouncer runs as
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	who, err := unprivilegedAccount(dir)
	if err != nil {
		t.Fatal(err)
	}
	ini := append([]string{
		"[databases]", "* = host=" + direct.Hostname() + " port=" + direct.Port() + " user=" + direct.User.Username(),
		"[pgbouncer]", "listen_addr = 127.0.0.1", "listen_port = " + port, "auth_type = any", "unix_socket_dir =",
	}, settings...)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(strings.Join(ini, "\n")+"\n"), 0o644); err != nil { //nolint:gosec // it holds no secret
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.Command(program, file) //nolint:noctx // it lives as long as the test
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it holds nothing of value
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("PgBouncer says:\n%s", log.String())
		}
	})
	pooled := *direct
	pooled.Host = "127.0.0.1:" + port
	awaitPooler(t, pooled.String())
	return pooled.String()
}

// awaitPooler waits until the pooler listens, whether or not it can serve anybody.
func awaitPooler(t testing.TB, address string) {
	t.Helper()
	config, err := pgx.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for {
		conn, err := config.DialFunc(ctx, "tcp", config.Host+":"+portOf(address))
		if err == nil {
			_ = conn.Close() // it was only to see whether the pooler listens
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("PgBouncer does not listen: %v", err)
		}
		clock.Sleep(ctx, pollPause)
	}
}

func portOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Port()
}

// pgBouncer finds the program, also where only root's PATH would lead.
func pgBouncer(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("pgbouncer is missing: apt-get install pgbouncer")
	}
	t.Skip("pgbouncer is not installed")
	return ""
}
