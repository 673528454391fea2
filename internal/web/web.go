package web

import (
	"context"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/dora"
	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// Store reads what the pages show. Lists contain only what is within the scopes; the pages check what is read by name or
// id.
type Store interface {
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
	Deployments(ctx context.Context, scopes authz.Scopes, f storage.Filter, p storage.Page) (storage.List[rollout.Deployment], error)
	Targets(ctx context.Context, id string, p storage.Page) (storage.List[rollout.Target], error)
	// DeploymentEvents reads a deployment's events with a number above after and not above upTo.
	DeploymentEvents(ctx context.Context, id string, after, upTo int64, limit int) ([]rollout.Event, error)
	Services(ctx context.Context, scopes authz.Scopes, p storage.Page) (storage.List[catalog.Service], error)
	Definition(ctx context.Context, service, environment string) (catalog.Definition, error)
	LatestDeployment(ctx context.Context, service, environment string) (rollout.Deployment, error)
	RolledBackBy(ctx context.Context, ids []string) (map[string]string, error)
	UnfinishedDeployments(ctx context.Context, scopes authz.Scopes) ([]rollout.Deployment, error)
	VersionCounts(ctx context.Context, keys []authz.Scope) ([]catalog.VersionCount, error)
	// DatabaseTime is the database's clock, by which deployments end.
	DatabaseTime(ctx context.Context) (time.Time, error)
	DORAReport(ctx context.Context, scopes authz.Scopes, sel dora.Query) (dora.Report, error)
	Source(ctx context.Context, name string) (gitsource.Report, error)
	Sources(ctx context.Context, p storage.Page) (storage.List[gitsource.Report], error)
}

// Authenticator authenticates a request by its Authorization header.
type Authenticator interface {
	Authenticate(r *http.Request) (authz.Principal, error)
}

// Config configures the dashboard. All but Middleware and Log is required.
type Config struct {
	Store Store
	Who   Authenticator
	// API executes the commands and streams the events.
	API http.Handler
	// Open means that the server requires no credential.
	Open bool
	// Middleware wraps every page; it may be nil. After a page was served, the request's Pattern is the page's.
	Middleware func(http.Handler) http.Handler
	Log        *slog.Logger
}

// site serves the dashboard.
type site struct {
	Config
	pages  map[string]*template.Template
	assets *assets
}

// root is the path of all pages but the first one; the other paths are the API's.
const root = "/ui"

// New returns the dashboard around the API: / is the first page for a browser, everything below /ui/ is the dashboard's,
// and the rest is the API's.
func New(c Config) (http.Handler, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	files, err := loadAssets()
	if err != nil {
		return nil, fmt.Errorf("read the dashboard's files: %w", err)
	}
	pages, err := loadPages(files)
	if err != nil {
		return nil, fmt.Errorf("read the dashboard's pages: %w", err)
	}
	s := &site{Config: c, pages: pages, assets: files}
	pagesHandler := securityHeaders(s.pageRoutes())
	if c.Middleware != nil {
		pagesHandler = c.Middleware(pagesHandler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, root+"/") || r.URL.Path == root || wantsPage(r) {
			pagesHandler.ServeHTTP(w, r)
			return
		}
		c.API.ServeHTTP(w, r)
	}), nil
}

// wantsPage reports whether a browser requests the first page.
func wantsPage(r *http.Request) bool {
	isRead := r.Method == http.MethodGet || r.Method == http.MethodHead
	return r.URL.Path == "/" && isRead && strings.Contains(r.Header.Get("Accept"), "text/html")
}

func (s *site) pageRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+root+"/static/{version}/{file}", s.assets.serveFile)
	mux.HandleFunc("GET "+root+"/sign-in", s.showSignIn)
	mux.HandleFunc("POST "+root+"/sign-in", s.signIn)
	mux.HandleFunc("GET "+root+"/events", s.streamAll)
	mux.HandleFunc("GET "+root+"/deployments/{id}/events", s.streamOne)
	for pattern, page := range map[string]func(*pageRequest) error{
		"GET /{$}":                                                               s.showServices,
		"GET " + root + "/{$}":                                                   s.showServices,
		"GET " + root + "/deployments":                                           s.showHistory,
		"GET " + root + "/durations":                                             s.showDurations,
		"GET " + root + "/dora":                                                  s.showDora,
		"GET " + root + "/deployments/{id}":                                      s.showDeployment,
		"GET " + root + "/deployments/{id}/targets":                              s.showTargets,
		"GET " + root + "/deployments/{id}/{verb}":                               s.showAction,
		"GET " + root + "/services/{service}/environments/{environment}":         s.showService,
		"GET " + root + "/services/{service}/environments/{environment}/deploy":  s.showPlan,
		"POST " + root + "/deployments/{id}/{verb}":                              s.runAction,
		"POST " + root + "/services/{service}/environments/{environment}/deploy": s.startDeployment,
		"POST " + root + "/sign-out":                                             s.signOut,
		"GET " + root + "/gitops":                                                s.showSources,
		"GET " + root + "/gitops/{name}":                                         s.showSource,
		"GET " + root + "/gitops/{name}/sync":                                    s.showSync,
		"POST " + root + "/gitops/{name}/sync":                                   s.startSync,
		root + "/":                                                               errNotFound,
	} {
		mux.Handle(pattern, s.servePage(page))
	}
	return mux
}

func errNotFound(*pageRequest) error {
	return &problem.Error{Code: problem.CodeNotFound, Message: "page not found"}
}

// securityHeaders sets the headers that isolate the pages from other sites.
func securityHeaders(next http.Handler) http.Handler {
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
		"frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Embedder-Policy", "require-corp")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
