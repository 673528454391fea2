package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"rollcall"
	"rollcall/internal/api/gen"
	"rollcall/internal/api/httpkit"
	"rollcall/internal/feed"
	"rollcall/internal/rollout"
)

// Config configures the API.
type Config struct {
	// Store and Who are required.
	Store Store
	Who   Authenticator
	// QueueLimit is the number of unfinished deployments of a service above which no other is created; 0 for no limit.
	QueueLimit int
	// MaxStreams is the maximum number of streams and long polls of one principal; 0 is 1,000.
	MaxStreams int
	// StoreTimeout is the time for all queries of one request, after which it gets a 503; 0 is 1.5 s.
	StoreTimeout time.Duration
	// Log gets requests and errors; nil discards them.
	Log *slog.Logger
	// Version of the program, for GET /.
	Version string
	// Metrics serves GET /metrics; without it the path is not found.
	Metrics http.Handler
	// Middleware wraps every request inside the router, so that chi.RouteContext has the route; nil adds nothing.
	Middleware func(http.Handler) http.Handler
	// Ready returns why the server is not ready; nil pings the store.
	Ready func(ctx context.Context) error
	// CheckAddress returns why a URL of a request may not be called; nil allows all.
	CheckAddress func(address string) error
	// CheckTrust returns why the certificates of a request are invalid; nil allows all.
	CheckTrust func(*rollout.TLS) error
	// CheckCommand returns why no check may run the command of that name; nil allows all.
	CheckCommand func(name string) error
	// NewID returns the id of a new deployment; nil makes UUIDs of version 7.
	NewID func() string
	// Prober runs the checks of POST /checks; without it that request returns 501.
	Prober Prober
	// Router reads the routers of dry runs; nil omits them.
	Router RouterLooker
	// Remotes are the Git remotes that sources may have.
	Remotes Remotes
	// GitOps processes sources; without it dry runs of syncs and push notifications return 501.
	GitOps GitOps
}

// server implements the operations of openapi.yaml, one method each.
type server struct {
	deployments   deploymentStore
	creation      creationStore
	commands      commandStore
	keys          keyStore
	definitions   definitionStore
	services      serviceStore
	stats         statsStore
	sources       sourceStore
	notifications notificationStore
	tokens        tokenStore
	changes       changeHints

	queryBudget  time.Duration
	who          Authenticator
	access       map[string]access
	streams      httpkit.StreamLimiter
	queueLimit   int
	log          *slog.Logger
	version      string
	ready        func(ctx context.Context) error
	checkAddress func(address string) error
	checkTrust   func(*rollout.TLS) error
	checkCommand func(name string) error
	newID        func() string
	prober       Prober
	router       RouterLooker
	contract     *contract
	promotes     promoteGroups
	feeds        *feed.Hub
	remotes      Remotes
	gitOps       GitOps
}

var _ gen.StrictServerInterface = (*server)(nil)

// New returns the handler of the whole API. A response may take up to 60 s (the wait of GET /deployments/{id}); a write
// timeout of the server must be longer. Streams of events set deadlines of their own.
func New(c Config) (http.Handler, error) {
	if c.Who == nil {
		return nil, errors.New("an authenticator is required")
	}
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	s.feeds = feed.New(feed.Config{
		Store: c.Store, ReadTimeout: s.queryBudget, Log: s.log, Event: encodeEvent, Deployments: s.encodeStates,
	})
	routes := s.newRouter(c)
	return getForHead(routes), requireAccessRules(routes, s.access)
}

func newServer(c Config) (*server, error) {
	agreed, err := loadContract()
	if err != nil {
		return nil, err
	}
	s := &server{
		deployments: c.Store, creation: c.Store, commands: c.Store, keys: c.Store, definitions: c.Store, services: c.Store,
		stats: c.Store, sources: c.Store, notifications: c.Store, tokens: c.Store, changes: c.Store,
		queryBudget: cmp.Or(c.StoreTimeout, defaultQueryBudget), log: c.Log, version: c.Version, ready: c.Ready,
		checkAddress: c.CheckAddress, checkTrust: c.CheckTrust, checkCommand: c.CheckCommand, newID: c.NewID,
		prober: c.Prober, router: c.Router, contract: agreed,
		who: c.Who, access: accessTable(), queueLimit: c.QueueLimit,
		remotes: c.Remotes, gitOps: c.GitOps, streams: httpkit.StreamLimiter{Max: cmp.Or(c.MaxStreams, maxStreams)},
	}
	s.applyDefaults(c)
	return s, nil
}

// applyDefaults sets the defaults of optional fields.
func (s *server) applyDefaults(c Config) {
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.newID == nil {
		s.newID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if s.ready == nil {
		s.ready = func(ctx context.Context) error { return c.Store.Ping(ctx) }
	}
	if s.checkAddress == nil {
		s.checkAddress = func(string) error { return nil }
	}
	if s.checkCommand == nil {
		s.checkCommand = func(string) error { return nil }
	}
	if s.checkTrust == nil {
		s.checkTrust = func(*rollout.TLS) error { return nil }
	}
}

func (s *server) newRouter(c Config) chi.Router {
	r := chi.NewRouter()
	r.Use(s.logRequests, securityHeaders)
	if c.Middleware != nil {
		r.Use(c.Middleware)
	}
	r.Use(s.recoverPanics)
	r.NotFound(func(w http.ResponseWriter, req *http.Request) { s.writeError(w, req, errNoRoute(req)) })
	r.MethodNotAllowed(s.methodNotAllowed)

	r.Group(func(r chi.Router) {
		r.Use(s.requireAuth)
		r.Get("/openapi.yaml", serveOpenAPI)
		if c.Metrics != nil {
			r.Method(http.MethodGet, "/metrics", c.Metrics)
		}
	})
	r.Group(func(r chi.Router) {
		r.Use(s.requireAuth, httpkit.NegotiateStream, s.limitStreams, s.validateRequest, s.limitQueries, s.handleIdempotencyKey)
		gen.HandlerWithOptions(s.strictHandler(), gen.ChiServerOptions{BaseRouter: r, ErrorHandlerFunc: s.writeError})
	})
	return r
}

// strictHandler returns the generated server; all its errors are written as problem+json.
func (s *server) strictHandler() gen.ServerInterface {
	return gen.NewStrictHandlerWithOptions(s, nil, gen.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: func(w http.ResponseWriter, r *http.Request, err error) {
			s.writeError(w, r, decodingError(err))
		},
		ResponseErrorHandlerFunc: s.writeError,
	})
}

// methodNotAllowed responds with the methods that the path supports; a path without any is not found.
func (s *server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	allowed := allowedMethods(r)
	if len(allowed) == 0 {
		s.writeError(w, r, errNoRoute(r))
		return
	}
	s.writeError(w, r, errMethod(r, allowed))
}

func allowedMethods(r *http.Request) []string {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	routes := chi.RouteContext(r.Context()).Routes
	var allowed []string
	for _, method := range []string{
		http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	} {
		if routes.Match(chi.NewRouteContext(), method, path) {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 && allowed[0] == http.MethodGet {
		allowed = append(allowed, http.MethodHead)
	}
	return allowed
}

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(rollcall.OpenAPI) // the reader went away: there is nothing to report it to
}

// deploymentPath returns the path of a deployment.
func deploymentPath(id string) string { return fmt.Sprintf("/deployments/%s", id) }
