package localpg

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// How long a shutdown may take: fast waits for a last checkpoint, immediate for nothing.
const (
	fastShutdown      = 30 * time.Second
	immediateShutdown = 5 * time.Second
)

// readyPoll is how often the pid file is read until it says "ready".
const readyPoll = 10 * time.Millisecond

// process is one running postgres.
type process struct {
	cmd    *exec.Cmd
	pid    int
	exited chan struct{}
	err    error // why it ended, written before exited is closed; nil for a clean shutdown
}

// startProcess starts postgres. It must run on a thread that outlives the process, see childOf.
func (s *Server) startProcess() (*process, error) {
	log, err := s.dataDir.openLog()
	if err != nil {
		return nil, err
	}
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("find the end of the log: %w", err), log.Close())
	}
	cmd := exec.Command(s.progs.postgresPath(), s.serverArgs()...) //nolint:noctx // it lives until Stop, which shuts it down in order
	cmd.Dir = s.dataDir.dir
	cmd.Env = programEnv()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childOf(s.who)
	err = cmd.Start()
	if err := errors.Join(err, log.Close()); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.progs.postgresPath(), err)
	}
	p := &process{cmd: cmd, pid: cmd.Process.Pid, exited: make(chan struct{})}
	go p.recordExit(s.dataDir.logPath(), from)
	return p, nil
}

// recordExit records how the process ended, with the last message in the log after the byte from.
func (p *process) recordExit(log string, from int64) {
	defer close(p.exited)
	if err := p.cmd.Wait(); err != nil {
		p.err = fmt.Errorf("postgres (pid %d) ended: %w: %s (see %s)", p.pid, err, lastLogged(log, from), log)
	}
}

// serverArgs returns the settings. They are on the command line, so that none of them depends on what a file says.
func (s *Server) serverArgs() []string {
	args := []string{"-D", s.dataDir.dataPath(), "-k", s.dataDir.socket, "-p", port}
	for _, setting := range []string{
		"hba_file=" + filepath.Join(s.dataDir.dataPath(), accessFile), "password_encryption=scram-sha-256",
		"listen_addresses=", "unix_socket_permissions=0700", "max_connections=100",
		"fsync=on", "full_page_writes=on", "synchronous_commit=on",
		"max_wal_size=256MB", "timezone=UTC", "log_timezone=UTC",
		// Errors are the service's own to report; its statements and their values do not belong into a file.
		"logging_collector=off", "log_min_messages=log", "log_min_error_statement=panic", "log_error_verbosity=terse",
		"log_checkpoints=off", "log_line_prefix=%m [%p] ",
	} {
		args = append(args, "-c", setting)
	}
	return args
}

// awaitReady returns true when the process accepts connections, false when it ended or stop was closed before.
func (p *process) awaitReady(at dataDir, stop <-chan struct{}) bool {
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		select {
		case <-p.exited:
			return false
		case <-stop:
			return false
		case <-poll.C:
			// A file that cannot be read yet is one that does not say "ready" yet.
			if found, err := at.readPID(); err == nil && found.pid == p.pid && found.ready {
				return true
			}
		}
	}
}

// shutDown ends the process and returns when it has ended, an error when it could not be done in order.
func (p *process) shutDown() error {
	steps := []struct {
		send syscall.Signal
		wait time.Duration
	}{{syscall.SIGINT, fastShutdown}, {syscall.SIGQUIT, immediateShutdown}}
	for i, step := range steps {
		if err := p.sendSignal(step.send); err != nil {
			return err
		}
		select {
		case <-p.exited:
			return p.err
		case <-time.After(step.wait):
			if i == len(steps)-1 {
				return p.kill()
			}
		}
	}
	return nil
}

func (p *process) sendSignal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to postgres (pid %d): %w", sig, p.pid, err)
	}
	return nil
}

// kill ends the process and all its children by force; the next start recovers from the log.
func (p *process) kill() error {
	if err := syscall.Kill(-p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill postgres (pid %d): %w", p.pid, err)
	}
	<-p.exited
	return fmt.Errorf("postgres (pid %d) did not shut down in %s and was killed", p.pid, fastShutdown+immediateShutdown)
}

// isAlive reports whether there is a process with that pid.
func isAlive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// lastLogged returns the last message in the log after the byte from.
func lastLogged(log string, from int64) string {
	f, err := os.Open(log)
	if err != nil {
		return "the log cannot be read"
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.NewSectionReader(f, from, maxLog))
	if err != nil {
		return "the log cannot be read"
	}
	return logTail(string(b))
}

// logTail returns the last line that reports an error, else the last line.
func logTail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		for _, mark := range []string{"FATAL:", "PANIC:", "error:"} {
			if at := strings.Index(lines[i], mark); at >= 0 {
				return lines[i][at:]
			}
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
