package strategy_test

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/command"
	"rollcall/internal/strategy/planner"
)

// guarded is a protected deployment that is not approved.
func guarded(t *testing.T) *rollout.Snapshot {
	t.Helper()
	d := rollout.Deployment{Version: "v2", RequestedBy: "ann"}
	d.Spec.Protected = true
	n, err := strategy.Prepare(d, []rollout.Target{{ID: "web-1"}, {ID: "web-2"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &rollout.Snapshot{Deployment: n.Deployment, Targets: n.Targets}
}

// settle plans until nothing changes any more.
func settle(s *rollout.Snapshot, now time.Time) (last rollout.Decision, events []rollout.Event) {
	for range 10 {
		last = planner.Plan(s, now)
		events = append(events, last.Events...)
		s.Deployment.Status = last.Status
		if !last.Replan {
			break
		}
	}
	return last, events
}

func TestProtected_TouchesNothingBeforeApproval(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	if !strings.Contains(s.Deployment.Reason, "someone other") {
		t.Errorf("it does not say what it waits for: %q", s.Deployment.Reason)
	}
	decision, events := settle(s, simStart)
	if s.Deployment.State != rollout.StatePaused || !s.Deployment.StartedAt.IsZero() || len(decision.Actions) > 0 ||
		!s.Deployment.DeadlineAt.IsZero() || !s.Deployment.NextActionAt.IsZero() || !decision.WakeAt.After(simStart) {
		t.Errorf("%+v", decision)
	}
	if len(events) != 1 || events[0].Type != rollout.EventGateWaiting {
		t.Errorf("events %+v", events)
	}
	if decision, events := settle(s, simStart.Add(time.Hour)); len(events)+len(decision.Actions) > 0 {
		t.Errorf("an hour later: %+v", decision)
	}
}

func TestProtected_PromoteStartsOnce(t *testing.T) {
	t.Parallel()
	for _, planned := range []bool{false, true} { // whether a replica has seen it before
		s := guarded(t)
		if planned {
			settle(s, simStart)
		}
		for i := range 3 {
			events, err := command.Apply(&s.Deployment, command.Command{Kind: command.Promote, Actor: "bob"}, simStart)
			if err != nil || (len(events) > 0) != (i == 0) || s.Deployment.Operator.ApprovedBy != "bob" {
				t.Errorf("promote %d: %+v, %v, %+v", i+1, events, err, s.Deployment.Operator)
			}
		}
		if s.Deployment.State != rollout.StatePending || s.Deployment.Operator.Promoted != 0 {
			t.Errorf("%s, %+v", s.Deployment.State, s.Deployment.Operator)
		}
		decision, _ := settle(s, simStart.Add(time.Minute))
		if s.Deployment.State != rollout.StateInProgress || len(decision.Actions) == 0 {
			t.Errorf("it does not begin: %+v", decision)
		}
	}
}

func TestProtected_ResumeDoesNotApprove(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	for _, kind := range []command.Kind{command.Pause, command.Resume, command.Resume} {
		if _, err := command.Apply(&s.Deployment, command.Command{Kind: kind, Actor: "ann"}, simStart); err != nil {
			t.Fatal(kind, err)
		}
		if decision, _ := settle(s, simStart); len(decision.Actions) > 0 || !s.Deployment.StartedAt.IsZero() {
			t.Errorf("%s began it: %+v", kind, decision)
		}
	}
	for _, r := range []command.Command{{SkipGates: true}, {Wave: 1}} {
		r.Kind = command.Promote
		if _, err := command.Apply(&s.Deployment, r, simStart); problem.CodeOf(err) != problem.CodeConflict {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestProtected_PauseOutlastsApproval(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	for _, kind := range []command.Kind{command.Pause, command.Promote} {
		if _, err := command.Apply(&s.Deployment, command.Command{Kind: kind, Actor: "bob"}, simStart); err != nil {
			t.Fatal(err)
		}
	}
	if decision, _ := settle(s, simStart); len(decision.Actions) > 0 || s.Deployment.State != rollout.StatePaused {
		t.Errorf("%s: %+v", s.Deployment.State, decision)
	}
	if _, err := command.Apply(&s.Deployment, command.Command{Kind: command.Resume}, simStart); err != nil {
		t.Fatal(err)
	}
	if decision, _ := settle(s, simStart); len(decision.Actions) == 0 {
		t.Errorf("resumed, it does not begin: %+v", decision)
	}
}

func TestProtected_RollbackNeedsNoApproval(t *testing.T) {
	t.Parallel()
	s := ended(t, rollout.StateCompleted, "")
	s.Deployment.Spec.Protected = true
	if n, err := command.NewRollback(s); err != nil || n.Deployment.Spec.Protected {
		t.Errorf("%+v, %v", n.Deployment.Spec, err)
	}
}
