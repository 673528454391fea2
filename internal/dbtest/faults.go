package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/clock"
)

// errNotOurs means that the server is not one that can be broken: it was there already, or it is in a container.
var errNotOurs = errors.New("only a server of installed programs can be broken")

// Crash has the server abort at once, with its connections (pg_ctl stop -m immediate). Commits survive it in databases that
// have synchronous_commit on.
func (s *Server) Crash() error {
	if err := s.sendOrder("crash"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := os.Stat(filepath.Join(s.data, "postmaster.pid")); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		clock.Sleep(ctx, pollPause)
	}
	return errors.New("PostgreSQL does not end")
}

// Restart starts a server that has crashed, and returns when it answers. A start that fails is tried again: another program
// may have got the port meanwhile, or the last processes of the crashed server still have its memory.
func (s *Server) Restart() error {
	const starts = 6
	var failed error
	for range starts {
		if err := s.sendOrder("start"); err != nil {
			return err
		}
		if failed = waitUntilReady(s.URL, startTimeout/starts); failed == nil {
			return nil
		}
	}
	return failed
}

func (s *Server) sendOrder(what string) error {
	if s.orders == nil {
		return errNotOurs
	}
	if _, err := io.WriteString(s.orders, what+"\n"); err != nil {
		return fmt.Errorf("order PostgreSQL to %s: %w", what, err)
	}
	return nil
}

// Freeze stops all the server's processes where they are, as a machine that hangs; Thaw continues them.
func (s *Server) Freeze() error { return s.signalProcesses(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Server) Thaw() error { return s.signalProcesses(syscall.SIGCONT) }

func (s *Server) signalProcesses(sig syscall.Signal) error {
	if s.orders == nil {
		return errNotOurs
	}
	file, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("find PostgreSQL's process: %w", err)
	}
	first, _, _ := strings.Cut(string(file), "\n")
	server, err := strconv.Atoi(first)
	if err != nil {
		return fmt.Errorf("find PostgreSQL's process: %w", err)
	}
	if err := syscall.Kill(server, sig); err != nil {
		return fmt.Errorf("signal PostgreSQL: %w", err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", server, server))
	if err != nil {
		return fmt.Errorf("find PostgreSQL's processes: %w", err)
	}
	for field := range strings.FieldsSeq(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			_ = syscall.Kill(pid, sig) // it may have ended meanwhile
		}
	}
	return nil
}

// CreateDatabase makes a database with the newest schema in which commits survive a crash, and gives its URL.
func (s *Server) CreateDatabase(ctx context.Context, name string) (string, error) {
	if err := makeTemplate(ctx, s.URL); err != nil {
		return "", err
	}
	for _, statement := range []string{
		"CREATE DATABASE " + name + " TEMPLATE " + templateName() + " STRATEGY FILE_COPY",
		"ALTER DATABASE " + name + " SET synchronous_commit = on",
	} {
		if err := runStatement(s.URL, statement); err != nil {
			return "", err
		}
	}
	return databaseURL(s.URL, name), nil
}

// RunStatement runs one statement as the server's owner, on the server's own database.
func (s *Server) RunStatement(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // the statement's answer is there
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// pollPause is between two looks at what is waited for.
const pollPause = 10 * time.Millisecond
