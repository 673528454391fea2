package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"syscall"
)

// The names under which the private database is reached.
const (
	role     = "rollcall"
	database = "rollcall"
	port     = "5432" // part of the socket's name only; nothing listens on TCP
)

// ServerRole is the server's role; the owner of the database creates it and grants its privileges.
const ServerRole = "rollcall_server"

// Config configures the private PostgreSQL.
type Config struct {
	// Dir is the folder for data, log and socket. It is created if it is missing; it must belong to the account
	// that calls Start and be used for nothing else. Required.
	Dir string
	// Bin is the folder with initdb, postgres and pg_ctl. Empty means PATH, then the usual places of packages.
	Bin string
	// Log gets starts, ends and restarts; nil means slog.Default().
	Log *slog.Logger
}

// Server is a running private PostgreSQL. It is safe for concurrent use.
type Server struct {
	log     *slog.Logger
	dataDir dataDir
	progs   programs
	who     account
	lock    *os.File
	// passwords are known once prepare is done, and never change.
	passwords passwords

	stopping chan struct{}
	stopOnce sync.Once
	done     chan struct{}
	err      error // written before done is closed
}

// Start starts the private PostgreSQL and waits until it accepts connections; ctx limits the start only. From then
// on the process is supervised: if it dies, it is restarted on the same data, with the same URL. The errors fit on one
// line and are actionable: missing programs, a folder that another server uses, that belongs to another account, that
// holds something else, or that another version of PostgreSQL wrote.
func Start(ctx context.Context, c Config) (*Server, error) {
	s := &Server{
		log:      cmp.Or(c.Log, slog.Default()),
		stopping: make(chan struct{}),
		done:     make(chan struct{}),
	}
	if err := s.prepare(ctx, c); err != nil {
		s.dropLock()
		return nil, err
	}
	ready := make(chan struct{}, 1)
	go s.supervise(ready)
	select {
	case <-ready:
		return s, nil
	case <-s.done:
		return nil, s.err
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("the start was given up: %w", context.Cause(ctx)), s.Stop())
	}
}

// prepare does all that comes before the first process: lock, account, programs, an initialised data folder, no orphan.
func (s *Server) prepare(ctx context.Context, c Config) (err error) {
	if s.dataDir, err = openDataDir(c.Dir); err != nil {
		return err
	}
	if s.lock, err = lockFile(s.dataDir); err != nil {
		return err
	}
	if err := s.dataDir.checkContents(); err != nil {
		return err
	}
	if s.progs, err = findPrograms(c.Bin, s.dataDir.majorVersion()); err != nil {
		return err
	}
	if err := s.progs.checkVersion(ctx, s.dataDir); err != nil {
		return err
	}
	if s.who, err = accountFor(s.dataDir); err != nil {
		return err
	}
	if err := s.who.checkAccess(ctx, s.dataDir, s.progs); err != nil {
		return err
	}
	if err := s.stopOrphan(ctx); err != nil {
		return err
	}
	if err := s.initDataDir(ctx); err != nil {
		return err
	}
	if err := s.setPasswords(ctx); err != nil {
		return err
	}
	return s.dataDir.openSocket(s.who)
}

// URL returns the connection string of the database for its owner, with the password. It stays
// the same when PostgreSQL is restarted.
func (s *Server) URL() string { return s.urlFor(role) }

// ServerURL returns the connection string for ServerRole, which must be created with ServerPassword first.
func (s *Server) ServerURL() string { return s.urlFor(ServerRole) }

// ServerPassword returns the password that ServerRole must have.
func (s *Server) ServerPassword() string { return s.passwords[ServerRole] }

func (s *Server) urlFor(role string) string {
	q := url.Values{"host": {s.dataDir.socket}, "port": {port}, "sslmode": {"disable"}}
	return "postgres://" + role + ":" + s.passwords[role] + "@/" + database + "?" + q.Encode()
}

// Stop shuts PostgreSQL down and waits until no process of it is left. Further calls return the same. It fails if
// the shutdown was not clean, or PostgreSQL had failed for good before; the data is safe in either case.
func (s *Server) Stop() error {
	s.stopOnce.Do(func() { close(s.stopping) })
	<-s.done
	return s.err
}

// Done returns a channel that is closed when there is no database any more: after Stop, or when PostgreSQL could not be kept running.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err returns why PostgreSQL could not be kept running or stopped; it is nil before Done and after a clean
// Stop.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// releaseDir frees the folder for the next server.
func (s *Server) releaseDir() {
	s.dataDir.closeSocket()
	s.dropLock()
	close(s.done)
}

// dropLock drops the lock by name: a child of this process that has been forked and runs nothing yet still holds the file, and
// closing would leave the lock to it.
func (s *Server) dropLock() {
	if s.lock != nil {
		_ = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN)
		_ = s.lock.Close() // nothing was buffered
	}
}
