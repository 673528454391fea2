package web

import (
	"context"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/template/parse"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/dora"
	"rollcall/internal/gitsource"
	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
)

// branches records which branches of the templates were executed, by file, line and column.
type branches struct {
	mu       sync.Mutex
	executed map[string]bool
}

// instrument adds to each branch of each template a call that records it. The templates must not have been executed.
func (b *branches) instrument(t *testing.T, pages map[string]*template.Template) {
	t.Helper()
	funcs := template.FuncMap{"executed": func(branch string) string {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.executed[branch] = true
		return ""
	}}
	for _, page := range pages {
		page.Funcs(funcs)
		for _, part := range page.Templates() {
			if part.Tree != nil && !parse.IsEmptyTree(part.Tree.Root) {
				b.visit(t, part.Tree, part.Tree.Root)
			}
		}
	}
}

// visit instruments a list of nodes and the lists below it.
func (b *branches) visit(t *testing.T, tree *parse.Tree, list *parse.ListNode) {
	t.Helper()
	if list == nil || len(list.Nodes) == 0 {
		return
	}
	location, _ := tree.ErrorContext(list.Nodes[0])
	branch := fmt.Sprintf("%s: %s: %.60s", location, tree.Name, strings.TrimSpace(list.String()))
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.IfNode:
			b.visit(t, tree, n.List)
			b.visit(t, tree, n.ElseList)
		case *parse.RangeNode:
			b.visit(t, tree, n.List)
			b.visit(t, tree, n.ElseList)
		case *parse.WithNode:
			b.visit(t, tree, n.List)
			b.visit(t, tree, n.ElseList)
		}
	}
	b.mu.Lock()
	if !b.executed[branch] {
		b.executed[branch] = false
	}
	b.mu.Unlock()
	call, err := parse.Parse("call", fmt.Sprintf("{{executed %q}}", branch), "", "", map[string]any{"executed": 0})
	if err != nil {
		t.Fatal(err)
	}
	list.Nodes = append(slices.Clone(call["call"].Root.Nodes), list.Nodes...)
}

// pageStore has data for every branch of the pages, or none.
type pageStore struct {
	Store
	deployments []rollout.Deployment
	now         time.Time
	empty       bool
}

func newPageStore() *pageStore {
	now := time.Now().UTC().Truncate(time.Second)
	s := &pageStore{now: now}
	waiting := newStore().d
	waiting.ID, waiting.Labels = "waiting", map[string]string{"team": "web"}
	waiting.Spec.Strategy = rollout.Strategy{Type: "rolling", OnFailure: "pause"}
	waiting.Spec.Traffic = &routing.Config{Type: "webhook"}
	waiting.Operator.ApprovedBy = "token:ops"
	waiting.LastSeq = 500
	waiting.Counts = rollout.Counts{Total: 9, Updated: 1, Failed: 1, InFlight: 1, Unknown: 1, RolledBack: 1}
	waiting.DeadlineAt = now.Add(time.Minute)
	running := newStore().d
	running.ID, running.Service, running.Version = "running", "billing", ""
	running.Progress.Gate, running.NextActionAt = 0, now.Add(time.Minute)
	ended := newStore().d
	ended.ID, ended.Service, ended.Kind, ended.Version, ended.RollbackOf = "ended", "search", rollout.KindRollback, "", "waiting"
	ended.State, ended.Reason, ended.Progress.Gate = rollout.StateFailed, "failed", 0
	ended.CreatedAt, ended.StartedAt, ended.FinishedAt = now.Add(-2*time.Hour), now.Add(-2*time.Hour), now.Add(-time.Hour)
	ended.Result = &rollout.Result{State: rollout.StateFailed}
	completed := ended
	completed.ID, completed.Kind, completed.Version, completed.RollbackOf = "completed", rollout.KindDeploy, "v3", ""
	completed.State, completed.Reason, completed.Result = rollout.StateCompleted, "all targets verified", &rollout.Result{State: rollout.StateCompleted, Success: true}
	for range 9 {
		completed.Spec.Waves = append(completed.Spec.Waves, rollout.Wave{Size: 1})
	}
	s.deployments = []rollout.Deployment{waiting, running, ended, completed}
	return s
}

func (s *pageStore) Deployment(_ context.Context, id string) (rollout.Deployment, error) {
	for i := range s.deployments {
		if s.deployments[i].ID == id {
			return s.deployments[i], nil
		}
	}
	return rollout.Deployment{}, &problem.Error{Code: problem.CodeNotFound, Message: "no such deployment"}
}

// next returns the cursor of a second page, which has no more.
func next(p storage.Page) string {
	if p.Cursor == "" {
		return "more"
	}
	return ""
}

func (s *pageStore) Deployments(_ context.Context, _ authz.Scopes, f storage.Filter, p storage.Page) (storage.List[rollout.Deployment], error) {
	if s.empty {
		return storage.List[rollout.Deployment]{}, nil
	}
	list := slices.Clone(s.deployments)
	if f.Service != "" {
		list = slices.DeleteFunc(list, func(d rollout.Deployment) bool { return d.Service != f.Service })
	}
	if f.Service == "many" {
		for range plotPageSize {
			list = append(list, s.deployments[3])
		}
		return storage.List[rollout.Deployment]{Items: list, NextCursor: "more"}, nil
	}
	return storage.List[rollout.Deployment]{Items: list, NextCursor: next(p)}, nil
}

func (s *pageStore) Targets(_ context.Context, id string, p storage.Page) (storage.List[rollout.Target], error) {
	var list []rollout.Target
	switch {
	case s.empty:
	case id == "completed":
		for i := range 150 {
			list = append(list, rollout.Target{ID: fmt.Sprint(p.Cursor, "t", i), State: rollout.TargetUpdated, Wave: i % 3, Version: "v3", PreviousVersion: "v2"})
		}
		return storage.List[rollout.Target]{Items: list, NextCursor: next(p)}, nil
	default:
		for i, state := range targetStates() {
			list = append(list, rollout.Target{
				ID: fmt.Sprint("web-", i), State: state, Wave: 1 + i%2, PreviousVersion: fmt.Sprint("v", i), Version: "v2", Health: healthcheck.Healthy,
			})
		}
		list[4].Error, list[5].Version = "connection refused", ""
		list = append(list, rollout.Target{ID: "spare", State: rollout.TargetPending})
	}
	return storage.List[rollout.Target]{Items: list}, nil
}

func (s *pageStore) DeploymentEvents(context.Context, string, int64, int64, int) ([]rollout.Event, error) {
	return []rollout.Event{
		{Seq: 1, ID: 1, At: s.now, Type: rollout.EventCreated, Message: "created", Actor: "token:ci"},
		{Seq: 2, ID: 2, At: s.now, Type: rollout.EventTargetResult, Target: "web-1", Message: "updated", Actor: rollout.ActorEngine},
		{Seq: 3, ID: 3, At: s.now, Type: rollout.EventGateWaiting, Wave: 1, Message: "waiting", Actor: rollout.ActorEngine},
	}, nil
}

func (s *pageStore) Services(_ context.Context, _ authz.Scopes, p storage.Page) (storage.List[catalog.Service], error) {
	if s.empty {
		return storage.List[catalog.Service]{}, nil
	}
	list := []catalog.Service{{Service: "undeployed", Environment: "production", Defined: true}, {Service: "unknown", Environment: "production"}}
	for i := range s.deployments {
		d := &s.deployments[i]
		list = append(list, catalog.Service{Service: d.Service, Environment: d.Environment, Defined: true, Last: d})
	}
	return storage.List[catalog.Service]{Items: list, NextCursor: next(p)}, nil
}

func (s *pageStore) Definition(_ context.Context, service, environment string) (catalog.Definition, error) {
	if s.empty || service == "billing" {
		return catalog.Definition{}, &problem.Error{Code: problem.CodeNotFound, Message: "no definition"}
	}
	return catalog.Definition{
		Service: service, Environment: environment, Protected: true, Body: []byte(`{"targets":[],"traffic":{"type":"webhook","url":"http://lb"}}`),
	}, nil
}

func (s *pageStore) LatestDeployment(ctx context.Context, _, _ string) (rollout.Deployment, error) {
	return s.Deployment(ctx, "completed")
}

func (s *pageStore) RolledBackBy(context.Context, []string) (map[string]string, error) {
	return map[string]string{"ended": "completed"}, nil
}

func (s *pageStore) UnfinishedDeployments(context.Context, authz.Scopes) ([]rollout.Deployment, error) {
	if s.empty {
		return nil, nil
	}
	return s.deployments[:2], nil
}

func (s *pageStore) VersionCounts(context.Context, []authz.Scope) ([]catalog.VersionCount, error) {
	var list []catalog.VersionCount
	for service, health := range map[string]healthcheck.Health{
		"checkout": healthcheck.Unhealthy, "billing": healthcheck.Degraded, "search": healthcheck.Unknown, "undeployed": healthcheck.Healthy,
	} {
		versions := []string{"v1"}
		if service == "checkout" {
			versions = []string{"v1", "v2", "v3", "v4", ""}
		}
		for _, version := range versions {
			list = append(list, catalog.VersionCount{Service: service, Environment: "production", Version: version, Health: health, Targets: 1})
		}
	}
	return list, nil
}

func (s *pageStore) DatabaseTime(context.Context) (time.Time, error) { return s.now, nil }

func (s *pageStore) DORAReport(_ context.Context, _ authz.Scopes, q dora.Query) (dora.Report, error) {
	switch q.Service {
	case "slow":
		return dora.Report{}, &problem.Error{Code: problem.CodeUnavailable, Message: "deployments are being counted"}
	case "unlabelled":
		m := dora.Metrics{Service: "unlabelled", Environment: "production", Changes: 1, Succeeded: 1}
		return dora.Report{Total: m, ByService: []dora.Metrics{m}, Buckets: []dora.Metrics{m}}, nil
	case "none":
		return dora.Report{}, nil
	}
	m := dora.Metrics{
		Service: "checkout", Environment: "production", Changes: 3, Succeeded: 1, Failed: 2, Unrecovered: 1,
		Recovery: dora.Percentiles{Count: 1, P50: time.Hour, P95: time.Hour}, Lead: dora.Percentiles{Count: 1, P50: time.Hour, P95: time.Hour},
	}
	return dora.Report{Total: m, ByService: []dora.Metrics{m}, Buckets: []dora.Metrics{m, {}}}, nil
}

func (s *pageStore) Source(_ context.Context, name string) (gitsource.Report, error) {
	source := gitsource.Source{Name: name, URL: "https://git.example/x", Branch: "main"}
	switch name {
	case "new":
		return gitsource.Report{Source: source, Status: gitsource.Status{State: gitsource.StateUnknown}}, nil
	case "without-files":
		return gitsource.Report{Source: source, Status: gitsource.Status{State: gitsource.StateSynced, DesiredRevision: strings.Repeat("a", 40)}}, nil
	}
	source.Path, source.Heal = "deploy", true
	want := &gitsource.DesiredState{Service: "checkout", Environment: "production", Version: "v2", Commit: gitsource.Commit{SHA: strings.Repeat("b", 40)}}
	return gitsource.Report{
		Source: source,
		Status: gitsource.Status{
			State: gitsource.StateError, Reason: "retrying", Error: "cannot fetch", Failures: 3, DesiredRevision: strings.Repeat("a", 40),
			LastSyncAt: s.now, NextSyncAt: s.now.Add(time.Minute),
			Removed: []gitsource.RemovedFile{{Path: "old.yaml", Service: "old", Environment: "production", Version: "v1", Commit: "c", At: s.now}},
		},
		Files: []gitsource.File{
			{
				Path: "checkout.yaml", Want: want, Targets: []gitsource.Drift{{Target: "web-1", Wanted: "v2", Actual: "v1"}},
				Attempt: &gitsource.Attempt{Kind: gitsource.AttemptSync, State: gitsource.AttemptHeld, DeploymentID: "waiting", Reason: "rolled back"},
			},
			{Path: "planned.yaml", Want: want, Attempt: &gitsource.Attempt{Kind: gitsource.AttemptSync, State: gitsource.AttemptPlanned}},
			{Path: "broken.yaml", Problems: []gitsource.FileProblem{{Line: 3, Pointer: "/version", Detail: "is required"}, {Detail: "is empty"}}},
		},
	}, nil
}

func (s *pageStore) Sources(ctx context.Context, p storage.Page) (storage.List[gitsource.Report], error) {
	if s.empty {
		return storage.List[gitsource.Report]{}, nil
	}
	broken, err := s.Source(ctx, "broken")
	unsynced, _ := s.Source(ctx, "new")
	return storage.List[gitsource.Report]{Items: []gitsource.Report{broken, unsynced}, NextCursor: next(p)}, err
}

// apiHandler answers the requests that pages make of the API. A version that begins with "bad" is rejected.
func apiHandler(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch {
	case r.URL.Path == "/strategies":
		_, _ = io.WriteString(w, `{"items":[{"type":"rolling","summary":"waves of targets","parameters":[
			{"name":"batch_size","type":"integer or percentage","default":1,"description":"size of a wave"}]}]}`)
	case strings.Contains(string(body), `"bad`):
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"detail":"invalid request","errors":[{"pointer":"/version","detail":"must not contain quotes"}]}`)
	default:
		_, _ = io.WriteString(w, `{"protected":true,"strategy":{"type":"rolling"},"least_capacity":50,"shortest_duration":"90s","waves":[
			{"wave":1,"targets":["a","b","c","d","e","f","g"],"traffic_weight":10,"gate":"switch","bake":"1m"},
			{"wave":2,"targets":["h"],"traffic_weight":50,"gate":"next","bake":"0s"},
			{"wave":3,"targets":["i"],"traffic_weight":100,"gate":null,"bake":"0s"}]}`)
	}
}

// pageRequests returns the requests that together execute every branch of every template, with their statuses.
func pageRequests() map[string]int {
	plan := "/ui/services/checkout/environments/production/deploy?"
	return map[string]int{
		"/": 200, "/?cursor=more": 200, "/ui/deployments?state=failed": 200, "/ui/deployments?cursor=more": 200,
		"/ui/deployments/waiting": 200, "/ui/deployments/running": 200, "/ui/deployments/ended": 200, "/ui/deployments/completed": 200,
		"/ui/deployments/waiting/targets": 200, "/ui/deployments/waiting/targets?state=failed": 200, "/ui/deployments/completed/targets": 200,
		"/ui/deployments/waiting/targets?state=none": 200,
		"/ui/deployments/waiting/promote":            200, "/ui/deployments/waiting/abort": 200, "/ui/deployments/ended/pause": 409,
		"/ui/durations": 200, "/ui/durations?service=none": 200, "/ui/durations?service=many": 200,
		"/ui/dora": 200, "/ui/dora?service=slow": 503, "/ui/dora?service=unlabelled": 200, "/ui/dora?service=none": 200,
		"/ui/services/checkout/environments/production": 200, "/ui/services/undeployed/environments/production": 200,
		"/ui/services/billing/environments/production": 200,
		plan: 200, plan + "version=v2&strategy=rolling&rolling.batch_size=2": 200, plan + "version=v2": 200, plan + "version=bad": 422,
		plan + "change=v2&strategy=rolling&rolling.batch_size=2": 200,
		"/ui/gitops": 200, "/ui/gitops/broken": 200, "/ui/gitops/new": 200, "/ui/gitops/without-files": 200, "/ui/gitops/broken/sync": 200,
		"/ui/sign-in": 200, "/ui/nowhere": 404,
	}
}

// A template that calls a method that was renamed fails only when it is executed, so the tests execute every branch.
func TestTemplates_EveryBranchIsExecuted(t *testing.T) {
	t.Parallel()
	files, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := loadPages(files)
	if err != nil {
		t.Fatal(err)
	}
	seen := &branches{executed: map[string]bool{}}
	seen.instrument(t, pages)
	full, empty := newPageStore(), newPageStore()
	empty.empty = true
	handler := func(store Store, open bool) http.Handler {
		s := &site{Config: Config{
			Store: store, Who: asPrincipal{Name: "alice", Role: authz.RoleAdmin, Scopes: authz.Everywhere()}, Open: open,
			API: http.HandlerFunc(apiHandler), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		}, pages: pages, assets: files}
		return s.pageRoutes()
	}
	for path, status := range pageRequests() {
		wantStatus(t, handler(full, false), httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody), status)
	}
	for _, path := range []string{"/", "/ui/deployments", "/ui/gitops"} {
		wantStatus(t, handler(empty, true), httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody), http.StatusOK)
	}
	invalid := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/ui/sign-in", strings.NewReader(url.Values{"token": {"x"}}.Encode()))
	invalid.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	wantStatus(t, handler(full, false), invalid, http.StatusForbidden)
	for _, branch := range slices.Sorted(maps.Keys(seen.executed)) {
		if !seen.executed[branch] {
			t.Errorf("not executed: %s", branch)
		}
	}
}

func wantStatus(t *testing.T, handler http.Handler, r *http.Request, status int) {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != status || strings.Contains(w.Body.String(), "cannot be rendered") {
		t.Errorf("%s: %d, want %d: %.300s", r.URL, w.Code, status, w.Body)
	}
}
