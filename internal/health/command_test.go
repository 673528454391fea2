package health

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
)

// run probes with the only command that these tests allow, a shell; the server itself never uses one.
func run(t *testing.T, check healthcheck.Check, script string) healthcheck.ProbeResult {
	t.Helper()
	check.Type, check.Command, check.Args = "command", "sh", []string{"-c", script}
	return New(Config{Commands: map[string]string{"sh": "/bin/sh"}}).Probe(t.Context(), check, "http://10.0.0.1:8080", nil)
}

func TestCommand_MustBeAllowedByOperator(t *testing.T) {
	t.Parallel()
	c := New(Config{Commands: map[string]string{"true": "/bin/true", "gone": "/no/such/file", "plain": "/etc/passwd"}})
	for command, status := range map[string]healthcheck.Health{
		"true": healthcheck.Healthy, "/bin/true": healthcheck.Unknown, "false": healthcheck.Unknown,
		"": healthcheck.Unknown, "gone": healthcheck.Unknown, "plain": healthcheck.Unknown,
	} {
		got := c.Probe(t.Context(), healthcheck.Check{Type: "command", Command: command}, "", nil)
		want(t, got, status, "")
		if strings.Contains(got.Message, "/no/such") {
			t.Errorf("the message shows the operator's path: %s", got.Message)
		}
	}
}

func TestCommand_ExitCodeDecides(t *testing.T) {
	t.Parallel()
	want(t, run(t, healthcheck.Check{}, "echo fine"), healthcheck.Healthy, "exit code 0: fine")
	want(t, run(t, healthcheck.Check{}, "echo disk is full >&2; exit 3"), healthcheck.Unhealthy, "exit code 3: disk is full")
	want(t, run(t, healthcheck.Check{}, "kill -9 $$"), healthcheck.Unhealthy, "killed")
}

func TestCommand_OutputMustContainExpectedText(t *testing.T) {
	t.Parallel()
	want(t, run(t, healthcheck.Check{ExpectedBody: "ready"}, "echo is ready"), healthcheck.Healthy, "")
	want(t, run(t, healthcheck.Check{ExpectedBody: "ready"}, "echo is not"), healthcheck.Unhealthy, "expected text")
}

func TestCommand_EnvironmentIsMinimal(t *testing.T) {
	t.Parallel()
	got := run(t, healthcheck.Check{}, "env | grep -v -e ^PWD -e ^_= -e ^SHLVL | sort | cut -d= -f1,2; pwd")
	want(t, got, healthcheck.Healthy, "LANG=C.UTF-8 PATH="+commandPath+" ROLLCALL_ADDRESS=http://10.0.0.1:8080 /")
	if strings.Contains(got.Message, "HOME") {
		t.Errorf("the environment leaked: %s", got.Message)
	}
}

func TestCommand_ArgumentsArePassedUnchanged(t *testing.T) {
	t.Parallel()
	c := New(Config{Commands: map[string]string{"echo": "/bin/echo"}})
	check := healthcheck.Check{Type: "command", Command: "echo", Args: []string{"$HOME;", "`id`", "a b"}}
	want(t, c.Probe(t.Context(), check, "", nil), healthcheck.Healthy, "$HOME; `id` a b")
}

func TestCommand_LongOutputIsDropped(t *testing.T) {
	t.Parallel()
	got := run(t, healthcheck.Check{ExpectedBody: "end"}, "head -c 1000000 /dev/zero; echo end")
	want(t, got, healthcheck.Unhealthy, "expected text")
	want(t, run(t, healthcheck.Check{ExpectedBody: "begin"}, "echo begin; head -c 1000000 /dev/zero"), healthcheck.Healthy, "begin")
}

func TestCommand_ChildrenAreKilled(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script string
		status healthcheck.Health
	}{
		"timeout":                 {"sleep 300 & echo $! > %; wait", healthcheck.Unhealthy},
		"output held open":        {"sleep 300 & echo $! > %", healthcheck.Healthy},
		"output elsewhere":        {"sleep 300 >/dev/null 2>&1 & echo $! > %", healthcheck.Healthy},
		"failed, and output held": {"sleep 300 & echo $! > %; exit 1", healthcheck.Unhealthy},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pid")
			check := healthcheck.Check{Timeout: duration.Duration(time.Second)}
			want(t, run(t, check, strings.ReplaceAll(test.script, "%", file)), test.status, "")
			awaitDeath(t, file)
		})
	}
}

func awaitDeath(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if syscall.Kill(pid, 0) != nil || zombie(pid) {
			return
		}
		<-tick.C
	}
	t.Errorf("process %d is still there", pid)
}

// zombie reports whether the process is dead and only not yet collected by its parent.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}
