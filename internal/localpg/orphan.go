package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pidFile is what a PostgreSQL wrote into its postmaster.pid.
type pidFile struct {
	pid   int
	ready bool
}

func (p dataDir) pidPath() string { return filepath.Join(p.dataPath(), "postmaster.pid") }

// readPID reads postmaster.pid; a zero pid means that there is none, or not yet a whole one. Its first line is the pid,
// its eighth the status.
func (p dataDir) readPID() (pidFile, error) {
	b, err := os.ReadFile(p.pidPath())
	if errors.Is(err, fs.ErrNotExist) {
		return pidFile{}, nil
	}
	if err != nil {
		return pidFile{}, fmt.Errorf("read PostgreSQL's pid file: %w", err)
	}
	lines := strings.Split(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return pidFile{}, nil //nolint:nilerr // it is being written just now
	}
	return pidFile{pid: pid, ready: len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"}, nil
}

// stopOrphan stops the PostgreSQL that a killed server left behind. The lock is held, so no living server owns it.
func (s *Server) stopOrphan(ctx context.Context) error {
	found, err := s.dataDir.readPID()
	if err != nil || found.pid == 0 {
		return err
	}
	if !runsOn(found.pid, s.dataDir.dataPath()) {
		return s.forgetPID(found.pid)
	}
	s.log.Info("a private PostgreSQL was left behind by a server that died; stopping it", "pid", found.pid)
	err = s.runProgram(ctx, "", s.progs.pgCtl(), "stop", "--mode", "fast", "--timeout", "60", "--pgdata", s.dataDir.dataPath())
	if err != nil && runsOn(found.pid, s.dataDir.dataPath()) { // it may have ended by itself just before
		return fmt.Errorf("stop the PostgreSQL (pid %d) that a dead server left on %s: %w", found.pid, s.dataDir.dataPath(), err)
	}
	return nil
}

// forgetPID removes a pid file whose number now belongs to an unrelated process, as it happens after a restart of a
// container: PostgreSQL would take that process for a living server. When the process is gone PostgreSQL looks after
// the file itself, and better, because it also knows whether its own children are.
func (s *Server) forgetPID(pid int) error {
	if !isAlive(pid) {
		return nil
	}
	if err := os.Remove(s.dataDir.pidPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a stale pid file: %w", err)
	}
	return nil
}
