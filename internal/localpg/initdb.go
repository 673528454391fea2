package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// initDataDir makes the data folder when there is none. It is prepared under another name, a new one each time, and
// renamed when it is whole: a start that was cut short leaves nothing that looks like data, and an initdb that outlived
// its server writes to a folder that is not used.
func (s *Server) initDataDir(ctx context.Context) error {
	if err := s.removeUnfinished(); err != nil {
		return err
	}
	if s.dataDir.majorVersion() != "" {
		return nil
	}
	fresh, err := os.MkdirTemp(s.dataDir.dir, unfinished+"-")
	if err != nil {
		return fmt.Errorf("make a new data folder: %w", err)
	}
	if err := privateFolder(fresh, s.who); err != nil {
		return err
	}
	// initdb's own rules for logging in are not used: protect writes others.
	err = s.runProgram(ctx, "", s.progs.initdbPath(), "--pgdata", fresh, "--username", role, "--encoding", "UTF8", "--locale", "C",
		"--auth-local", "reject", "--auth-host", "reject", "--data-checksums")
	if err != nil {
		return fmt.Errorf("initialise %s: %w", fresh, err)
	}
	if err := s.runProgram(ctx, "CREATE DATABASE "+database+"\n", s.progs.postgresPath(), "--single", "-D", fresh, "postgres"); err != nil {
		return fmt.Errorf("create the database %s: %w", database, err)
	}
	if err := os.Rename(fresh, s.dataDir.dataPath()); err != nil {
		return fmt.Errorf("take the new data folder into use: %w", err)
	}
	return syncFolder(s.dataDir.dir)
}

func (s *Server) removeUnfinished() error {
	left, err := filepath.Glob(filepath.Join(s.dataDir.dir, unfinished+"-*"))
	if err != nil {
		return fmt.Errorf("look for unfinished data folders: %w", err)
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove an unfinished data folder: %w", err)
		}
	}
	return nil
}

// runProgram runs one of PostgreSQL's programs to its end, as the account. The error ends with the program's last output.
func (s *Server) runProgram(ctx context.Context, input, prog string, args ...string) error {
	cmd := exec.CommandContext(ctx, prog, args...)
	cmd.Dir = s.dataDir.dir // the caller's own folder may be closed to the account
	cmd.Env = programEnv()
	cmd.Stdin = strings.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.who.credential()}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(prog), err, logTail(string(out)))
	}
	return nil
}

// programEnv returns the variables of PostgreSQL's programs: none of the caller's, whose PG… variables would change their
// meaning.
func programEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("write %s to the disk: %w", dir, err)
	}
	return nil
}
