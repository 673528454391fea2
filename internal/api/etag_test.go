package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"rollcall/internal/rollout"
)

func TestETag_OneCommandPerRevisionWins(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.begun("checkout", "v2", 1, func(*rollout.Target) {}).Deployment.ID
	tag := s.get("/deployments/" + id).Header.Get("ETag")
	commands := []string{"pause", "abort", "rollback"}
	answers := make([]answer, 4*len(commands))
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = s.sendCommand(id, commands[i%len(commands)], "", "If-Match", tag) })
	}
	all.Wait()
	won := 0
	for _, a := range answers {
		if a.StatusCode == http.StatusOK {
			won++
			continue
		}
		a.wantProblem(t, http.StatusPreconditionFailed, noPointer)
	}
	if types := s.eventTypes(id, 2); won != 1 || len(types) != 1 {
		t.Errorf("%d won: %v", won, types)
	}
}

func TestETag_IfMatchNeedsCurrentStrongOne(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.begun("checkout", "v2", 1, func(*rollout.Target) {}).Deployment.ID
	tag := s.get("/deployments/" + id).Header.Get("ETag")
	for _, stale := range []string{`"1"`, `"x"`, `""`, "W/" + tag, `"1", "99"`} {
		for _, name := range []string{"pause", "resume", "rollback", "retry"} {
			s.sendCommand(id, name, "", "If-Match", stale).wantProblem(t, http.StatusPreconditionFailed, noPointer)
		}
	}
	for _, malformed := range []string{strings.Trim(tag, `"`), "", `"1`, `"1" "2"`, `"1",`, "*, *", `"a"b`} {
		for _, name := range []string{"pause", "rollback", "retry"} {
			s.sendCommand(id, name, "", "If-Match", malformed).wantProblem(t, http.StatusBadRequest, noPointer)
		}
	}
	s.sendCommand(id, "pause", "", "If-Match", tag, "If-Match", tag).wantProblem(t, http.StatusBadRequest, noPointer)
	s.sendCommand(id, "resume", "", "If-Match", `"x", `+tag).want(t, http.StatusOK)
	s.sendCommand(id, "resume", "", "If-Match", "*").want(t, http.StatusOK)

	ended := s.ended("other", "v2", 1, rollout.StateCompleted, updated)
	s.sendCommand(ended, "rollback", "", "If-Match", `"1"`).wantProblem(t, http.StatusPreconditionFailed, noPointer)
	s.sendCommand(ended, "rollback", "", "If-Match", s.get("/deployments/"+ended).Header.Get("ETag")).want(t, http.StatusAccepted)
}

func TestCommands_UnknownDeploymentIsNotFound(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, id := range []string{"0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11", "x", "0199F2A4-5C1E-7D3A-9B60-2F1C8A7E4D11", "%00"} {
		for _, name := range []string{"pause", "resume", "promote", "abort", "rollback", "retry"} {
			s.sendCommand(id, name, "").wantProblem(t, http.StatusNotFound, noPointer)
		}
	}
	id := s.created(s.request("checkout", "v2", 1))
	s.sendCommand(id, "explode", "").wantProblem(t, http.StatusNotFound, noPointer)
	s.get("/deployments/"+id+"/pause").want(t, http.StatusMethodNotAllowed)
}

func TestCommands_BodyIsStrict(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.begun("checkout", "v2", 1, func(*rollout.Target) {}).Deployment.ID
	for _, bad := range []struct {
		name, body string
		status     int
		pointer    string
	}{
		{"pause", `{"reason":`, 400, noPointer},
		{"pause", `{} {}`, 400, noPointer},
		{"pause", `{"reason":"a","reason":"b"}`, 400, noPointer},
		{"pause", " ", 400, noPointer},
		{"pause", `null`, 422, ""},
		{"pause", `[]`, 422, ""},
		{"pause", `{"reason":null}`, 422, "/reason"},
		{"pause", `{"why":"x"}`, 422, "/why"},
		{"pause", `{"wave":1}`, 422, "/wave"},
		{"abort", `{"reason":"\u0000"}`, 422, "/reason"},
		{"retry", `{"reason":"` + strings.Repeat("x", 1001) + `"}`, 422, "/reason"},
		{"promote", `{"wave":0}`, 422, "/wave"},
		{"promote", `{"wave":1.5}`, 422, "/wave"},
		{"promote", `{"wave":1,"full":true}`, 422, "/wave"},
		{"promote", `{"full":"yes"}`, 422, "/full"},
		{"rollback", `{"version":"v1"}`, 422, "/version"},
	} {
		s.sendCommand(id, bad.name, bad.body).wantProblem(t, bad.status, bad.pointer)
	}
	s.sendCommand(id, "pause", "{}", "Content-Type", "text/plain").wantProblem(t, http.StatusUnsupportedMediaType, noPointer)
	if types := s.eventTypes(id, 2); len(types) > 0 {
		t.Errorf("rejected, and there are events: %v", types)
	}
	s.sendCommand(id, "promote", `{"full":false}`).wantProblem(t, http.StatusConflict, noPointer)
	s.sendCommand(id, "pause", "", "Content-Type", "text/plain").want(t, http.StatusOK)
}
