package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"rollcall/internal/api"
	"rollcall/internal/egress"
	"rollcall/internal/egress/guard"
	"rollcall/internal/engine"
	"rollcall/internal/gitops/syncer"
	"rollcall/internal/health"
	"rollcall/internal/localpg"
	"rollcall/internal/metrics"
	"rollcall/internal/notify"
	"rollcall/internal/resting"
	"rollcall/internal/store"
	"rollcall/internal/strategy"
	"rollcall/internal/target"
	"rollcall/internal/traffic"
	"rollcall/internal/web"
)

// Limits of the listeners. The write timeout is longer than the longest wait of GET /deployments/{id}.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 90 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	shutdownTimeout   = 2 * time.Second
	releaseTimeout    = time.Second
	requestGrace      = 500 * time.Millisecond // for requests in flight; then long polls end
)

// server holds the parts of the process, in the order of their start.
type server struct {
	config      Config
	log         *slog.Logger
	identity    *identity
	postgres    *localpg.Server // nil with --database-url
	store       *store.Store
	workerStore *store.Store // the same, with its own connection pool: requests cannot exhaust it
	metrics     *metrics.Metrics
	engine      *engine.Engine
	gitops      *syncer.Syncer
	notify      *notify.Worker
	resting     *resting.Loop
	scratch     string // a temporary folder for mirrors; empty with a state folder
	listener    net.Listener
	http        *http.Server
	// Both are nil without --admin-addr.
	adminListener net.Listener
	admin         *http.Server
}

// newServer starts the database and builds the parts; it serves and claims nothing before run.
func newServer(ctx context.Context, c Config, log *slog.Logger) (*server, error) {
	s := &server{config: c, log: log}
	for _, start := range []func(context.Context) error{s.openListeners, s.openDatabase, s.acquireIdentity, s.connectParts} {
		if err := start(ctx); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// openListeners opens all listeners. It comes first, so that an address in use is reported before anything else starts.
func (s *server) openListeners(ctx context.Context) (err error) {
	if s.listener, err = listenOn(ctx, s.config.Addr); err != nil || s.config.AdminAddr == "" {
		return err
	}
	s.adminListener, err = listenOn(ctx, s.config.AdminAddr)
	return err
}

func listenOn(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return l, nil
}

func (s *server) acquireIdentity(context.Context) error {
	id, err := acquireIdentity(s.config.StateDir)
	s.identity = id
	return err
}

// connectParts builds the parts and connects them.
func (s *server) connectParts(ctx context.Context) error {
	authenticator, err := s.newAuthenticator(ctx)
	if err != nil {
		return err
	}
	addressGuard := guard.New(guard.Options{AllowLoopback: s.config.Dev, AllowCIDRs: s.config.networks, AllowPorts: s.config.AllowPort})
	m := metrics.New(metrics.Kinds{Strategies: strategy.Types(), Checks: health.Types(), Routers: traffic.Types()})
	m.RegisterDatabase(s.store)
	m.RegisterSources(s.store)
	m.RegisterOutbox(s.store)
	m.RegisterRouters(s.store)
	m.RegisterPool(s.store.Pool().Stat)
	s.metrics = m
	routers := traffic.New(s.egressConfig(s.dialRouter(addressGuard)))
	prober := health.New(health.Config{Dial: addressGuard.DialContext, Commands: s.config.AllowCommand})
	s.engine = engine.New(engine.Config{
		Replica:     s.identity.replica,
		Lease:       s.config.Lease,
		MaxCalls:    s.config.MaxCalls,
		Leases:      s.workerStore,
		Deployments: s.workerStore,
		Changes:     s.workerStore,
		Targets:     target.New(s.egressConfig(addressGuard.DialContext)),
		Prober:      prober,
		Router:      routers,
		Recorder:    m,
		Log:         s.log.With("replica", s.identity.replica),
	})
	s.notify = notify.New(notify.Config{
		Replica: s.identity.replica, Store: s.workerStore, Caller: egress.New(s.egressConfig(addressGuard.DialContext)), Recorder: m,
		Lease: s.engine, Log: s.log.With("replica", s.identity.replica), Jitter: rand.Float64, PublicURL: s.config.PublicURL,
	})
	s.resting = resting.New(resting.Config{
		Replica: s.identity.replica, Every: s.config.RouterInterval, Store: s.workerStore, Router: routers, Lease: s.engine, Recorder: m,
		Log: s.log.With("replica", s.identity.replica),
	})
	ac := api.Config{
		Store: s.store, Who: authenticator, QueueLimit: s.config.QueueLimit, Log: s.log, Version: buildVersion(), Middleware: m.Middleware, Ready: s.checkReady,
		CheckAddress: s.checkAddress(addressGuard), CheckTrust: egress.ValidateTLS, CheckCommand: s.checkCommand, Prober: prober, Router: routers,
		Remotes: api.Remotes{AllowFile: s.config.AllowFileRemotes, AllowHTTP: s.config.Dev},
	}
	if err := s.wireGitOps(ctx, ac, addressGuard, prober, m); err != nil {
		return err
	}
	ac.GitOps = s.gitops
	if s.config.AdminAddr == "" {
		ac.Metrics = m.Handler()
	} else {
		s.admin = s.newHTTPServer(adminHandler(m.Handler()))
	}
	handler, err := api.New(ac)
	if err != nil {
		return fmt.Errorf("building the API: %w", err)
	}
	handler, err = web.New(web.Config{Store: s.store, Who: authenticator, API: handler, Open: s.config.authDisabled(), Middleware: m.Middleware, Log: s.log})
	if err != nil {
		return fmt.Errorf("building the dashboard: %w", err)
	}
	s.http = s.newHTTPServer(handler)
	return nil
}

// dialRouter dials addresses that the guard allows, and the unix sockets of --allow-socket: the path comes from a request,
// so none is allowed by default.
func (s *server) dialRouter(addressGuard *guard.Guard) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if network != "unix" {
			return addressGuard.DialContext(ctx, network, address)
		}
		if err := s.allowSocket(address); err != nil {
			return nil, fmt.Errorf("%w: %w", traffic.ErrForbidden, err)
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
}

func (s *server) allowSocket(path string) error {
	if !slices.Contains(s.config.AllowSocket, path) {
		return fmt.Errorf("socket %s is not allowed by --allow-socket", path)
	}
	return nil
}

// checkAddress returns a function that rejects an address that may not be called, also of a unix socket.
func (s *server) checkAddress(addressGuard *guard.Guard) func(address string) error {
	return func(address string) error {
		if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
			return s.allowSocket(path)
		}
		return addressGuard.Check(address)
	}
}

// checkCommand rejects a command that checks may not run; the error lists the allowed ones.
func (s *server) checkCommand(name string) error {
	if _, allowed := s.config.AllowCommand[name]; allowed {
		return nil
	}
	if len(s.config.AllowCommand) == 0 {
		return errors.New("is not allowed: the server was started without --allow-command")
	}
	names := slices.Sorted(maps.Keys(s.config.AllowCommand))
	return fmt.Errorf("is not allowed by --allow-command, which allows %s", strings.Join(names, ", "))
}

// checkReady returns an error that says why the server should get no traffic.
func (s *server) checkReady(ctx context.Context) error {
	if err := s.engine.Healthy(); err != nil {
		return err
	}
	return s.store.Ping(ctx)
}

func (s *server) newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

func adminHandler(m http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// run serves until ctx ends or a part fails, then hands over its deployments and stops all parts.
func (s *server) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	context.AfterFunc(ctx, func() { time.AfterFunc(requestGrace, cut) })
	s.http.BaseContext = func(net.Listener) context.Context { return requests }
	engineDone := make(chan error, 1)
	go func() { engineDone <- s.engine.Run(ctx) }()
	gitopsDone := make(chan struct{})
	go func() { defer close(gitopsDone); s.gitops.Run(ctx) }()
	notifyDone := make(chan struct{})
	go func() { defer close(notifyDone); s.notify.Run(ctx) }()
	restingDone := make(chan struct{})
	go func() { defer close(restingDone); s.resting.Run(ctx) }()
	go s.serveListener(s.http, s.listener, cancel)
	if s.admin != nil {
		go s.serveListener(s.admin, s.adminListener, cancel)
	}
	go s.deleteExpiredHourly(ctx)
	go s.refreshFigures(ctx)
	s.log.InfoContext(ctx, "rollcall is ready", "address", s.listener.Addr().String(), "dev", s.config.Dev, "authentication", !s.config.authDisabled(),
		"private_postgres", s.postgres != nil, "replica", s.identity.replica)
	s.waitForStop(ctx, cancel)
	s.log.Info("stopping: handing over deployments")
	err := errors.Join(stopCause(ctx), s.shutDownListeners(), <-engineDone)
	<-gitopsDone
	<-notifyDone
	<-restingDone
	s.releaseReplica()
	return errors.Join(err, s.close())
}

// releaseReplica ends the replica's lease. If the database cannot be reached, the lease expires.
func (s *server) releaseReplica() {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	if err := s.workerStore.ReleaseReplica(ctx, s.identity.replica); err != nil {
		s.log.InfoContext(ctx, "failed to release the replica's lease; it will expire", "error", err)
	}
}

func (s *server) serveListener(h *http.Server, l net.Listener, cancel context.CancelCauseFunc) {
	if err := h.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		cancel(fmt.Errorf("serving on %s: %w", l.Addr(), err))
	}
}

// waitForStop waits until the server is stopped or its private PostgreSQL has ended for good.
func (s *server) waitForStop(ctx context.Context, cancel context.CancelCauseFunc) {
	var postgresDone <-chan struct{}
	if s.postgres != nil {
		postgresDone = s.postgres.Done()
	}
	select {
	case <-ctx.Done():
	case <-postgresDone:
		cancel(fmt.Errorf("the private PostgreSQL ended: %w", s.postgres.Err()))
	}
}

// stopCause returns the error that ended ctx; nil if the server was stopped.
func stopCause(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (s *server) shutDownListeners() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	var err error
	for _, h := range []*http.Server{s.http, s.admin} {
		if h == nil {
			continue
		}
		if h.Shutdown(ctx) != nil {
			err = errors.Join(err, h.Close()) // cut requests that are still open
		}
	}
	return err
}

// close releases the resources of newServer, in reverse order.
func (s *server) close() error {
	var err error
	for _, db := range []*store.Store{s.workerStore, s.store} {
		if db != nil {
			db.Close()
		}
	}
	err = errors.Join(err, s.removeScratchMirrors())
	if s.identity != nil {
		err = errors.Join(err, s.identity.release())
	}
	if s.postgres != nil {
		err = errors.Join(err, s.postgres.Stop())
	}
	for _, l := range []net.Listener{s.listener, s.adminListener} {
		if l != nil {
			_ = l.Close() // already closed if it was served
		}
	}
	return err
}
