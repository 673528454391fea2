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
	"rollcall/internal/authz"
	"rollcall/internal/live"
	"rollcall/internal/rollout"
)

// Store is the memory that the API asks and writes to. Its errors carry rollout codes: CodeNotFound, CodeConflict,
// CodeStale, CodeKeyReused, CodeInProgress, CodeInvalid (a cursor that it never gave out), CodeUnavailable.
type Store interface {
	// Replay answers a key that was used before for the same request; false when it is new.
	Replay(ctx context.Context, key rollout.IdempotencyKey) (rollout.Created, bool, error)
	// TakeKey begins a request of any other kind under its key, or gives the response that it had before. What is asked
	// of the store in a context that inside makes is committed with the response by KeepResponse, or undone by DropKey.
	TakeKey(ctx context.Context, key rollout.IdempotencyKey) (
		known *rollout.Response, inside func(context.Context) context.Context, err error)
	KeepResponse(ctx context.Context, key rollout.IdempotencyKey, a rollout.Response) error
	DropKey(ctx context.Context)
	Create(ctx context.Context, n rollout.NewDeployment) (rollout.Created, error)
	// Remembered is what is known of the targets of a service in an environment, by target id.
	Remembered(ctx context.Context, service, environment string) (map[string]rollout.TargetRecord, error)
	// ActiveSlot is the slot that serves, empty when none is known.
	ActiveSlot(ctx context.Context, service, environment string) (string, error)
	// RestingRouter is what is known of the router since the last deployment that moved traffic; nil when it was not read since.
	RestingRouter(ctx context.Context, service, environment string) (*rollout.RestingRouter, error)
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
	// Deployments, like all lists and sums, leaves out what is not within the scopes.
	Deployments(ctx context.Context, scopes authz.Scopes, f rollout.Filter, p rollout.Page) (rollout.List[rollout.Deployment], error)
	Targets(ctx context.Context, id string, p rollout.Page) (rollout.List[rollout.Target], error)
	Events(ctx context.Context, id string, p rollout.Page) (rollout.List[rollout.Event], error)
	// Update changes a deployment under its lock; without events nothing is written.
	Update(ctx context.Context, id string, ifRevision int64,
		change func(d *rollout.Deployment, now time.Time) ([]rollout.Event, error)) (rollout.Deployment, error)
	// CreateRollback and CreateRetry store what build makes of a finished deployment, once: asked again they answer with
	// the same one, Replayed.
	CreateRollback(ctx context.Context, id string,
		build func(ended *rollout.Snapshot) (rollout.NewDeployment, error)) (rollout.Created, error)
	CreateRetry(ctx context.Context, id string,
		build func(ended *rollout.Snapshot) (rollout.NewDeployment, error)) (rollout.Created, error)
	// Latest is the deployment that a rollback of the service in the environment would be of.
	Latest(ctx context.Context, service, environment string) (rollout.Deployment, error)
	// RolledBackBy tells by which deployments some of these were rolled back.
	RolledBackBy(ctx context.Context, ids []string) (map[string]string, error)
	Ping(ctx context.Context) error
	catalogueStore
	live.Store
	tokenStore
	sourceStore
	notificationStore
}

// Config says what the API is made of.
type Config struct {
	// Store is required, and so is Who: without it nobody could be let in.
	Store Store
	Who   Authenticator
	// QueueLimit is how many deployments of a service may be unfinished when another is asked for; 0 is any number.
	QueueLimit int
	// MostLasting is how many streams and waits of one principal there may be; 0 is 1,000.
	MostLasting int
	// StoreTimeout is how long all that a request asks the store may take before it is answered with 503; 0 is 1.5 s.
	StoreTimeout time.Duration
	// Log is where requests and faults are written; nil writes nothing.
	Log *slog.Logger
	// Version of the program, for GET /.
	Version string
	// Metrics answers GET /metrics; nil leaves the path unknown.
	Metrics http.Handler
	// Middleware wraps every request inside the router, so that chi.RouteContext tells the route; nil adds nothing.
	Middleware func(http.Handler) http.Handler
	// Ready says why the server cannot work now; nil asks the store.
	Ready func(ctx context.Context) error
	// CheckAddress says why a URL of a request may not be called; nil allows all.
	CheckAddress func(address string) error
	// CheckTrust says why no call could be made with the certificates of a request; nil allows all.
	CheckTrust func(*rollout.TLS) error
	// CheckCommand says why no check may run the command of that name; nil allows all.
	CheckCommand func(name string) error
	// NewID names a deployment; nil makes UUIDs of version 7.
	NewID func() string
	// Prober carries out the checks of POST /checks; nil answers that call with 501.
	Prober Prober
	// Router looks at the routers of dry runs; nil shows nothing of them.
	Router RouterLooker
	// Remotes says which Git remotes sources may have.
	Remotes Remotes
	// GitOps works on sources; nil answers dry runs of syncs, and push notifications, with 501.
	GitOps GitOps
}

// server answers the operations of openapi.yaml, one method each.
type server struct {
	store        bounded
	who          Authenticator
	access       map[string]access
	lasting      lasting
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
	gates        gates
	feeds        *live.Feeds
	remotes      Remotes
	gitOps       GitOps
}

var _ gen.StrictServerInterface = (*server)(nil)

// New makes the handler of the whole API. Its answers may take up to 60 s (the wait of GET /deployments/{id}); a write
// timeout of the server must be longer. Streams of events set deadlines of their own.
func New(c Config) (http.Handler, error) {
	if c.Who == nil {
		return nil, errors.New("nothing says who may call the API")
	}
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	s.feeds = live.New(live.Config{Store: s.store, Log: s.log, Event: encodeEvent, Deployments: s.encodeStates})
	routes := s.routes(c)
	return getForHead(routes), mustBeListed(routes, s.access)
}

func newServer(c Config) (*server, error) {
	agreed, err := loadContract(rollcall.OpenAPI)
	if err != nil {
		return nil, err
	}
	s := &server{
		store: bounded{Store: c.Store, limit: cmp.Or(c.StoreTimeout, storeTimeout)}, log: c.Log, version: c.Version, ready: c.Ready,
		checkAddress: c.CheckAddress, checkTrust: c.CheckTrust, checkCommand: c.CheckCommand, newID: c.NewID,
		prober: c.Prober, router: c.Router, contract: agreed,
		who: c.Who, access: accessTable(), queueLimit: c.QueueLimit,
		remotes: c.Remotes, gitOps: c.GitOps, lasting: lasting{most: cmp.Or(c.MostLasting, mostLasting)},
	}
	s.fillIn()
	return s, nil
}

// fillIn puts something harmless where the configuration is silent.
func (s *server) fillIn() {
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.newID == nil {
		s.newID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if s.ready == nil {
		s.ready = s.store.Ping
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

func (s *server) routes(c Config) chi.Router {
	r := chi.NewRouter()
	r.Use(s.logged, guarded)
	if c.Middleware != nil {
		r.Use(c.Middleware)
	}
	r.Use(s.recovered)
	r.NotFound(func(w http.ResponseWriter, req *http.Request) { s.fail(w, req, errNoRoute(req)) })
	r.MethodNotAllowed(s.methodNotAllowed)

	r.Group(func(r chi.Router) {
		r.Use(s.authorized)
		r.Get("/openapi.yaml", serveOpenAPI)
		if c.Metrics != nil {
			r.Method(http.MethodGet, "/metrics", c.Metrics)
		}
	})
	r.Group(func(r chi.Router) {
		r.Use(s.authorized, negotiated, s.fewLasting, s.checked, s.keyed)
		gen.HandlerWithOptions(s.strict(), gen.ChiServerOptions{BaseRouter: r, ErrorHandlerFunc: s.fail})
	})
	return r
}

// strict is the generated server with every way out of it leading to problem+json.
func (s *server) strict() gen.ServerInterface {
	return gen.NewStrictHandlerWithOptions(s, nil, gen.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: func(w http.ResponseWriter, r *http.Request, err error) {
			s.fail(w, r, undecodable(err))
		},
		ResponseErrorHandlerFunc: s.fail,
	})
}

// methodNotAllowed names the methods that the path has; a path that has none is unknown.
func (s *server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	allowed := allowedMethods(r)
	if len(allowed) == 0 {
		s.fail(w, r, errNoRoute(r))
		return
	}
	s.fail(w, r, errMethod(r, allowed))
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
	_, _ = w.Write(rollcall.OpenAPI) // the reader went away: there is nobody to tell
}

// location is where a deployment is found.
func location(id string) string { return fmt.Sprintf("/deployments/%s", id) }
