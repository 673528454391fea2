package mirror

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"rollcall/internal/gitops"

	"golang.org/x/sys/unix"
)

const (
	// maxOutput bounds a command's output.
	maxOutput = 96 << 20
	// maxMemory bounds what one process of a call takes of the memory: git holds an answer of a host there before it looks
	// at it.
	maxMemory = 1 << 30
	// killWait is how long a killed git may hold on to its pipes.
	killWait = 2 * time.Second
)

// command is one call of git. Nothing of it passes a shell.
type command struct {
	dir  string
	args []string
	// config goes through the environment, where no list of processes shows it, and beats every file.
	config [][2]string
	env    []string
	stdin  []byte
	// memory bounds what each process of the call takes; 0 is maxMemory.
	memory uint64
	// hide lists what an error must not show.
	hide []string
}

// gitError is the error of a git command.
type gitError struct {
	subcommand string
	code       int
	text       string
	// output is the beginning of git's error output. It may hold secrets.
	output string
	cause  error
}

func (f *gitError) Error() string {
	if f.text == "" {
		return fmt.Sprintf("git %s failed: %v", f.subcommand, f.cause)
	}
	return fmt.Sprintf("git %s failed: %s", f.subcommand, f.text)
}

func (f *gitError) Unwrap() error { return f.cause }

// exitCode returns the code that git ended with, or -1 when err is something else.
func exitCode(err error) int {
	if f, ok := errors.AsType[*gitError](err); ok {
		return f.code
	}
	return -1
}

// runGit runs a command and returns its output. It is killed when ctx ends, and with it every process that it started.
func runGit(ctx context.Context, c command) ([]byte, error) {
	runtime.LockOSThread() // Pdeathsig is about the thread that started the process
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "git", c.args...)
	if prlimit, err := exec.LookPath("prlimit"); err == nil { // which bounds it before its first instruction
		cmd = exec.CommandContext(ctx, prlimit, append([]string{fmt.Sprintf("--data=%d", cmp.Or(c.memory, maxMemory)), "git"}, c.args...)...)
	}
	cmd.Dir, cmd.Env = c.dir, c.environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killWait
	cmd.Stdin = bytes.NewReader(c.stdin)
	stdout, stderr := &headBuffer{max: maxOutput}, &headBuffer{max: 16 << 10}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := runBounded(cmd, cmp.Or(c.memory, maxMemory))
	if err == nil && stdout.cut {
		err = fmt.Errorf("its answer is larger than %d MiB", maxOutput>>20)
	}
	if err == nil {
		return stdout.Bytes(), nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return nil, &gitError{subcommand: c.args[0], code: cmd.ProcessState.ExitCode(), text: c.errorText(ctx, stderr.String()), output: stderr.String(), cause: err}
}

// runBounded runs a command whose processes may take so much memory each. Without prlimit the bound is set when the program
// has just been loaded, as a rule before it starts others, which inherit it.
func runBounded(cmd *exec.Cmd, memory uint64) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	bound := unix.Rlimit{Cur: memory, Max: memory}
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_DATA, &bound, nil); err != nil && !errors.Is(err, unix.ESRCH) {
		return errors.Join(fmt.Errorf("bound the memory of git: %w", err), cmd.Cancel(), cmd.Wait())
	}
	return cmd.Wait()
}

// environment returns the variables that git gets: none of the server's own, except where programs and certificates are.
func (c *command) environment() []string {
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_ASKPASS=", "SSH_ASKPASS=", "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C", "HOME=" + os.DevNull,
		"GIT_CEILING_DIRECTORIES=" + filepath.Dir(c.dir), // a damaged mirror is no reason to use what lies around it
	}
	for _, name := range []string{"PATH", "GIT_EXEC_PATH", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR"} {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	config := append([][2]string{
		{"core.hooksPath", os.DevNull},
		{"core.fsmonitor", "false"},
		{"core.quotePath", "false"},
		{"credential.helper", ""},
		{"http.followRedirects", "false"},
		{"http.sslVersion", "tlsv1.2"},
		{"http.proxy", ""},
		{"maintenance.auto", "false"},
		{"gc.auto", "0"},
		{"gpg.program", os.DevNull},
		{"gpg.x509.program", os.DevNull},
	}, c.config...)
	env = append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(len(config)))
	for i, setting := range config {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, setting[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, setting[1]))
	}
	return append(env, c.env...)
}

// otherOwner matches how git refuses a repository of another user.
var otherOwner = regexp.MustCompile(`detected dubious ownership in repository at ('[^'\n]*')`)

// errorText returns git's error output as one line that holds no secret.
func (c *command) errorText(ctx context.Context, text string) string {
	if cause := context.Cause(ctx); cause != nil {
		return cause.Error()
	}
	for _, secret := range c.hide {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	if owned := otherOwner.FindStringSubmatch(text); owned != nil {
		text = fmt.Sprintf("the repository %s belongs to another user than the one that this server runs as (uid %d), and settings "+
			"of git such as safe.directory have no effect here: give the repository to that user, or let it be read over https or ssh",
			owned[1], os.Geteuid())
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return gitops.TruncateText(strings.Join(strings.Fields(text), " "), gitops.MaxErrorText)
}

// headBuffer keeps the beginning of what is written to it, and whether there was more.
type headBuffer struct {
	bytes.Buffer
	max int
	cut bool
}

// Write never fails: a writer that stops reading would only hide why git failed.
func (l *headBuffer) Write(p []byte) (int, error) {
	if room := l.max - l.Len(); len(p) > room {
		l.cut = true
		l.Buffer.Write(p[:max(room, 0)])
		return len(p), nil
	}
	return l.Buffer.Write(p)
}
