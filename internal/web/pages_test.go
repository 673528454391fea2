package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// fakeStore has one deployment, at a gate after the first of two waves.
type fakeStore struct {
	Store
	d rollout.Deployment
}

func newStore() *fakeStore {
	created := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	return &fakeStore{d: rollout.Deployment{
		ID: "0190b0a6-7c31-7d3a-9b1e-4f2f8a6c1d20", Service: "checkout", Environment: "production", Version: "v2", Kind: rollout.KindDeploy,
		RequestedBy: "token:ci", CreatedAt: created, Counts: rollout.Counts{Total: 4, Updated: 1, Failed: 1},
		Spec: rollout.Spec{Waves: []rollout.Wave{{Size: 1, Gate: rollout.GateNext}, {Size: 3, Bake: duration.Duration(time.Minute)}}},
		Status: rollout.Status{
			State: rollout.StateInProgress, Direction: rollout.Forward, StartedAt: created, Reason: "wave 1 verified until 2026-11-22T15:31:00Z",
			Progress: rollout.Progress{Wave: 1, Gate: 1},
		},
	}}
}

func (f *fakeStore) Deployment(_ context.Context, id string) (rollout.Deployment, error) {
	if id != f.d.ID {
		return rollout.Deployment{}, &problem.Error{Code: problem.CodeNotFound, Message: "no such deployment"}
	}
	return f.d, nil
}

func (f *fakeStore) Targets(context.Context, string, storage.Page) (storage.List[rollout.Target], error) {
	return storage.List[rollout.Target]{Items: []rollout.Target{
		{ID: "web-1", State: rollout.TargetUpdated, Wave: 1, Version: "v2", PreviousVersion: "v1"},
		{ID: "web-2", State: rollout.TargetFailed, Wave: 1, PreviousVersion: "v1", Error: "<b>refused</b>"},
		{ID: "web-3", State: rollout.TargetPending, Wave: 2, Version: "v1"},
	}}, nil
}

func (f *fakeStore) DeploymentEvents(context.Context, string, int64, int64, int) ([]rollout.Event, error) {
	return []rollout.Event{{Seq: 1, Type: "deployment.created", Message: "created", Actor: "token:ci"}}, nil
}

func (f *fakeStore) Services(context.Context, authz.Scopes, storage.Page) (storage.List[catalog.Service], error) {
	return storage.List[catalog.Service]{Items: []catalog.Service{{Service: "checkout", Environment: "production", Last: &f.d}}}, nil
}

func (f *fakeStore) UnfinishedDeployments(context.Context, authz.Scopes) ([]rollout.Deployment, error) {
	return []rollout.Deployment{f.d}, nil
}

func (f *fakeStore) VersionCounts(context.Context, []authz.Scope) ([]catalog.VersionCount, error) {
	return []catalog.VersionCount{
		{Service: "checkout", Environment: "production", Version: "v2", Health: healthcheck.Healthy, Targets: 1},
		{Service: "checkout", Environment: "production", Version: "v1", Health: healthcheck.Unhealthy, Targets: 3},
	}, nil
}

func (f *fakeStore) Deployments(context.Context, authz.Scopes, storage.Filter, storage.Page) (storage.List[rollout.Deployment], error) {
	return storage.List[rollout.Deployment]{Items: []rollout.Deployment{f.d}}, nil
}

func (f *fakeStore) RolledBackBy(context.Context, []string) (map[string]string, error) {
	return nil, nil
}

// asPrincipal authenticates every request as one principal.
type asPrincipal authz.Principal

func (p asPrincipal) Authenticate(*http.Request) (authz.Principal, error) {
	return authz.Principal(p), nil
}

func get(t *testing.T, role authz.Role, path string) (status int, body string) {
	t.Helper()
	principal := asPrincipal{Name: "alice", Role: role, Scopes: authz.Everywhere()}
	handler, err := New(Config{Store: newStore(), Who: principal, API: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestPages_RenderWithEscapedText(t *testing.T) {
	t.Parallel()
	id := newStore().d.ID
	for path, wants := range map[string][]string{
		"/": {
			"Active deployments", "Action required", "3 of 4 unhealthy", "1 of 4 updated", `<time datetime="2026-11-22T15:31:00Z" data-clock>`,
		},
		"/ui/deployments": {"History", "v2", "in progress"},
		"/ui/deployments/" + id: {
			"Action required.", "wave 1 of 2", "&lt;b&gt;refused&lt;/b&gt;", "Requested by", "deployment.created", "gate before the next wave", ">Promote<",
		},
		"/ui/deployments/" + id + "/targets?state=failed":  {"web-2", "Error"},
		"/ui/deployments/" + id + "/promote":               {"Promote checkout in production?", "Wave 2 of 2 starts and updates 3 more targets to v2.", "Cancel"},
		"/ui/services/checkout/environments/elsewhere/xyz": {"Not found"},
	} {
		status, body := get(t, authz.RoleAdmin, path)
		if wantsFound := !slices.Contains(wants, "Not found"); (status == http.StatusOK) != wantsFound {
			t.Errorf("%s: status %d", path, status)
		}
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %q is missing", path, want)
			}
		}
		if strings.Contains(body, "<b>refused</b>") {
			t.Errorf("%s: text is not escaped", path)
		}
	}
}

func TestActions_FollowRoleAndState(t *testing.T) {
	t.Parallel()
	waiting, paused, failed := newStore().d, newStore().d, newStore().d
	paused.Progress.Gate, paused.Operator.Pause = 0, true
	failed.State, failed.Result = rollout.StateFailed, &rollout.Result{}
	for name, c := range map[string]struct {
		d    *rollout.Deployment
		role authz.Role
		want string
	}{
		"viewer":   {&waiting, authz.RoleViewer, ""},
		"approver": {&waiting, authz.RoleApprover, "promote promote-fully rollback abort"},
		"at gate":  {&waiting, authz.RoleAdmin, "promote promote-fully rollback abort"},
		"paused":   {&paused, authz.RoleAdmin, "promote-fully resume rollback abort"},
		"failed":   {&failed, authz.RoleAdmin, "retry rollback"},
	} {
		page := &pageRequest{principal: authz.Principal{Name: "alice", Role: c.role, Scopes: authz.Everywhere()}}
		var names []string
		for _, a := range availableActions(page, c.d, true) {
			names = append(names, a.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestFuncs_Format(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		formatDuration(-time.Second): "0 s", formatDuration(1500 * time.Millisecond): "1.5 s", formatDuration(75 * time.Second): "1 min 15 s",
		formatDuration(25 * time.Hour): "25 h 00 min", formatDuration(72 * time.Hour): "3 days", countNoun(1, "target"): "1 target",
		countNoun(0, "target"): "0 targets", shortID("0190b0a6-7c31-7d3a-9b1e-4f2f8a6c1d20"): "8a6c1d20", humanize(rollout.StateRolledBack): "rolled back",
		orUnknown(""): "unknown", capitalize("é"): "É", formatDefault([]byte(`["1","2"]`)): `"1", "2"`, formatDurationText("0s"): "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
