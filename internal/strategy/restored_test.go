package strategy_test

import (
	"strings"
	"testing"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/command"
	"rollcall/internal/strategy/planner"
)

func TestRollback_UnrestoredTargetFailsIt(t *testing.T) {
	t.Parallel()
	for failed, want := range map[bool]rollout.State{false: rollout.StateRolledBack, true: rollout.StateFailed} {
		n, err := command.NewRollback(ended(t, rollout.StateFailed, `{"type":"rolling","batch_size":2}`))
		if err != nil {
			t.Fatal(err)
		}
		s := &rollout.Snapshot{Deployment: n.Deployment, Targets: n.Targets}
		s.Deployment.State, s.Deployment.StartedAt = rollout.StateInProgress, simStart
		s.Deployment.Progress = rollout.Progress{Wave: 1, LastProgressAt: simStart}
		for i := range s.Targets {
			touch(&s.Targets[i], rollout.TargetUpdated, "v1")
		}
		if failed {
			s.Targets[0].State, s.Targets[0].Error = rollout.TargetFailed, "400: gone"
		}
		got := planner.Plan(s, simStart).Status
		if got.State != want || failed && !strings.Contains(got.Reason, "400: gone") {
			t.Errorf("failed %t: %s, %q", failed, got.State, got.Reason)
		}
	}
}
