package store_test

import (
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

func TestDeployment_UnknownIsNotFound(t *testing.T) {
	t.Parallel()
	s := open(t)
	known := createDeployment(t, s, request("checkout", 1)).ID
	for _, id := range []string{"", "x", "00000000-0000-7000-8000-000000000000", "{" + known + "}", "urn:uuid:" + known} {
		_, err := s.Deployment(ctx(t), id)
		wantCode(t, err, problem.CodeNotFound)
		_, err = s.Targets(ctx(t), id, storage.Page{})
		wantCode(t, err, problem.CodeNotFound)
		_, err = s.Events(ctx(t), id, storage.Page{})
		wantCode(t, err, problem.CodeNotFound)
	}
}

func TestList_PagesAreStableDuringCreates(t *testing.T) {
	t.Parallel()
	s := open(t)
	var want []string
	for i := range 7 {
		want = append(want, createDeployment(t, s, request("service-"+strconv.Itoa(i), 1)).ID)
	}
	exec(t, s, `UPDATE deployments SET created_at = '2026-01-02 03:04:05.678901'`) // all at the same instant
	slices.Sort(want)
	slices.Reverse(want)
	var got []string
	for page := (storage.Page{Limit: 3}); ; {
		list, err := s.Deployments(ctx(t), authz.Everywhere(), storage.Filter{}, page)
		must(t, err)
		for _, d := range list.Items {
			got = append(got, d.ID)
		}
		if page.Cursor = list.NextCursor; page.Cursor == "" {
			break
		}
		createDeployment(t, s, request("late-"+strconv.Itoa(len(got)), 1))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

func TestList_FiltersSelect(t *testing.T) {
	t.Parallel()
	s := open(t)
	running := started(t, s, "shop", "r1").Deployment
	r := request("checkout", 1)
	r.Deployment.Environment, r.Deployment.Version = "staging", "v9"
	staging := createDeployment(t, s, r)
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	exec(t, s, `UPDATE deployments SET created_at = $1 WHERE id = $2`, day, staging.ID)
	exec(t, s, `UPDATE deployments SET created_at = $1 WHERE id = $2`, day.Add(time.Hour), running.ID)
	for name, c := range map[string]struct {
		filter storage.Filter
		want   []string
	}{
		"everything":  {storage.Filter{}, []string{running.ID, staging.ID}},
		"service":     {storage.Filter{Service: "shop"}, []string{running.ID}},
		"environment": {storage.Filter{Environment: "staging"}, []string{staging.ID}},
		"version":     {storage.Filter{Version: "v9"}, []string{staging.ID}},
		"state":       {storage.Filter{State: rollout.StateInProgress}, []string{running.ID}},
		"since":       {storage.Filter{Since: day}, []string{running.ID, staging.ID}},
		"until":       {storage.Filter{Until: day.Add(time.Hour)}, []string{staging.ID}},
		"neither":     {storage.Filter{Service: "shop", Version: "v9"}, nil},
	} {
		if got := ids(t, s, c.filter); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func ids(t *testing.T, s *store.Store, f storage.Filter) (got []string) {
	t.Helper()
	list, err := s.Deployments(ctx(t), authz.Everywhere(), f, storage.Page{})
	must(t, err)
	for _, d := range list.Items {
		got = append(got, d.ID)
	}
	return got
}

func TestTargets_AreInRequestOrder(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := createDeployment(t, s, request("checkout", 5))
	var got []int
	for page := (storage.Page{Limit: 2}); ; {
		list, err := s.Targets(ctx(t), d.ID, page)
		must(t, err)
		for _, target := range list.Items {
			got = append(got, target.Position)
		}
		if page.Cursor = list.NextCursor; page.Cursor == "" {
			break
		}
	}
	if !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
		t.Errorf("positions %v", got)
	}
}

func TestCursor_OfAnotherListIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := createDeployment(t, s, request("checkout", 5))
	list, err := s.Targets(ctx(t), d.ID, storage.Page{Limit: 2})
	must(t, err)
	for _, cursor := range []string{"x", "!!", "ZA", list.NextCursor} {
		_, err := s.Deployments(ctx(t), authz.Everywhere(), storage.Filter{}, storage.Page{Cursor: cursor})
		wantCode(t, err, problem.CodeInvalid)
		e, ok := err.(*problem.Error) //nolint:errorlint // it is the error itself
		if !ok || len(e.Fields) != 1 || e.Fields[0].Pointer != "/cursor" {
			t.Errorf("problems: %+v", e)
		}
		_, err = s.Events(ctx(t), d.ID, storage.Page{Cursor: cursor})
		wantCode(t, err, problem.CodeInvalid)
	}
}

func TestEvents_RoundTrip(t *testing.T) {
	t.Parallel()
	s := open(t)
	snap := started(t, s, "checkout", "r1")
	want := rollout.Event{
		At: time.Now().Truncate(time.Microsecond).UTC(), Type: rollout.EventTargetIntent, DeploymentID: snap.Deployment.ID,
		Actor: rollout.ActorEngine, Replica: "r1", Epoch: 1, Target: "web-1", Wave: 2, From: "pending", To: "deploying", Message: "calls",
		Call: &rollout.Call{WebhookID: "msg_1", Action: rollout.CallDeploy, Attempt: 1, Fence: 3},
	}
	save(t, s, snap, storage.SaveRequest{Events: []rollout.Event{want}})
	list := events(t, s, snap.Deployment.ID)
	got := list[len(list)-1]
	want.Seq, want.ID, want.Service, want.Environment = 3, got.ID, "checkout", "production"
	want.Hash = rollout.HashEvent(list[len(list)-2].Hash, &want)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestStuck_DueWithoutOwner(t *testing.T) {
	t.Parallel()
	s := open(t)
	snap := started(t, s, "checkout", "r1")
	waiting := createDeployment(t, s, request("checkout", 1)).ID
	steps := []struct {
		sql  string
		want int
	}{
		{`UPDATE deployments SET next_run_at = now() - interval '9s'`, 0}, // owned by the living, or has to wait
		{`UPDATE deployments SET next_action_at = now() - interval '7s' WHERE started_at IS NOT NULL`, 0},
		{`UPDATE deployments SET next_action_at = now() - interval '9s' WHERE started_at IS NOT NULL`, 1},
		{`UPDATE deployments SET next_action_at = NULL`, 0},
		{`UPDATE replicas SET expires_at = now() - interval '1s'`, 1},
	}
	for _, step := range steps {
		exec(t, s, step.sql)
		got, err := s.CountStuck(ctx(t))
		must(t, err)
		if got != step.want {
			t.Errorf("%d are stuck after %s; want %d", got, step.sql, step.want)
		}
	}
	if waiting == snap.Deployment.ID {
		t.Error("one deployment where two were expected")
	}
}
