package dbtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/slowtest"
)

func TestContainer_ServesUntilStopped(t *testing.T) {
	slowtest.RequireEngine(t)
	s, err := StartContainer()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var version, fsync string
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num'), current_setting('fsync')").Scan(&version, &fsync); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(version, "15") || fsync != "off" {
		t.Errorf("the server is of version %s, with fsync %s", version, fsync)
	}
	if _, err := s.CreateDatabase(t.Context(), "made"); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if answers(t, s.URL) {
		t.Error("it answers although it was stopped")
	}
}

// childVariable has the test binary start a server in a container and die.
const childVariable = "ROLLCALL_TEST_CHILD"

func TestContainer_EndsAfterItsProcess(t *testing.T) {
	slowtest.RequireEngine(t)
	if os.Getenv(childVariable) != "" {
		s, err := StartContainer()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("url", s.URL)
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestContainer_EndsAfterItsProcess$", "-test.v")
	child.Env, child.Stderr = append(os.Environ(), childVariable+"=1"), os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	address := ""
	for lines := bufio.NewScanner(out); address == "" && lines.Scan(); {
		if said, ok := strings.CutPrefix(lines.Text(), "url "); ok {
			address = said
		}
	}
	started := answers(t, address)
	_ = child.Process.Kill() // before it can stop the server
	_ = child.Wait()
	if !started {
		t.Fatalf("the child starts no server: %q", address)
	}
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(time.Minute); answers(t, address); <-poll.C {
		if time.Now().After(deadline) {
			t.Fatal("the server outlives the process that started it")
		}
	}
}

func answers(t *testing.T, address string) bool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err == nil {
		_ = conn.Close(t.Context())
	}
	return err == nil
}
