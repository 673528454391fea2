package health

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

const (
	// commandPath is the PATH that a command sees; nothing else of the server's environment reaches it.
	commandPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// addressVariable tells the command which target it is about.
	addressVariable = "ROLLCALL_ADDRESS"
	// outputDelay is how long the output may stay open once the command itself has ended.
	outputDelay = 250 * time.Millisecond
)

// commandKind runs a program that the operator allowed by name. There is no shell: arguments arrive as they are.
type commandKind struct{ allowed map[string]string }

func (k commandKind) probe(ctx context.Context, check *healthcheck.Check, address string, _ *rollout.TLS) healthcheck.ProbeResult {
	path, ok := k.allowed[check.Command]
	if !ok {
		return unknown(fmt.Sprintf("the operator allows no command %q", check.Command))
	}
	var output head
	cmd := exec.CommandContext(ctx, path, check.Args...)
	cmd.Env = []string{"PATH=" + commandPath, "LANG=C.UTF-8", addressVariable + "=" + address}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &output, &output
	// A group of its own, so that what the command started dies with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = outputDelay
	if err := cmd.Start(); err != nil {
		return unknown("the command cannot be started: " + startProblem(err))
	}
	err := cmd.Wait()
	// What it left behind goes too. The group's number cannot have gone to another one yet: the kernel gives them out
	// in turn. Mostly there is nothing left, and the error says so.
	_ = killGroup(cmd)
	if errors.Is(err, exec.ErrWaitDelay) { // it ended well, and only its children held the output open
		err = nil
	}
	return judgeCommand(ctx, check, err, output.text())
}

func judgeCommand(ctx context.Context, check *healthcheck.Check, err error, output string) healthcheck.ProbeResult {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return unhealthy("the command did not end within its timeout")
	case errors.As(err, &exit) && exit.Exited():
		return unhealthy("exit code " + strconv.Itoa(exit.ExitCode()) + ": " + output)
	case err != nil:
		return unhealthy("the command ended badly: " + err.Error())
	case !strings.Contains(output, check.ExpectedBody):
		return unhealthy("exit code 0, but the output does not hold the expected text")
	default:
		return healthy(strings.TrimSuffix("exit code 0: "+output, ": "))
	}
}

func killGroup(cmd *exec.Cmd) error {
	return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}

// startProblem leaves out the path, which is the operator's business.
func startProblem(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return "it is not an executable file"
}

// head keeps the first outbound.MaxBody bytes written to it and lets the rest go by, so that a talkative command does not block.
// exec writes stdout and stderr from one goroutine when both are the same writer.
type head struct{ kept []byte }

// Write is part of io.Writer; it never fails.
func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), outbound.MaxBody-len(h.kept))]...)
	return len(p), nil
}

func (h *head) text() string { return string(h.kept) }
