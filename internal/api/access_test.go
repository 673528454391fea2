package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/api"
	"rollcall/internal/auth"
	"rollcall/internal/authz"
	"rollcall/internal/dbtest"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

const operatorsToken = "the-operators-own-token"

// serveGuarded starts the API on a database of its own, with credentials. The client is the operator.
func serveGuarded(t *testing.T) (*client, *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), dbtest.New(t), store.SealedBy(dbtest.NewKeyring(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("up 1\n")) })
	c := serve(t, api.Config{
		Store: s, CheckAddress: forbid, Metrics: metrics, Who: auth.New(auth.Config{Store: s, Admin: operatorsToken}),
	})
	return c.as(operatorsToken), s
}

// as is the same client with another token; none when it is empty.
func (c *client) as(token string) *client {
	return &client{t: c.t, http: c.http, url: c.url, token: token}
}

// token gives out a token through the API: a role, and scopes as service/environment.
func (c *client) holder(name string, role authz.Role, scopes ...string) *client {
	c.t.Helper()
	var list []string
	for _, scope := range scopes {
		service, environment, _ := strings.Cut(scope, "/")
		list = append(list, fmt.Sprintf(`{"service":%q,"environment":%q}`, service, environment))
	}
	body := fmt.Sprintf(`{"name":%q,"role":%q,"scopes":[%s]}`, name, role, strings.Join(list, ","))
	answer := c.do(http.MethodPost, "/tokens", body).want(c.t, http.StatusCreated).object(c.t)
	secret, _ := answer["token"].(string)
	return c.as(secret)
}

// deploymentOf is a good request for a service in an environment.
func deploymentOf(service, environment string) string {
	return fmt.Sprintf(`{"service":%q,"environment":%q,"version":"v2","targets":[{"id":"web-1","address":"http://10.0.0.1:8080"}]}`,
		service, environment)
}

// matrix says for each route what a viewer, a deployer, an approver and an admin are answered, everything being in their
// scopes. It says again, in statuses, what accessTable says in permissions.
func matrix() map[string][4]int {
	const (
		ok, made, kept, gone, no = http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent, http.StatusForbidden
		conflict                 = http.StatusConflict
	)
	return map[string][4]int{
		"GET /":                                {ok, ok, ok, ok},
		"GET /metrics":                         {ok, ok, ok, ok},
		"GET /strategies":                      {ok, ok, ok, ok},
		"GET /presets":                         {ok, ok, ok, ok},
		"POST /checks":                         {no, 501, 501, 501}, // made without what carries out checks
		"GET /deployments":                     {ok, ok, ok, ok},
		"POST /deployments":                    {no, kept, kept, kept},
		"POST /deployments?dry_run=true":       {no, ok, ok, ok},
		"GET /deployments/{id}":                {ok, ok, ok, ok},
		"GET /deployments/{id}/targets":        {ok, ok, ok, ok},
		"GET /deployments/{id}/events":         {ok, ok, ok, ok},
		"GET /events":                          {ok, ok, ok, ok},
		"POST /deployments/{id}/pause":         {no, ok, ok, ok},
		"POST /deployments/{id}/resume":        {no, ok, ok, ok},
		"POST /deployments/{id}/promote":       {no, no, conflict, conflict}, // it has not begun
		"POST /deployments/{id}/abort":         {no, ok, ok, ok},
		"POST /deployments/{id}/rollback":      {no, conflict, conflict, conflict},
		"POST /deployments/{id}/retry":         {no, conflict, conflict, conflict},
		"GET /services":                        {ok, ok, ok, ok},
		"GET /summary":                         {ok, ok, ok, ok},
		"GET /stats/dora":                      {ok, ok, ok, ok},
		"GET " + definitionAt:                  {ok, ok, ok, ok},
		"PUT " + definitionAt:                  {no, ok, ok, ok},
		"GET " + definitionAt + "/status":      {ok, ok, ok, ok},
		"POST " + definitionAt + "/rollback":   {no, conflict, conflict, conflict},
		"DELETE " + definitionAt:               {no, gone, gone, gone},
		"GET /gitops/sources":                  {ok, ok, ok, ok},
		"GET /gitops/sources/{name}":           {ok, ok, ok, ok},
		"PUT /gitops/sources/{name}":           {no, no, no, ok},
		"POST /gitops/sources/{name}/sync":     {no, kept, kept, kept},
		"DELETE /gitops/sources/{name}":        {no, no, no, gone},
		"GET /notifications":                   {ok, ok, ok, ok},
		"GET /notifications/{name}":            {ok, ok, ok, ok},
		"PUT /notifications/{name}":            {no, no, no, ok},
		"POST /notifications/{name}/test":      {no, no, no, kept},
		"GET /notifications/{name}/deliveries": {ok, ok, ok, ok},
		"DELETE /notifications/{name}":         {no, no, no, gone},
		"GET /tokens/self":                     {ok, ok, ok, ok},
		"POST /tokens":                         {no, no, no, made},
		"GET /tokens":                          {no, no, no, ok},
		"GET /tokens/{token}":                  {no, no, no, ok},
		"DELETE /tokens/{token}":               {no, no, no, gone},
	}
}

func bodyOf(route string) string {
	switch {
	case strings.HasPrefix(route, "POST /deployments") && !strings.Contains(route, "{id}"):
		return deploymentOf("checkout", "production")
	case route == "PUT /gitops/sources/{name}":
		return `{"url":"https://git.example.com/deployments"}`
	case route == "PUT /notifications/{name}":
		return `{"kind":"webhook","url":"https://hooks.example.com/x"}`
	case strings.HasPrefix(route, "PUT"):
		return defined
	case route == "POST /tokens":
		return `{"name":"x","role":"viewer","scopes":[{}]}`
	case route == "POST /checks":
		return `{"address":"http://10.0.0.1:8080","health_checks":[{"type":"http"}]}`
	default:
		return ""
	}
}

func TestAccess_RolesMayCallWhatMatrixAllows(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	for i, role := range authz.Roles() {
		who := operator.holder("someone", role, "*/*")
		for route, statuses := range matrix() {
			t.Run(string(role)+" "+route, func(t *testing.T) {
				operator.put(defined) // again: the matrix also deletes it
				id := operator.created(deploymentOf("other", fmt.Sprintf("e%d", time.Now().UnixNano())))
				operator.created(deploymentOf("checkout", "production"))
				token, _ := operator.do(http.MethodPost, "/tokens", bodyOf("POST /tokens")).object(t)["id"].(string)
				operator.do(http.MethodPut, "/gitops/sources/main", bodyOf("PUT /gitops/sources/{name}"))
				operator.do(http.MethodPut, "/notifications/main", bodyOf("PUT /notifications/{name}"))
				fill := strings.NewReplacer("{id}", id, "{token}", token, "{name}", "main")
				method, path, _ := strings.Cut(fill.Replace(route), " ")
				if path == "/events" {
					method = http.MethodHead // which is answered the same, and ends
				}
				got := who.doIn(t, method, path, bodyOf(route))
				if got.StatusCode != statuses[i] {
					t.Errorf("%d, want %d: %s", got.StatusCode, statuses[i], got.body)
				}
			})
		}
	}
}

func TestAccess_MatrixHasEveryRoute(t *testing.T) {
	t.Parallel()
	inMatrix := map[string]bool{}
	for route := range matrix() {
		route, _, _ = strings.Cut(strings.ReplaceAll(route, "{token}", "{id}"), "?")
		inMatrix[strings.Replace(route, definitionAt, "/services/{service}/environments/{environment}", 1)] = true
	}
	for route, needed := range api.AccessTable() {
		if needed == "" {
			continue
		}
		if !inMatrix[route] {
			t.Errorf("%s is not in the matrix", route)
		}
	}
}

func TestAccess_UnlistedRouteIsNotServed(t *testing.T) {
	t.Parallel()
	routes, err := api.RoutesOf(api.Config{Who: everybody{}, Metrics: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	for route := range api.AccessTable() {
		if !routes[route] {
			t.Errorf("the table lists %s, which there is not", route)
		}
	}
	for route := range routes {
		if _, listed := api.AccessTable()[route]; !listed {
			t.Errorf("%s is served, and nothing says to whom", route)
		}
		if err := api.MustBeListedWithout(api.Config{Who: everybody{}, Metrics: http.NotFoundHandler()}, route); err == nil {
			t.Errorf("an API is made although nothing says who may call %s", route)
		}
	}
}

func TestAccess_RoutesNeedCredentialUnlessExempt(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	id := operator.created(deploymentOf("checkout", "production"))
	open := map[string]bool{"GET /healthz": true, "GET /readyz": true, "GET /openapi.yaml": true}
	const signed = "POST /gitops/sources/{name}/hook" // has a test of its own
	fill := strings.NewReplacer("{id}", id, "{service}", "checkout", "{environment}", "production", "{name}", "main")
	for route := range api.AccessTable() {
		if route == signed {
			continue
		}
		method, path, _ := strings.Cut(fill.Replace(route), " ")
		for name, headers := range map[string][]string{
			"none": nil, "empty": {"Authorization", ""}, "basic": {"Authorization", "Basic YWRtaW46YWRtaW4="},
			"unknown": {"Authorization", "Bearer rct_" + strings.Repeat("A", 43)}, "not one": {"Authorization", "Bearer admin"},
			"two": {"Authorization", "Bearer " + operatorsToken, "Authorization", "Bearer x"},
		} {
			got := operator.as("").doIn(t, method, path, "", headers...)
			if open[route] {
				got.want(t, http.StatusOK)
				continue
			}
			got.wantProblem(t, http.StatusUnauthorized, noPointer)
			if !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s with %s credential: WWW-Authenticate %q", route, name, got.Header.Get("WWW-Authenticate"))
			}
		}
	}
}

func TestAccess_OutOfScopeIsNotFound(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	inside, outside := operator.created(deploymentOf("checkout", "staging")), operator.created(deploymentOf("checkout", "production"))
	for _, role := range []authz.Role{authz.RoleViewer, authz.RoleAdmin} {
		who := operator.holder("someone", role, "checkout/staging", "search/production")
		missing := "0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11"
		for _, path := range []string{"", "/targets", "/events"} {
			who.get("/deployments/"+inside+path).want(t, http.StatusOK)
			hidden := who.get("/deployments/"+outside+path).want(t, http.StatusNotFound)
			if none := who.get("/deployments/" + missing + path); string(none.body) != string(hidden.body) {
				t.Errorf("what is hidden differs from what is not there: %s and %s", hidden.body, none.body)
			}
		}
		for _, name := range []string{"pause", "resume", "promote", "abort", "rollback", "retry"} {
			who.do(http.MethodPost, "/deployments/"+outside+"/"+name, "").want(t, http.StatusNotFound)
		}
		for _, route := range []string{
			"GET " + definitionAt, "PUT " + definitionAt, "DELETE " + definitionAt, "GET " + definitionAt + "/status",
			"POST " + definitionAt + "/rollback",
		} {
			method, path, _ := strings.Cut(route, " ")
			who.do(method, path, bodyOf(route)).want(t, http.StatusNotFound)
		}
		who.get("/tokens").want(t, http.StatusForbidden)
		who.get("/metrics").want(t, http.StatusForbidden) // they count everything, and name the sources
	}
	who := operator.holder("someone", authz.RoleDeployer, "checkout/staging")
	who.post(deploymentOf("checkout", "production")).want(t, http.StatusNotFound)
	who.post(`{"service":"checkout","version":"v2"}`).want(t, http.StatusNotFound) // production, when nothing is said
	who.post(deploymentOf("checkout", "staging")).want(t, http.StatusAccepted)
	if d := operator.get("/deployments/" + outside).object(t); d["revision"] != 1.0 {
		t.Errorf("what was refused has left a mark: %v", d)
	}
}

func TestAccess_ListsAndSumsExcludeOtherScopes(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	for i := range 12 {
		operator.created(deploymentOf(fmt.Sprintf("s%d", i%4), fmt.Sprintf("e%d", i/4)))
	}
	operator.do(http.MethodPut, "/services/s1/environments/e9", defined).want(t, http.StatusCreated)
	operator.do(http.MethodPut, "/services/s2/environments/e9", defined).want(t, http.StatusCreated)
	who := operator.holder("someone", authz.RoleViewer, "s1/*", "*/e2", "s0/e0")
	visible := func(service, environment any) bool {
		return service == "s1" || environment == "e2" || service == "s0" && environment == "e0"
	}
	for list, want := range map[string]int{"/deployments": 3 + 3 + 1, "/services": 3 + 3 + 1 + 1} {
		found, path := 0, list+"?limit=2"
		for path != "" {
			services, _ := who.items(path, "service")
			environments, next := who.items(path, "environment")
			for i := range services {
				if !visible(services[i], environments[i]) {
					t.Errorf("%s shows %v in %v", list, services[i], environments[i])
				}
			}
			if next != "" && len(services) != 2 {
				t.Errorf("%s: a page of %d before the last", list, len(services))
			}
			found += len(services)
			if path = ""; next != "" {
				path = list + "?limit=2&cursor=" + next
			}
		}
		if found != want {
			t.Errorf("%s shows %d, want %d", list, found, want)
		}
	}
	sum := who.get("/summary").want(t, http.StatusOK).object(t)
	states, _ := sum["by_state"].(map[string]any)
	services, _ := sum["by_service"].([]any)
	if states["pending"] != 7.0 || len(services) != 4 {
		t.Errorf("the sum is %v", sum)
	}
}

func TestAccess_TokenIdentifiesCaller(t *testing.T) {
	t.Parallel()
	operator, s := serveGuarded(t)
	ci, bob := operator.holder("ci", authz.RoleDeployer, "*/*"), operator.holder("bob", authz.RoleApprover, "*/*")
	first := ci.post(deploymentOf("checkout", "production"), "Idempotency-Key", "k").want(t, http.StatusAccepted).object(t)
	again := bob.post(deploymentOf("checkout", "production"), "Idempotency-Key", "k").want(t, http.StatusAccepted).object(t)
	if first["requested_by"] != "token:ci" || again["requested_by"] != "token:bob" || first["id"] == again["id"] {
		t.Errorf("a key is not its caller's own: %v and %v", first, again)
	}
	id, _ := again["id"].(string)
	ci.do(http.MethodPost, "/deployments/"+id+"/pause", "").want(t, http.StatusOK)
	events, err := s.Events(t.Context(), id, storage.Page{})
	if err != nil || events.Items[0].Actor != "token:bob" || events.Items[len(events.Items)-1].Actor != "token:ci" {
		t.Errorf("%v: %+v", err, events.Items)
	}
}
