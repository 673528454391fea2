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

// ServerRole is the role that the server works as; whoever opens URL makes it and says what it may do.
const ServerRole = "rollcall_server"

// Config says where the private PostgreSQL lives.
type Config struct {
	// Dir is the folder that holds data, log and socket. It is made when it is missing; it must belong to the account
	// that calls Start and be used for nothing else. Required.
	Dir string
	// Bin is the folder with initdb, postgres and pg_ctl. Empty means PATH, then the usual places of packages.
	Bin string
	// Log hears of starts, ends and restarts; nil means slog.Default().
	Log *slog.Logger
}

// Server is a running private PostgreSQL. Its methods may be called from any goroutine.
type Server struct {
	log   *slog.Logger
	place place
	progs programs
	who   account
	lock  *os.File
	// passwords are known once prepare is done, and never change.
	passwords passwords

	stopping chan struct{}
	stopOnce sync.Once
	done     chan struct{}
	err      error // written before done is closed
}

// Start brings the private PostgreSQL up and returns when it accepts connections; ctx bounds the start only. From then
// on the server is watched: if it dies it is started again on the same data, with the same URL. The errors fit on one
// line and say what to do: missing programs, a folder that another server uses, that belongs to somebody else, that
// holds something else, or that another version of PostgreSQL wrote.
func Start(ctx context.Context, c Config) (*Server, error) {
	s := &Server{
		log:      cmp.Or(c.Log, slog.Default()),
		stopping: make(chan struct{}),
		done:     make(chan struct{}),
	}
	if err := s.prepare(ctx, c); err != nil {
		s.unlock()
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
	if s.place, err = openPlace(c.Dir); err != nil {
		return err
	}
	if s.lock, err = lockFile(s.place); err != nil {
		return err
	}
	if err := s.place.checkContents(); err != nil {
		return err
	}
	if s.progs, err = findPrograms(c.Bin, s.place.version()); err != nil {
		return err
	}
	if err := s.progs.checkVersion(ctx, s.place); err != nil {
		return err
	}
	if s.who, err = accountFor(s.place); err != nil {
		return err
	}
	if err := s.who.reaches(ctx, s.place, s.progs); err != nil {
		return err
	}
	if err := s.stopOrphan(ctx); err != nil {
		return err
	}
	if err := s.initialise(ctx); err != nil {
		return err
	}
	if err := s.protect(ctx); err != nil {
		return err
	}
	return s.place.openSocket(s.who)
}

// URL is the connection string of the database, as the role that owns it and may do everything, with its password. It stays
// the same when PostgreSQL is started again.
func (s *Server) URL() string { return s.urlFor(role) }

// ServerURL is the same for ServerRole, whom nobody lets in before it was made with ServerPassword.
func (s *Server) ServerURL() string { return s.urlFor(ServerRole) }

// ServerPassword is the password that ServerRole must have.
func (s *Server) ServerPassword() string { return s.passwords[ServerRole] }

func (s *Server) urlFor(role string) string {
	q := url.Values{"host": {s.place.socket}, "port": {port}, "sslmode": {"disable"}}
	return "postgres://" + role + ":" + s.passwords[role] + "@/" + database + "?" + q.Encode()
}

// Stop shuts PostgreSQL down and returns when no process of it is left. Called again it answers the same. The error says
// that the shutdown was not a clean one, or that the server had been given up before; the data is safe in either case.
func (s *Server) Stop() error {
	s.stopOnce.Do(func() { close(s.stopping) })
	<-s.done
	return s.err
}

// Done is closed when there is no database any more: after Stop, or when PostgreSQL could not be kept running.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says in one line why PostgreSQL could not be kept running or stopped; it is nil before Done and after a clean
// Stop.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// leave gives the folder free for the next server.
func (s *Server) leave() {
	s.place.closeSocket()
	s.unlock()
	close(s.done)
}

// unlock drops the lock by name: a child of this process that has been forked and runs nothing yet still holds the file, and
// closing would leave the lock to it.
func (s *Server) unlock() {
	if s.lock != nil {
		_ = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN)
		_ = s.lock.Close() // nothing was buffered
	}
}
