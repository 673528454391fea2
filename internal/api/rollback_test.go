package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"rollcall/internal/api"
	"rollcall/internal/dbtest"
	"rollcall/internal/rollout"
	"rollcall/internal/store"
)

// ownVersions updates targets that ran different versions before; that of web-3 is unknown, and it fails.
func ownVersions(t *rollout.Target) {
	from := map[string]string{"web-1": "v1", "web-2": "v0", "web-4": "v1"}[t.ID]
	arrived(t, from)
	switch t.ID {
	case "web-4":
		t.State, t.Version = rollout.TargetUnknown, ""
	case "web-5":
		*t = rollout.Target{
			ID: t.ID, Name: t.Name, Address: t.Address, Checks: t.Checks, Position: t.Position, Wave: t.Wave, DesiredVersion: t.DesiredVersion,
			State: rollout.TargetUnchanged, Phase: rollout.PhaseSettled, Health: t.Health,
		}
	}
}

func TestRollback_RestoresVersionOfEachTarget(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.ended("checkout", "v2", 5, rollout.StateFailed, ownVersions)
	before := s.get("/deployments/" + id)
	a := s.sendCommand(id, "rollback", `{"reason":"bad"}`).want(t, http.StatusAccepted)
	d := a.object(t)
	if d["kind"] != "rollback" || d["rollback_of"] != id || d["version"] != nil || d["state"] != "pending" || d["requested_by"] != "ann" {
		t.Errorf("rollback %v", d)
	}
	undoing, _ := d["id"].(string)
	snap := s.claim(undoing)
	var order, want []string
	for i := range snap.Targets {
		order, want = append(order, snap.Targets[i].ID), append(want, snap.Targets[i].DesiredVersion)
	}
	if !slices.Equal(order, []string{"web-4", "web-1", "web-2"}) || !slices.Equal(want, []string{"v1", "v1", "v0"}) {
		t.Errorf("targets %v go to %v", order, want)
	}
	spec := snap.Deployment.Spec
	if spec.Strategy.Type != "rolling" || spec.LargestWave() != 2 || spec.Force || spec.Checks[0].Path != "/up" ||
		snap.Deployment.DeploySecret.Reveal() != "whsec_c2VjcmV0c2VjcmV0c2VjcmV0" || spec.Strategy.OnFailure != rollout.OnFailureHalt {
		t.Errorf("spec %+v", spec)
	}
	if e := s.lastEvent(undoing); e.Message != "rollback of checkout in production, taking back deployment "+id+": bad" {
		t.Errorf("event %+v", e)
	}

	after := s.get("/deployments/" + id)
	if after.object(t)["rolled_back_by"] != undoing || after.Header.Get("ETag") != before.Header.Get("ETag") {
		t.Errorf("before %s, after %s %s", before.Header.Get("ETag"), after.Header.Get("ETag"), after.body)
	}
	if by, _ := s.items("/deployments", "rolled_back_by"); !slices.Equal(by, []any{nil, undoing}) {
		t.Errorf("the list says %v", by)
	}
}

func TestRollback_IsTheSameUntilSuperseded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.ended("checkout", "v2", 2, rollout.StateCompleted, updated)
	first, _ := s.sendCommand(id, "rollback", "").want(t, http.StatusAccepted).object(t)["id"].(string)
	s.created(s.request("checkout", "v3", 2)) // supersedes it before it began
	second, _ := s.sendCommand(id, "rollback", "").want(t, http.StatusAccepted).object(t)["id"].(string)
	if first == second {
		t.Fatal("it is superseded")
	}
	snap := s.claim(second)
	s.begin(snap, updated)
	s.end(snap, rollout.StateRolledBack)
	a := s.sendCommand(id, "rollback", "").want(t, http.StatusAccepted)
	if d := a.object(t); d["id"] != second || d["state"] != "rolled_back" || a.Header.Get("Location") != "/deployments/"+second {
		t.Errorf("%v", d)
	}
}

func TestRollback_OnlyOfLatest(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	first := s.ended("checkout", "v2", 2, rollout.StateCompleted, updated)
	second := s.ended("checkout", "v3", 2, rollout.StateCompleted, func(t *rollout.Target) { arrived(t, "v2") })
	s.ended("checkout", "v4", 2, rollout.StateAborted, unchanged) // touched nothing
	s.ended("other", "v4", 2, rollout.StateCompleted, updated)
	for _, name := range []string{"rollback", "retry"} {
		a := s.sendCommand(s.ended("x"+name, "v2", 3, rollout.StateFailed, lastFails), name, "")
		a.want(t, http.StatusAccepted)
	}
	a := s.sendCommand(first, "rollback", "")
	a.wantProblem(t, http.StatusConflict, noPointer)
	if got := a.object(t)["deployment_id"]; got != second {
		t.Errorf("it names %v, the latest is %s", got, second)
	}
	undoing, _ := s.sendCommand(second, "rollback", "").want(t, http.StatusAccepted).object(t)["id"].(string)
	snap := s.claim(undoing)
	s.begin(snap, func(t *rollout.Target) { arrived(t, "v3") })
	a = s.sendCommand(first, "rollback", "")
	a.wantProblem(t, http.StatusConflict, noPointer)
	if got := a.object(t)["deployment_id"]; got != undoing {
		t.Errorf("it names %v, the active one is %s", got, undoing)
	}
	s.end(snap, rollout.StateRolledBack)

	forward := s.sendCommand(undoing, "rollback", "").want(t, http.StatusAccepted).object(t)
	if forward["version"] != "v3" || forward["kind"] != "rollback" || forward["rollback_of"] != undoing {
		t.Errorf("rolling back a rollback goes forward again: %v", forward)
	}
}

func TestFollowUp_ActiveDeploymentIsConflict(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	first := s.ended("checkout", "v2", 3, rollout.StateFailed, lastFails)
	active := s.begun("checkout", "v3", 3, func(*rollout.Target) {}).Deployment.ID
	for _, name := range []string{"rollback", "retry"} {
		a := s.sendCommand(first, name, "")
		a.wantProblem(t, http.StatusConflict, noPointer)
		if got := a.object(t)["deployment_id"]; got != active {
			t.Errorf("%s names %v, want %s", name, got, active)
		}
	}
}

func TestRollback_ConcurrentRequestsCreateOne(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"rollback", "retry"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			id := s.ended("checkout", "v2", 3, rollout.StateFailed, lastFails)
			answers := make([]answer, 16)
			var all sync.WaitGroup
			for i := range answers {
				all.Go(func() { answers[i] = s.sendCommand(id, name, "") })
			}
			all.Wait()
			for _, a := range answers {
				if got := a.want(t, http.StatusAccepted).object(t)["id"]; got != answers[0].object(t)["id"] {
					t.Errorf("%v and %v", got, answers[0].object(t)["id"])
				}
			}
			if ids, _ := s.items("/deployments", "id"); len(ids) != 2 {
				t.Errorf("%d deployments", len(ids))
			}
		})
	}
}

func TestRollback_UnknownVersionIsNotGuessed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.ended("checkout", "v2", 2, rollout.StateCompleted, func(t *rollout.Target) { arrived(t, "") })
	s.sendCommand(id, "rollback", "").wantProblem(t, http.StatusConflict, noPointer)
}

func TestRollback_OfLatestByName(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	latest := func(service string) answer {
		return s.do(http.MethodPost, "/services/"+service+"/environments/production/rollback", `{"reason":"bad"}`)
	}
	latest("checkout").wantProblem(t, http.StatusNotFound, noPointer)
	latest("No_Service").wantProblem(t, http.StatusNotFound, noPointer)

	s.created(s.request("waiting", "v2", 2))
	latest("waiting").wantProblem(t, http.StatusConflict, noPointer)

	finished := s.ended("checkout", "v2", 2, rollout.StateCompleted, updated)
	s.ended("checkout", "v3", 2, rollout.StateAborted, unchanged)
	first := latest("checkout").want(t, http.StatusAccepted).object(t)
	if first["rollback_of"] != finished {
		t.Errorf("%v", first)
	}
	undoing, _ := first["id"].(string)
	snap := s.claim(undoing)
	for range 2 {
		if again := latest("checkout").want(t, http.StatusAccepted); again.Header.Get("Location") != "/deployments/"+undoing {
			t.Errorf("again: %s", again.body)
		}
		if snap.Deployment.StartedAt.IsZero() {
			s.begin(snap, func(t *rollout.Target) { arrived(t, "v2") })
		}
	}
	s.end(snap, rollout.StateRolledBack)
	if d := latest("checkout").want(t, http.StatusAccepted).object(t); d["rollback_of"] != undoing || d["version"] != "v2" {
		t.Errorf("the rollback is rolled back: %v", d)
	}

	active := s.begun("flying", "v2", 2, updated).Deployment.ID
	for range 2 {
		if d := latest("flying").want(t, http.StatusOK).object(t); d["id"] != active || d["state"] != "rolling_back" {
			t.Errorf("in flight: %v", d)
		}
	}
}

func TestRetry_TakesUnfinishedTargets(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.ended("checkout", "v2", 3, rollout.StateFailed, lastFails)
	d := s.sendCommand(id, "retry", `{"reason":"fixed the disk"}`).want(t, http.StatusAccepted).object(t)
	labels, _ := d["labels"].(map[string]any)
	if d["kind"] != "deploy" || d["version"] != "v2" || d["rollback_of"] != nil || labels["commit"] != "abc" || d["id"] == id {
		t.Errorf("%v", d)
	}
	again, _ := d["id"].(string)
	if ids, _ := s.items("/deployments/"+again+"/targets", "id"); !slices.Equal(ids, []any{"web-3"}) {
		t.Errorf("targets %v", ids)
	}
	want := fmt.Sprintf("deploy of checkout in production to v2, for what deployment %s left undone: fixed the disk", id)
	if e := s.lastEvent(again); e.Message != want {
		t.Errorf("event %q", e.Message)
	}
	snap := s.claim(again)
	s.begin(snap, updated)
	s.end(snap, rollout.StateCompleted)
	if same := s.sendCommand(id, "retry", "").want(t, http.StatusAccepted).object(t); same["id"] != again {
		t.Errorf("again: %v", same)
	}
	s.sendCommand(again, "retry", "").wantProblem(t, http.StatusConflict, noPointer)
	next := s.ended("checkout", "v3", 3, rollout.StateCompleted, updated)
	a := s.sendCommand(id, "retry", "")
	a.wantProblem(t, http.StatusConflict, noPointer)
	if a.object(t)["deployment_id"] != next {
		t.Errorf("it names %s", a.body)
	}
}

func TestRetry_OfRollbackTakesUnrestoredTargets(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.ended("checkout", "v2", 3, rollout.StateCompleted, updated)
	undoing, _ := s.sendCommand(id, "rollback", "").want(t, http.StatusAccepted).object(t)["id"].(string)
	snap := s.claim(undoing)
	s.begin(snap, lastFails)
	s.end(snap, rollout.StateFailed)
	d := s.sendCommand(undoing, "retry", "").want(t, http.StatusAccepted).object(t)
	if d["kind"] != "rollback" || d["rollback_of"] != id || d["version"] != "v1" {
		t.Errorf("%v", d)
	}
	if ids, _ := s.items(fmt.Sprintf("/deployments/%v/targets", d["id"]), "id"); !slices.Equal(ids, []any{"web-3"}) {
		t.Errorf("targets %v", ids)
	}
	if got := s.get("/deployments/" + id).object(t)["rolled_back_by"]; got != d["id"] {
		t.Errorf("rolled back by %v", got)
	}
}

func TestCommands_ShowOnAllReplicas(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	other, err := store.Open(t.Context(), s.url, store.SealedBy(dbtest.NewKeyring(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	elsewhere := serve(t, api.Config{Store: other})
	id := s.begun("checkout", "v2", 1, func(*rollout.Target) {}).Deployment.ID
	a := elsewhere.do(http.MethodPost, "/deployments/"+id+"/pause", "").want(t, http.StatusOK)
	if got := s.get("/deployments/" + id); got.object(t)["state"] != "paused" || got.Header.Get("ETag") != a.Header.Get("ETag") {
		t.Errorf("here %s", got.body)
	}
}

const aDefinition = "/services/checkout/environments/production"

// define registers the service with n targets.
func (s *stage) define(n int) {
	s.t.Helper()
	body := s.request("checkout", "v2", n)
	body = `{` + body[strings.Index(body, `"targets"`):]
	if a := s.do(http.MethodPut, aDefinition, body); a.StatusCode/100 != 2 {
		s.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
}

func TestRollback_LeavesOutWhatLeftTheDefinition(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request string
		want    []any
	}{
		"targets of the definition": {`{"service":"checkout","version":"v2"}`, []any{"web-1", "web-2"}},
		"targets of the request":    {"", []any{"web-1", "web-2", "web-3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.define(3)
			request := test.request
			if request == "" {
				request = s.request("checkout", "v2", 3)
			}
			snap := s.claim(s.created(request))
			s.begin(snap, updated)
			s.end(snap, rollout.StateCompleted)
			s.define(2)
			made := fmt.Sprint(s.do(http.MethodPost, aDefinition+"/rollback", `{"reason":"bad"}`).want(t, http.StatusAccepted).object(t)["id"])
			ids, _ := s.items("/deployments/"+made+"/targets", "id")
			slices.SortFunc(ids, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			said := strings.Contains(s.lastEvent(made).Message, "bad; left out, because no longer in the definition: web-3")
			if !slices.Equal(ids, test.want) || said != (len(test.want) == 2) {
				t.Errorf("targets %v, said %q", ids, s.lastEvent(made).Message)
			}
		})
	}
}

func TestRollback_OfTargetsThatAllLeftIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.define(1)
	snap := s.claim(s.created(`{"service":"checkout","version":"v2"}`))
	s.begin(snap, updated)
	s.end(snap, rollout.StateCompleted)
	body := strings.ReplaceAll(s.request("checkout", "v2", 1), "web-1", "other")
	if a := s.do(http.MethodPut, aDefinition, `{`+body[strings.Index(body, `"targets"`):]); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	s.do(http.MethodPost, aDefinition+"/rollback", "").wantProblem(t, http.StatusConflict, noPointer)
}
