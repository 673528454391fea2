package strategy_test

import (
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/command"
)

// standing is a deployment in one state, as the planner leaves it.
func standing(state rollout.State) rollout.Deployment {
	d := rollout.Deployment{Status: rollout.Status{State: state, Direction: rollout.Forward, StartedAt: simStart}}
	d.Spec.Strategy.ProgressDeadline = duration.Duration(time.Minute)
	switch state {
	case rollout.StatePending:
		d.StartedAt = time.Time{}
	case rollout.StatePaused:
		d.Operator.Pause = true
	case rollout.StateRollingBack, rollout.StateRolledBack:
		d.Direction = rollout.Backward
	}
	if state.Terminal() {
		d.FinishedAt = simStart
	}
	return d
}

func TestCommand_AcceptedByState(t *testing.T) {
	t.Parallel()
	const yes, no = true, false
	states := []rollout.State{
		rollout.StatePending, rollout.StateInProgress, rollout.StatePaused, rollout.StateRollingBack,
		rollout.StateCompleted, rollout.StateFailed, rollout.StateRolledBack, rollout.StateAborted, rollout.StateSuperseded,
	}
	for _, c := range []struct {
		request command.Command
		taken   []bool
	}{
		{command.Command{Kind: command.Pause}, []bool{yes, yes, yes, yes, no, no, no, no, no}},
		{command.Command{Kind: command.Resume}, []bool{yes, yes, yes, yes, no, no, no, no, no}},
		{command.Command{Kind: command.Promote}, []bool{no, no, no, no, no, no, no, no, no}},
		{command.Command{Kind: command.Promote, SkipGates: true}, []bool{no, yes, yes, no, no, no, no, no, no}},
		{command.Command{Kind: command.Abort}, []bool{yes, yes, yes, yes, no, no, no, yes, no}},
		{command.Command{Kind: command.Rollback}, []bool{no, yes, yes, yes, no, no, no, no, no}},
		{command.Command{Kind: "explode"}, []bool{no, no, no, no, no, no, no, no, no}},
	} {
		for i, state := range states {
			d := standing(state)
			_, err := command.Apply(&d, c.request, simStart)
			if taken := err == nil; taken != c.taken[i] {
				t.Errorf("%s (full %t) while %s: %v", c.request.Kind, c.request.SkipGates, state, err)
			}
			if err != nil && problem.CodeOf(err) != problem.CodeConflict {
				t.Errorf("%s while %s is no conflict: %v", c.request.Kind, state, err)
			}
			if !state.CanBecome(d.State) {
				t.Errorf("%s takes it from %s to %s", c.request.Kind, state, d.State)
			}
		}
	}
}

func TestCommand_EventHasActorAndReason(t *testing.T) {
	t.Parallel()
	for kind, want := range map[command.Kind]string{
		command.Pause: rollout.EventPaused, command.Abort: rollout.EventAbortRequested,
		command.Rollback: rollout.EventRollbackStarted,
	} {
		d := standing(rollout.StateInProgress)
		events, err := command.Apply(&d, command.Command{Kind: kind, Actor: "ann", Reason: "lunch"}, simStart)
		if err != nil || len(events) != 1 {
			t.Fatalf("%s: %v, %v", kind, events, err)
		}
		e := events[0]
		if e.Type != want || e.Actor != "ann" || e.Message != "lunch" || !e.At.Equal(simStart) || e.From != "in_progress" || e.To != string(d.State) {
			t.Errorf("%s: %+v", kind, e)
		}
	}
}

func TestCommand_ShowsAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind      command.Kind
		intent    string
		state     rollout.State
		direction rollout.Direction
	}{
		{command.Pause, "pause", rollout.StatePaused, rollout.Forward},
		{command.Abort, "abort", rollout.StateInProgress, rollout.Forward},
		{command.Rollback, "rollback", rollout.StateRollingBack, rollout.Backward},
	} {
		d := standing(rollout.StateInProgress)
		if _, err := command.Apply(&d, command.Command{Kind: c.kind}, simStart); err != nil {
			t.Fatal(err)
		}
		if d.Operator.Intent() != c.intent || d.State != c.state || d.Direction != c.direction {
			t.Errorf("%s: intent %q, %s, %s", c.kind, d.Operator.Intent(), d.State, d.Direction)
		}
	}
}
