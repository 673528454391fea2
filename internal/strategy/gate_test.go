package strategy_test

import (
	"testing"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/command"
)

// atGate is a deployment that waits at the second of three gates.
func atGate() rollout.Deployment {
	d := standing(rollout.StateInProgress)
	d.State, d.Progress.Wave, d.Progress.Gate, d.Progress.PausedAt = rollout.StatePaused, 2, 2, simStart
	d.Operator.Promoted = 1
	d.Spec.Waves = []rollout.Wave{{Gate: rollout.GateNext}, {Gate: rollout.GateNext}, {Gate: rollout.GateNext}, {}}
	return d
}

func TestPromote_ManyAtOneGateMoveOneStep(t *testing.T) {
	t.Parallel()
	d := atGate()
	for i := range 5 {
		events, err := command.Apply(&d, command.Command{Kind: command.Promote, Actor: "ann"}, simStart)
		if err != nil || (len(events) > 0) != (i == 0) || d.Operator.Promoted != 2 || d.Operator.SkipGates {
			t.Errorf("promote %d: %+v, %v, %+v", i+1, events, err, d.Operator)
		}
		if i == 0 && (events[0].Type != rollout.EventPromoted || events[0].Wave != 2 || events[0].Actor != "ann") {
			t.Errorf("%+v", events[0])
		}
	}
}

func TestPromote_OpensNamedGate(t *testing.T) {
	t.Parallel()
	for _, promoted := range []bool{false, true} { // whether the gate of wave 2 was opened a moment ago
		for wave, fine := range []bool{true, true, true, false, false, false} {
			d := atGate()
			if promoted {
				d.Operator.Promoted = 2
			}
			events, err := command.Apply(&d, command.Command{Kind: command.Promote, Wave: wave}, simStart)
			opens := fine && !promoted && wave != 1
			if (err == nil) != fine || (len(events) > 0) != opens || d.Operator.Promoted != 2 && (opens || promoted) {
				t.Errorf("wave %d, promoted %t: %d events, %v, %+v", wave, promoted, len(events), err, d.Operator)
			}
		}
	}
}

func TestPromote_WaveWithoutGateIsConflict(t *testing.T) {
	t.Parallel()
	d := atGate()
	d.Spec.Waves[0].Gate, d.Operator.Promoted = rollout.GateNone, 2
	if _, err := command.Apply(&d, command.Command{Kind: command.Promote, Wave: 1}, simStart); problem.CodeOf(err) != problem.CodeConflict {
		t.Errorf("%v", err)
	}
}

func TestPromote_FullIsKeptAfterPromotes(t *testing.T) {
	t.Parallel()
	for _, wave := range []int{0, 1, 2} {
		d := atGate()
		d.Operator.Promoted = 2
		full := command.Command{Kind: command.Promote, SkipGates: true, Wave: wave}
		if events, err := command.Apply(&d, full, simStart); err != nil || len(events) != 1 || !d.Operator.SkipGates {
			t.Errorf("wave %d: %d events, %v, %+v", wave, len(events), err, d.Operator)
		}
		if events, err := command.Apply(&d, full, simStart); err != nil || len(events) > 0 {
			t.Errorf("wave %d again: %d events, %v", wave, len(events), err)
		}
	}
}

func TestCommand_AtGate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind  command.Kind
		state rollout.State
		gate  int
		event bool
	}{
		{command.Pause, rollout.StatePaused, 2, true},
		{command.Resume, rollout.StatePaused, 2, false},
		{command.Abort, rollout.StatePaused, 2, true},
		{command.Rollback, rollout.StateRollingBack, 0, true},
	} {
		d := atGate()
		events, err := command.Apply(&d, command.Command{Kind: c.kind}, simStart)
		if err != nil || d.State != c.state || d.Progress.Gate != c.gate || (len(events) > 0) != c.event {
			t.Errorf("%s: %s at gate %d, %d events, %v", c.kind, d.State, d.Progress.Gate, len(events), err)
		}
	}
}

// TestGate_DeadlineStandsStill opens a gate hours later than the progress deadline would have allowed.
func TestGate_DeadlineStandsStill(t *testing.T) {
	t.Parallel()
	for _, bake := range []string{"0s", "5s", "3h"} {
		s := ending(t, "targets 2", versionCheck, "at 4h promote",
			`strategy {"type":"canary","stages":[{"percent":50,"promotion":"manual"},100],"stage_duration":"0s","progress_deadline":"10s","bake":"`+bake+`"}`)
		if s.Deployment.State != rollout.StateCompleted || s.Deployment.FinishedAt.Before(simStart.Add(4*time.Hour)) {
			t.Errorf("bake %s: %s, %s", bake, s.Deployment.State, s.Deployment.Reason)
		}
	}
}

func TestGate_LastStageMayHaveOne(t *testing.T) {
	t.Parallel()
	s := ending(t, "targets 2", versionCheck, "at 1h promote",
		`strategy {"type":"canary","stages":[50,{"percent":100,"promotion":"manual"}],"stage_duration":"1s"}`)
	if s.Deployment.State != rollout.StateCompleted || !s.Deployment.FinishedAt.Equal(simStart.Add(time.Hour)) {
		t.Errorf("%s at %s", s.Deployment.State, s.Deployment.FinishedAt)
	}
}
