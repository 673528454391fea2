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

	"rollcall/internal/egress"
	"rollcall/internal/healthcheck"
)

const (
	// commandPath is the PATH that a command sees; nothing else of the server's environment reaches it.
	commandPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// addressVariable holds the target's address.
	addressVariable = "ROLLCALL_ADDRESS"
	// outputDelay is how long the output may stay open once the command itself has ended.
	outputDelay = 250 * time.Millisecond
)

// commandKind runs a program that the operator allowed by name, without a shell.
type commandKind struct{ allowed map[string]string }

func (k commandKind) probeTarget(ctx context.Context, check *healthcheck.Check, address string, _ connection) healthcheck.ProbeResult {
	path, ok := k.allowed[check.Command]
	if !ok {
		return unknown(fmt.Sprintf("command %q is not allowed", check.Command))
	}
	var output prefixWriter
	cmd := exec.CommandContext(ctx, path, check.Args...)
	cmd.Env = []string{"PATH=" + commandPath, "LANG=C.UTF-8", addressVariable + "=" + address}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &output, &output
	// Its own process group, so that its children can be killed with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = outputDelay
	if err := cmd.Start(); err != nil {
		return unknown("the command could not be started: " + startError(err))
	}
	err := cmd.Wait()
	// What it left behind goes too. The group's number cannot have gone to another one yet: the kernel gives them out
	// in turn. Mostly there is nothing left, and the error says so.
	_ = killGroup(cmd)
	if errors.Is(err, exec.ErrWaitDelay) { // it ended well, and only its children held the output open
		err = nil
	}
	return evaluateCommand(ctx, check, err, output.prefixText())
}

func evaluateCommand(ctx context.Context, check *healthcheck.Check, err error, output string) healthcheck.ProbeResult {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return unhealthy("the command did not end within its timeout")
	case errors.As(err, &exit) && exit.Exited():
		return unhealthy("exit code " + strconv.Itoa(exit.ExitCode()) + ": " + output)
	case err != nil:
		return unhealthy("the command failed: " + err.Error())
	case !strings.Contains(output, check.ExpectedBody):
		return unhealthy("exit code 0, but the output does not contain the expected text")
	default:
		return healthy(strings.TrimSuffix("exit code 0: "+output, ": "))
	}
}

func killGroup(cmd *exec.Cmd) error {
	return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}

// startError formats an error without the path, which only the operator may see.
func startError(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return "it is not an executable file"
}

// prefixWriter keeps the first egress.MaxBody bytes and discards the rest, so that a command does not block on its output.
// exec writes stdout and stderr from one goroutine when both are the same writer.
type prefixWriter struct{ kept []byte }

// Write implements io.Writer; it never fails.
func (h *prefixWriter) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), egress.MaxBody-len(h.kept))]...)
	return len(p), nil
}

func (h *prefixWriter) prefixText() string { return string(h.kept) }
