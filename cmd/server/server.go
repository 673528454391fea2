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
	"rollcall/internal/engine"
	"rollcall/internal/gitops"
	"rollcall/internal/health"
	"rollcall/internal/localpg"
	"rollcall/internal/metrics"
	"rollcall/internal/netguard"
	"rollcall/internal/notify"
	"rollcall/internal/outbound"
	"rollcall/internal/resting"
	"rollcall/internal/store"
	"rollcall/internal/strategy"
	"rollcall/internal/target"
	"rollcall/internal/traffic"
	"rollcall/internal/web"
)

// Bounds of the listeners. The write timeout is longer than the longest wait of GET /deployments/{id}.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 90 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	shutdownTimeout   = 2 * time.Second
	signOffTimeout    = time.Second
	requestGrace      = 500 * time.Millisecond // for requests in flight; long polls end with it
)

// server is everything that runs in the process, in the order in which it is started.
type server struct {
	config   Config
	log      *slog.Logger
	identity *identity
	postgres *localpg.Server // nil with a database of the user's own
	store    *store.Store
	work     *store.Store // the same, over connections that requests cannot use up
	metrics  *metrics.Metrics
	engine   *engine.Engine
	gitops   *gitops.Loop
	notify   *notify.Loop
	resting  *resting.Loop
	scratch  string // a folder for mirrors that ends with the process; empty with a state folder
	listener net.Listener
	http     *http.Server
	// Both are nil without --admin-addr.
	adminListener net.Listener
	admin         *http.Server
}

// newServer starts the database and wires the parts; nothing is claimed or answered before run.
func newServer(ctx context.Context, c Config, log *slog.Logger) (*server, error) {
	s := &server{config: c, log: log}
	for _, start := range []func(context.Context) error{s.listen, s.openDatabase, s.identify, s.wire} {
		if err := start(ctx); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// listen comes first: an address that is taken is known before anything else is started.
func (s *server) listen(ctx context.Context) (err error) {
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

func (s *server) identify(context.Context) error {
	id, err := identify(s.config.StateDir)
	s.identity = id
	return err
}

// wire makes the parts that call and are called.
func (s *server) wire(ctx context.Context) error {
	who, err := s.authenticator(ctx)
	if err != nil {
		return err
	}
	guard := netguard.New(netguard.Options{AllowLoopback: s.config.Dev, AllowCIDRs: s.config.networks, AllowPorts: s.config.AllowPort})
	m := metrics.New(metrics.Kinds{Strategies: strategy.Types(), Checks: health.Types(), Routers: traffic.Types()})
	m.Watch(s.store)
	m.WatchSources(s.store)
	m.WatchOutbox(s.store)
	m.WatchRouters(s.store)
	m.WatchPool(s.store.Pool().Stat)
	s.metrics = m
	mover := traffic.New(s.outbound(s.dialRouter(guard)))
	prober := health.New(health.Config{Dial: guard.DialContext, Commands: s.config.AllowCommand})
	s.engine = engine.New(engine.Config{
		Replica:     s.identity.replica,
		Lease:       s.config.Lease,
		MaxCalls:    s.config.MaxCalls,
		Registry:    s.work,
		Deployments: s.work,
		Signals:     s.work,
		Caller:      target.New(s.outbound(guard.DialContext)),
		Prober:      prober,
		Mover:       mover,
		Recorder:    m,
		Log:         s.log.With("replica", s.identity.replica),
	})
	s.notify = notify.New(notify.Config{
		Replica: s.identity.replica, Store: s.work, Caller: outbound.New(s.outbound(guard.DialContext)), Recorder: m,
		Lease: s.engine, Log: s.log.With("replica", s.identity.replica), Share: rand.Float64, PublicURL: s.config.PublicURL,
	})
	s.resting = resting.New(resting.Config{
		Replica: s.identity.replica, Every: s.config.RouterInterval, Store: s.work, Mover: mover, Lease: s.engine, Recorder: m,
		Log: s.log.With("replica", s.identity.replica),
	})
	ac := api.Config{
		Store: s.store, Who: who, QueueLimit: s.config.QueueLimit, Log: s.log, Version: version(), Middleware: m.Middleware, Ready: s.ready,
		CheckAddress: s.checkAddress(guard), CheckTrust: outbound.CheckTrust, CheckCommand: s.checkCommand, Prober: prober, Router: mover,
		Remotes: api.Remotes{AllowFile: s.config.AllowFileRemotes, AllowHTTP: s.config.Dev},
	}
	if err := s.wireGitOps(ctx, ac, guard, prober, m); err != nil {
		return err
	}
	ac.GitOps = s.gitops
	if s.config.AdminAddr == "" {
		ac.Metrics = m.Handler()
	} else {
		s.admin = s.bounded(adminHandler(m.Handler()))
	}
	handler, err := api.New(ac)
	if err != nil {
		return fmt.Errorf("making the API: %w", err)
	}
	handler, err = web.New(web.Config{Store: s.store, Who: who, API: handler, Open: s.config.open(), Middleware: m.Middleware, Log: s.log})
	if err != nil {
		return fmt.Errorf("making the dashboard: %w", err)
	}
	s.http = s.bounded(handler)
	return nil
}

// dialRouter dials as the guard allows, and the unix sockets that the operator named: whoever asks for a deployment
// chooses the path, so none is open by itself.
func (s *server) dialRouter(guard *netguard.Guard) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if network != "unix" {
			return guard.DialContext(ctx, network, address)
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
		return fmt.Errorf("socket %s is not among those of --allow-socket", path)
	}
	return nil
}

// checkAddress says why an address of a request may not be called, also one of a unix socket.
func (s *server) checkAddress(guard *netguard.Guard) func(address string) error {
	return func(address string) error {
		if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
			return s.allowSocket(path)
		}
		return guard.Check(address)
	}
}

// checkCommand says why no check may run a command, with the names of those that may be run.
func (s *server) checkCommand(name string) error {
	if _, allowed := s.config.AllowCommand[name]; allowed {
		return nil
	}
	if len(s.config.AllowCommand) == 0 {
		return errors.New("is not allowed: the server was started without --allow-command")
	}
	names := slices.Sorted(maps.Keys(s.config.AllowCommand))
	return fmt.Errorf("is not among those that --allow-command allows: %s", strings.Join(names, ", "))
}

// ready says why the server should get no traffic.
func (s *server) ready(ctx context.Context) error {
	if err := s.engine.Healthy(); err != nil {
		return err
	}
	return s.store.Ping(ctx)
}

func (s *server) bounded(h http.Handler) *http.Server {
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

// run serves and works until ctx ends or a part fails, then hands over and stops everything it started.
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
	go s.serve(s.http, s.listener, cancel)
	if s.admin != nil {
		go s.serve(s.admin, s.adminListener, cancel)
	}
	go s.prune(ctx)
	go s.refreshFigures(ctx)
	s.log.InfoContext(ctx, "rollcall is ready", "address", s.listener.Addr().String(), "dev", s.config.Dev, "credentials", !s.config.open(),
		"private_postgres", s.postgres != nil, "replica", s.identity.replica)
	s.awaitEnd(ctx, cancel)
	s.log.Info("stopping: handing deployments over")
	err := errors.Join(endCause(ctx), s.shutdown(), <-engineDone)
	<-gitopsDone
	<-notifyDone
	<-restingDone
	s.signOff()
	return errors.Join(err, s.close())
}

// signOff says that nothing is done in the replica's name any more. Where the database does not hear it, the lease ends by
// itself.
func (s *server) signOff() {
	ctx, cancel := context.WithTimeout(context.Background(), signOffTimeout)
	defer cancel()
	if err := s.work.SignOff(ctx, s.identity.replica); err != nil {
		s.log.InfoContext(ctx, "the replica could not sign off; its lease ends by itself", "error", err)
	}
}

func (s *server) serve(h *http.Server, l net.Listener, cancel context.CancelCauseFunc) {
	if err := h.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		cancel(fmt.Errorf("serving on %s: %w", l.Addr(), err))
	}
}

// awaitEnd returns when the server is told to stop or its private Postgres is gone for good.
func (s *server) awaitEnd(ctx context.Context, cancel context.CancelCauseFunc) {
	var postgresDone <-chan struct{}
	if s.postgres != nil {
		postgresDone = s.postgres.Done()
	}
	select {
	case <-ctx.Done():
	case <-postgresDone:
		cancel(fmt.Errorf("the private Postgres ended: %w", s.postgres.Err()))
	}
}

// endCause is the fault that ended ctx, or nil when the server was told to stop.
func endCause(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (s *server) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	var err error
	for _, h := range []*http.Server{s.http, s.admin} {
		if h == nil {
			continue
		}
		if h.Shutdown(ctx) != nil {
			err = errors.Join(err, h.Close()) // requests still open after the time for them are cut
		}
	}
	return err
}

// close releases what newServer took, in the reverse order.
func (s *server) close() error {
	var err error
	for _, db := range []*store.Store{s.work, s.store} {
		if db != nil {
			db.Close()
		}
	}
	err = errors.Join(err, s.tidyMirrors())
	if s.identity != nil {
		err = errors.Join(err, s.identity.release())
	}
	if s.postgres != nil {
		err = errors.Join(err, s.postgres.Stop())
	}
	for _, l := range []net.Listener{s.listener, s.adminListener} {
		if l != nil {
			_ = l.Close() // closed already when it was served
		}
	}
	return err
}
