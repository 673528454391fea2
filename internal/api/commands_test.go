package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/rollout"
)

// standing brings a new deployment of the service into a state, and answers with its id.
type standing func(s *stage, service string) string

func standings() map[string]standing {
	begun := func(s *stage, service string) *rollout.Snapshot {
		return s.begun(service, "v2", 3, func(*rollout.Target) {})
	}
	over := func(state rollout.State, touch func(*rollout.Target)) standing {
		return func(s *stage, service string) string { return s.ended(service, "v2", 3, state, touch) }
	}
	return map[string]standing{
		"pending":     func(s *stage, service string) string { return s.created(s.request(service, "v2", 3)) },
		"in_progress": func(s *stage, service string) string { return begun(s, service).Deployment.ID },
		"paused": func(s *stage, service string) string {
			id := begun(s, service).Deployment.ID
			s.sendCommand(id, "pause", "").want(s.t, http.StatusOK)
			return id
		},
		"stopped": func(s *stage, service string) string {
			snap := begun(s, service)
			snap.Deployment.State, snap.Deployment.Stop = rollout.StatePaused, rollout.StopPaused
			s.save(snap, rollout.EventPaused)
			return snap.Deployment.ID
		},
		"gate": func(s *stage, service string) string {
			body := strings.Replace(s.request(service, "v2", 3), `"type":"rolling","batch_size":[1,2]`,
				`"type":"canary","stages":[{"percent":10,"promotion":"manual"},100]`, 1)
			snap := s.claim(s.created(body))
			s.begin(snap, func(*rollout.Target) {})
			snap.Deployment.State, snap.Deployment.Progress.Gate = rollout.StatePaused, 1
			snap.Deployment.Progress.PausedAt = time.Now()
			s.save(snap, rollout.EventGateWaiting)
			return snap.Deployment.ID
		},
		"rolling_back": func(s *stage, service string) string {
			snap := begun(s, service)
			snap.Deployment.State, snap.Deployment.Direction = rollout.StateRollingBack, rollout.Backward
			s.save(snap, rollout.EventRollbackStarted)
			return snap.Deployment.ID
		},
		"completed": over(rollout.StateCompleted, updated),
		"failed":    over(rollout.StateFailed, lastFails),
		"rolled_back": over(rollout.StateRolledBack, func(t *rollout.Target) {
			updated(t)
			t.State, t.RollingBack, t.Version = rollout.TargetRolledBack, true, t.PreviousVersion
		}),
		"aborted":   over(rollout.StateAborted, firstOnly),
		"untouched": over(rollout.StateAborted, unchanged),
		"superseded": func(s *stage, service string) string {
			id := s.created(s.request(service, "v2", 3))
			s.created(s.request(service, "v3", 3))
			return id
		},
	}
}

// commandBodies returns the path and body of each column of the table.
func commandBodies() map[string][2]string {
	return map[string][2]string{
		"pause": {"pause", ""}, "resume": {"resume", "{}"}, "abort": {"abort", `{"reason":"enough"}`},
		"rollback": {"rollback", `{"reason":"bad"}`}, "retry": {"retry", ""},
		"promote": {"promote", ""}, "promote full": {"promote", `{"full":true}`},
		"promote 1": {"promote", `{"wave":1}`}, "promote 2": {"promote", `{"wave":2}`},
	}
}

// The table: for each state the response to each command. "200 state intent direction: events", "202: events of the old
// one", or "409".
const (
	no    = "409"
	again = "202:"
)

func table() map[string]map[string]string {
	ended := func(rollback, retry string) map[string]string {
		return map[string]string{
			"pause": no, "resume": no, "promote": no, "promote full": no, "promote 1": no, "promote 2": no, "abort": no,
			"rollback": rollback, "retry": retry,
		}
	}
	aborted, untouched := ended(again, again), ended(no, again)
	aborted["abort"] = "200 aborted <nil> forward:"
	untouched["abort"] = aborted["abort"]
	return map[string]map[string]string{
		"pending": {
			"pause": "200 paused pause forward: deployment.paused", "resume": "200 pending <nil> forward:",
			"promote": no, "promote full": no, "promote 1": no, "promote 2": no,
			"abort": "200 aborted abort forward: deployment.abort_requested deployment.aborted", "rollback": no, "retry": no,
		},
		"in_progress": {
			"pause": "200 paused pause forward: deployment.paused", "resume": "200 in_progress <nil> forward:",
			"promote": no, "promote full": "200 in_progress <nil> forward: deployment.promoted", "promote 1": no, "promote 2": no,
			"abort":    "200 in_progress abort forward: deployment.abort_requested",
			"rollback": "200 rolling_back rollback backward: deployment.rollback_started", "retry": no,
		},
		"paused": {
			"pause": "200 paused pause forward:", "resume": "200 in_progress <nil> forward: deployment.resumed",
			"promote": no, "promote full": "200 paused pause forward: deployment.promoted", "promote 1": no, "promote 2": no,
			"abort":    "200 paused abort forward: deployment.abort_requested",
			"rollback": "200 rolling_back rollback backward: deployment.rollback_started", "retry": no,
		},
		"stopped": {
			"pause": "200 paused pause forward: deployment.paused", "resume": "200 in_progress <nil> forward: deployment.resumed",
			"promote": no, "promote full": "200 paused <nil> forward: deployment.promoted", "promote 1": no, "promote 2": no,
			"abort":    "200 paused abort forward: deployment.abort_requested",
			"rollback": "200 rolling_back rollback backward: deployment.rollback_started", "retry": no,
		},
		"gate": {
			"pause": "200 paused pause forward: deployment.paused", "resume": "200 paused <nil> forward:",
			"promote": "200 in_progress <nil> forward: deployment.promoted", "promote full": "200 in_progress <nil> forward: deployment.promoted",
			"promote 1": "200 in_progress <nil> forward: deployment.promoted", "promote 2": no,
			"abort":    "200 paused abort forward: deployment.abort_requested",
			"rollback": "200 rolling_back rollback backward: deployment.rollback_started", "retry": no,
		},
		"rolling_back": {
			"pause": "200 paused pause backward: deployment.paused", "resume": "200 rolling_back <nil> backward:",
			"promote": no, "promote full": no, "promote 1": no, "promote 2": no,
			"abort":    "200 rolling_back abort backward: deployment.abort_requested",
			"rollback": "200 rolling_back <nil> backward:", "retry": no,
		},
		"completed": ended(again, no), "failed": ended(again, again), "rolled_back": ended(again, again),
		"aborted": aborted, "untouched": untouched, "superseded": ended(no, no),
	}
}

func TestCommands_FollowStateTable(t *testing.T) {
	t.Parallel()
	for state, row := range table() {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			if len(row) != len(commandBodies()) {
				t.Fatalf("%d commands of %d", len(row), len(commandBodies()))
			}
			for name, want := range row {
				service := strings.ReplaceAll(name, " ", "-")
				if got := s.tryTwice(standings()[state](s, service), commandBodies()[name]); got != want {
					t.Errorf("%s while %s: %s, want %s", name, state, got, want)
				}
			}
		})
	}
}

// tryTwice posts a command and returns its outcome; the second time it must change nothing.
func (s *stage) tryTwice(id string, command [2]string) string {
	s.t.Helper()
	before := s.get("/deployments/"+id).want(s.t, http.StatusOK)
	seen := len(s.eventTypes(id, 0))
	first := s.sendCommand(id, command[0], command[1])
	events := s.eventTypes(id, seen)
	got := s.get("/deployments/"+id).want(s.t, http.StatusOK)

	again := s.sendCommand(id, command[0], command[1])
	body, tag := "the same", got.Header.Get("ETag")
	switch {
	case again.StatusCode != first.StatusCode || len(s.eventTypes(id, seen)) != len(events):
		s.t.Errorf("%s of %s again: %d, then %d with %v", command[0], id, first.StatusCode, again.StatusCode, s.eventTypes(id, seen))
	case first.StatusCode == http.StatusConflict && !bytes.Equal(before.body, got.body):
		s.t.Errorf("%s of %s was refused, and left its mark:\n%s\n%s", command[0], id, before.body, got.body)
	case first.StatusCode == http.StatusOK && (!bytes.Equal(first.body, got.body) || first.Header.Get("ETag") != tag):
		s.t.Errorf("%s of %s answers\n%s\nand then it is\n%s", command[0], id, first.body, got.body)
	case first.StatusCode != http.StatusConflict && !bytes.Equal(first.body, again.body):
		s.t.Errorf("%s of %s, %s:\n%s\n%s", command[0], id, body, first.body, again.body)
	case first.Header.Get("Location") != again.Header.Get("Location"):
		s.t.Errorf("%s of %s: %v, then %v", command[0], id, first.Header, again.Header)
	}
	switch first.StatusCode {
	case http.StatusOK:
		d := first.object(s.t)
		return strings.TrimSpace(fmt.Sprintf("200 %v %v %v: %s", d["state"], d["intent"], d["direction"], strings.Join(events, " ")))
	case http.StatusAccepted:
		if location, want := first.Header.Get("Location"), fmt.Sprintf("/deployments/%v", first.object(s.t)["id"]); location != want {
			s.t.Errorf("Location %s, want %s", location, want)
		}
		return "202:" + strings.Join(events, " ")
	default:
		if first.StatusCode == http.StatusConflict {
			first.wantProblem(s.t, http.StatusConflict, noPointer)
		}
		return fmt.Sprint(first.StatusCode)
	}
}

func TestCommands_ReportActorAndReason(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.begun("checkout", "v2", 1, func(*rollout.Target) {}).Deployment.ID
	for command, event := range map[string]string{
		"pause": rollout.EventPaused, "resume": rollout.EventResumed, "rollback": rollout.EventRollbackStarted,
	} {
		s.sendCommand(id, "resume", "").want(t, http.StatusOK)
		if command == "resume" {
			s.sendCommand(id, "pause", "").want(t, http.StatusOK)
		}
		s.sendCommand(id, command, `{"reason":"because\nof `+command+`"}`).want(t, http.StatusOK)
		if e := s.lastEvent(id); e.Type != event || e.Actor != "ann" || e.Message != "because\nof "+command {
			t.Errorf("%s: %+v", command, e)
		}
	}
}

func TestPause_PendingKeepsItsPlace(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.begun("checkout", "v1", 1, func(*rollout.Target) {})
	waiting := s.created(s.request("checkout", "v2", 1))
	s.sendCommand(waiting, "pause", "").want(t, http.StatusOK)
	for _, command := range []string{"rollback", "promote", "retry"} {
		s.sendCommand(waiting, command, "").wantProblem(t, http.StatusConflict, noPointer)
	}
	d := s.sendCommand(waiting, "resume", "").want(t, http.StatusOK).object(t)
	if d["state"] != "pending" || d["intent"] != nil || d["deadline_at"] != nil {
		t.Errorf("resumed: %v", d)
	}
	s.sendCommand(waiting, "pause", "").want(t, http.StatusOK)
	d = s.sendCommand(waiting, "abort", "").want(t, http.StatusOK).object(t)
	result, _ := d["result"].(map[string]any)
	if d["state"] != "aborted" || result["state"] != "aborted" || result["success"] != false || d["finished_at"] == nil {
		t.Errorf("called off: %v", d)
	}
	if states, _ := s.items("/deployments/"+waiting+"/targets", "state"); !slices.Equal(states, []any{"unchanged"}) {
		t.Errorf("targets %v", states)
	}
}

func TestResume_RestoresDeadline(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.begun("checkout", "v2", 1, func(*rollout.Target) {}).Deployment.ID
	if d := s.sendCommand(id, "pause", "").want(t, http.StatusOK).object(t); d["deadline_at"] != nil || d["next_action_at"] != nil {
		t.Errorf("paused: %v", d)
	}
	if d := s.sendCommand(id, "resume", "").want(t, http.StatusOK).object(t); d["deadline_at"] == nil || d["next_action_at"] == nil {
		t.Errorf("resumed: %v", d)
	}
}

func TestRollback_RepeatedRequestResumesPaused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.begun("checkout", "v2", 1, updated).Deployment.ID
	for _, step := range []struct{ command, state, intent string }{
		{"rollback", "rolling_back", "rollback"}, {"pause", "paused", "pause"}, {"rollback", "rolling_back", "rollback"},
	} {
		d := s.sendCommand(id, step.command, "").want(t, http.StatusOK).object(t)
		if d["state"] != step.state || d["intent"] != step.intent || d["direction"] != "backward" {
			t.Errorf("%s: %v %v %v", step.command, d["state"], d["intent"], d["direction"])
		}
	}
}

func TestAbort_DirectionDoesNotChange(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.begun("checkout", "v2", 1, updated).Deployment.ID
	s.sendCommand(id, "abort", "").want(t, http.StatusOK)
	for _, command := range []string{"resume", "promote", "rollback"} {
		s.sendCommand(id, command, "").wantProblem(t, http.StatusConflict, noPointer)
	}
	s.sendCommand(id, "pause", "").want(t, http.StatusOK)
}
