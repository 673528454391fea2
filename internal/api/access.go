package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"rollcall/internal/api/httpkit"
	"rollcall/internal/authz"
	"rollcall/internal/problem"
	"rollcall/internal/secret"
)

// Authenticator identifies callers and issues tokens.
type Authenticator interface {
	// Authenticate returns the caller. CodeUnauthenticated without a valid credential, CodeRateLimited when its rate limit is
	// exceeded, CodeUnavailable when it cannot be verified now.
	Authenticate(r *http.Request) (authz.Principal, error)
	// IssueToken creates a token with a lifetime, 0 for none. The secret is its only copy.
	IssueToken(ctx context.Context, t authz.Token, lives time.Duration) (authz.Token, secret.Secret, error)
}

// object is where the service and environment of a request are found.
type object int

const (
	// noObject: about none; any scope is enough.
	noObject object = iota
	// inPath: the path names both. inDeployment: it names the deployment of which they are.
	inPath
	inDeployment
	// inBody: the handler asks, with server.checkPermission, once the body is read.
	inBody
	// inList: the handler gives the scopes to the store, which leaves out the rest.
	inList
	// allObjects: about everything, and so only for scopes without bounds.
	allObjects
)

// access is what a route requires of its caller.
type access struct {
	// open is why the route needs no credential; empty for one that does.
	open  string
	needs authz.Permission
	of    object
}

// accessTable returns the permission that each route needs. New fails when a route has no row here.
func accessTable() map[string]access {
	const (
		read, deploy    = authz.PermissionRead, authz.PermissionDeploy
		approve, admin  = authz.PermissionApprove, authz.PermissionAdmin
		oneService      = "/services/{service}/environments/{environment}"
		monitored       = "monitoring has no credential, and sees only whether the server is healthy"
		publicKnowledge = "it is in the source, and clients are generated from it"
	)
	return map[string]access{
		"GET /healthz":      {open: monitored},
		"GET /readyz":       {open: monitored},
		"GET /openapi.yaml": {open: publicKnowledge},

		"GET /":           {needs: read, of: noObject},
		"GET /metrics":    {needs: read, of: allObjects},
		"GET /strategies": {needs: read, of: noObject},
		"GET /presets":    {needs: read, of: noObject},
		"POST /checks":    {needs: deploy, of: noObject},

		"GET /deployments":                {needs: read, of: inList},
		"POST /deployments":               {needs: deploy, of: inBody},
		"GET /deployments/{id}":           {needs: read, of: inDeployment},
		"GET /deployments/{id}/targets":   {needs: read, of: inDeployment},
		"GET /deployments/{id}/events":    {needs: read, of: inDeployment},
		"GET /events":                     {needs: read, of: inList},
		"POST /deployments/{id}/pause":    {needs: deploy, of: inDeployment},
		"POST /deployments/{id}/resume":   {needs: deploy, of: inDeployment},
		"POST /deployments/{id}/promote":  {needs: approve, of: inDeployment},
		"POST /deployments/{id}/abort":    {needs: deploy, of: inDeployment},
		"POST /deployments/{id}/rollback": {needs: deploy, of: inDeployment},
		"POST /deployments/{id}/retry":    {needs: deploy, of: inDeployment},

		"GET /services":                    {needs: read, of: inList},
		"GET /summary":                     {needs: read, of: inList},
		"GET /stats/dora":                  {needs: read, of: inList},
		"GET " + oneService:                {needs: read, of: inPath},
		"PUT " + oneService:                {needs: deploy, of: inPath},
		"DELETE " + oneService:             {needs: deploy, of: inPath},
		"GET " + oneService + "/status":    {needs: read, of: inPath},
		"POST " + oneService + "/rollback": {needs: deploy, of: inPath},

		"GET /gitops/sources":              {needs: read, of: allObjects},
		"GET /gitops/sources/{name}":       {needs: read, of: allObjects},
		"PUT /gitops/sources/{name}":       {needs: admin, of: allObjects},
		"DELETE /gitops/sources/{name}":    {needs: admin, of: allObjects},
		"POST /gitops/sources/{name}/sync": {needs: deploy, of: allObjects},
		"POST /gitops/sources/{name}/hook": {open: "signed by its sender"},

		"GET /notifications":                   {needs: read, of: allObjects},
		"GET /notifications/{name}":            {needs: read, of: allObjects},
		"PUT /notifications/{name}":            {needs: admin, of: allObjects},
		"DELETE /notifications/{name}":         {needs: admin, of: allObjects},
		"POST /notifications/{name}/test":      {needs: admin, of: allObjects},
		"GET /notifications/{name}/deliveries": {needs: read, of: allObjects},

		"GET /tokens/self":    {needs: read, of: noObject},
		"POST /tokens":        {needs: admin, of: allObjects},
		"GET /tokens":         {needs: admin, of: allObjects},
		"GET /tokens/{id}":    {needs: admin, of: allObjects},
		"DELETE /tokens/{id}": {needs: admin, of: allObjects},
	}
}

// requireAccessRules returns an error when the router has a route that the table does not have.
func requireAccessRules(routes chi.Routes, table map[string]access) error {
	var unlisted []string
	err := chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if _, listed := table[method+" "+route]; !listed {
			unlisted = append(unlisted, method+" "+route)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("walk the routes: %w", err)
	}
	if len(unlisted) > 0 {
		slices.Sort(unlisted)
		return fmt.Errorf("no access rule for %s", strings.Join(unlisted, ", "))
	}
	return nil
}

// requireAuth rejects requests that their caller may not make.
func (s *server) requireAuth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.authorizeRequest(r); err != nil {
			s.writeError(w, r, err)
			return
		}
		again := func() error { return s.authorizeRequest(r) }
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyReauthorize, again)))
	})
}

func (s *server) authorizeRequest(r *http.Request) error {
	route := r.Method + " " + chi.RouteContext(r.Context()).RoutePattern()
	rule, listed := s.access[route]
	if !listed {
		return fmt.Errorf("no access rule for %s", route)
	}
	if rule.open != "" {
		return nil
	}
	who, err := s.who.Authenticate(r)
	if err != nil {
		return err
	}
	*principalOf(r.Context()) = who
	return s.authorizeRoute(r.Context(), &who, rule)
}

// authorizeRoute checks that the caller has what the route requires.
func (s *server) authorizeRoute(ctx context.Context, who *authz.Principal, rule access) error {
	params := chi.RouteContext(ctx)
	switch rule.of {
	case inPath:
		return checkAccess(who, rule.needs, params.URLParam("service"), params.URLParam("environment"))
	case inDeployment:
		return s.authorizeDeployment(ctx, who, rule.needs, params.URLParam("id"))
	case allObjects:
		if !who.Scopes.Unrestricted() {
			return errForbidden(who.Name + " has limited scopes; this needs unrestricted ones")
		}
	case noObject, inBody, inList:
	}
	if !who.Role.Has(rule.needs) {
		return errMissingRole(who, rule.needs)
	}
	return nil
}

// authorizeDeployment checks access to a deployment. One outside the caller's scopes looks as if it did not exist.
func (s *server) authorizeDeployment(ctx context.Context, who *authz.Principal, needed authz.Permission, id string) error {
	if who.Scopes.Unrestricted() { // there is nothing to hide
		return checkAccess(who, needed, authz.Any, authz.Any)
	}
	ctx, stop := httpkit.WithQueryBudget(ctx, s.queryBudget)
	defer stop()
	d, err := s.deployments.Deployment(ctx, id)
	if err == nil {
		err = checkAccess(who, needed, d.Service, d.Environment)
	}
	if problem.CodeOf(err) == problem.CodeNotFound {
		return errNotFound("no such deployment")
	}
	return err
}

// isStillAuthorized reports whether the caller of a stream may still read it: a credential may have expired or been revoked
// since. When it cannot be verified now, the first decision stays.
func isStillAuthorized(ctx context.Context) bool {
	again, ok := ctx.Value(keyReauthorize).(func() error)
	if !ok {
		return false
	}
	switch problem.CodeOf(again()) {
	case problem.CodeUnauthenticated, problem.CodeForbidden, problem.CodeNotFound:
		return false
	default:
		return true
	}
}

// checkPermission returns nil when the caller has the permission for a service in an environment.
func (s *server) checkPermission(ctx context.Context, needed authz.Permission, service, environment string) error {
	return checkAccess(principalOf(ctx), needed, service, environment)
}

// checkAccess returns an error unless the principal has the permission.
func checkAccess(who *authz.Principal, needed authz.Permission, service, environment string) error {
	switch authz.Authorize(who, needed, service, environment) {
	case authz.AccessAllowed:
		return nil
	case authz.AccessForbidden:
		return errMissingRole(who, needed)
	case authz.AccessHidden:
		return errNotFound("no service " + service + " in " + environment)
	default:
		return errNotFound("no service " + service + " in " + environment)
	}
}

func errMissingRole(who *authz.Principal, needed authz.Permission) error {
	return errForbidden(fmt.Sprintf("%s has role %s, which lacks the permission to %s", who.Name, who.Role, needed))
}

func errForbidden(detail string) error {
	return &problem.Error{Code: problem.CodeForbidden, Message: detail}
}

// principalOf returns the caller; one without any permission until requireAuth has identified it.
func principalOf(ctx context.Context) *authz.Principal {
	if who, ok := ctx.Value(keyPrincipal).(*authz.Principal); ok {
		return who
	}
	return &authz.Principal{}
}

// withPrincipal returns a context with the principal as the caller, for calls without a request.
func withPrincipal(ctx context.Context, who *authz.Principal) context.Context {
	return context.WithValue(ctx, keyPrincipal, who)
}

// principalName returns the name of the caller.
func principalName(ctx context.Context) string { return principalOf(ctx).Name }
