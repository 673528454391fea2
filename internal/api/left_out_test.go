package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/rollout"
)

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
