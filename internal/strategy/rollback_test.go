package strategy_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/command"
)

// ended is a deployment of three targets that has ended: t1 updated, t2 failed on the way, t3 never called.
func ended(t *testing.T, state rollout.State, how string) *rollout.Snapshot {
	t.Helper()
	var targets []rollout.Target
	for _, id := range []string{"t1", "t2", "t3"} {
		targets = append(targets, rollout.Target{ID: id, Address: "http://" + id, Metadata: map[string]any{"zone": "a"}})
	}
	n, err := strategy.Prepare(rollout.Deployment{
		ID: "d1", Service: "checkout", Environment: "production", Version: "v2", Kind: rollout.KindDeploy,
		Labels: map[string]string{"commit": "abc"}, DeploySecret: "s",
		Spec: rollout.Spec{Force: true, OnConflict: rollout.OnConflictReject, HealthyDeadline: duration.Duration(time.Minute)},
	}, targets, []byte(how), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &rollout.Snapshot{Deployment: n.Deployment, Targets: n.Targets}
	s.Deployment.State, s.Deployment.FinishedAt = state, simStart
	touch(&s.Targets[0], rollout.TargetUpdated, "v2")
	touch(&s.Targets[1], rollout.TargetFailed, "")
	s.Targets[2].State = rollout.TargetUnchanged
	return s
}

func touch(t *rollout.Target, state rollout.TargetState, version string) {
	t.State, t.Phase, t.CallsSent, t.Fence, t.Version, t.PreviousVersion = state, rollout.PhaseSettled, 1, 7, version, "v1"
}

func TestNewRollback_DoubtfulFirstUntouchedNever(t *testing.T) {
	t.Parallel()
	s := ended(t, rollout.StateFailed, `{"type":"rolling","batch_size":2,"bake":"5s","progress_deadline":"3m"}`)
	n, err := command.NewRollback(s)
	if err != nil {
		t.Fatal(err)
	}
	d := n.Deployment
	if len(n.Targets) != 2 || n.Targets[0].ID != "t2" || n.Targets[1].ID != "t1" || n.Targets[0].Position != 1 || n.Targets[0].Fence != 7 ||
		n.Targets[0].PreviousVersion != "" || n.Targets[0].CallsSent != 0 || n.Targets[0].DesiredVersion != "v1" {
		t.Errorf("targets %+v", n.Targets)
	}
	if d.Kind != rollout.KindRollback || d.RollbackOf != "d1" || d.Version != "v1" || d.ID != "" || d.DeploySecret != "s" || len(d.Labels) > 0 ||
		d.Spec.Force || d.Spec.OnConflict != rollout.OnConflictQueue {
		t.Errorf("deployment %+v", d)
	}
	strategyOf := d.Spec.Strategy
	if len(d.Spec.Waves) != 1 || d.Spec.LargestWave() != 2 || d.Spec.Waves[0].Bake != 0 ||
		strategyOf.ProgressDeadline != duration.Duration(3*time.Minute) || d.Spec.HealthyDeadline != duration.Duration(time.Minute) {
		t.Errorf("spec %+v", d.Spec)
	}
	if s.Deployment.Kind != rollout.KindDeploy || !s.Deployment.Spec.Force || s.Targets[0].DesiredVersion != "v2" {
		t.Error("the finished record has changed")
	}
}

func TestNewRollback_VersionIsSharedOne(t *testing.T) {
	t.Parallel()
	s := ended(t, rollout.StateFailed, "")
	s.Targets[0].PreviousVersion = "v0"
	n, err := command.NewRollback(s)
	if err != nil || n.Deployment.Version != "" || n.Targets[0].DesiredVersion != "v1" || n.Targets[1].DesiredVersion != "v0" {
		t.Errorf("%v: %+v", err, n)
	}
	s.Targets[0].PreviousVersion = ""
	if n, err = command.NewRollback(s); err != nil || n.Deployment.Version != "v1" || len(n.Targets) != 1 {
		t.Errorf("%v: %+v", err, n)
	}
}

func TestFollowUp_RefusedUnlessEnded(t *testing.T) {
	t.Parallel()
	for _, state := range []rollout.State{rollout.StatePending, rollout.StateInProgress, rollout.StatePaused, rollout.StateRollingBack, rollout.StateSuperseded} {
		for name, build := range map[string]func(*rollout.Snapshot) (storage.NewDeployment, error){"undo": command.NewRollback, "retry": command.NewRetry} {
			if _, err := build(ended(t, state, "")); problem.CodeOf(err) != problem.CodeConflict {
				t.Errorf("%s while %s: %v", name, state, err)
			}
		}
	}
}

func TestNewRetry_TakesUnfinishedTargets(t *testing.T) {
	t.Parallel()
	const how = `{"type":"rolling","batch_size":[1,2],"on_failure":"pause","max_failures":1,"bake":"5s","batch_delay":"2s"}`
	back := func(s *rollout.Snapshot) {
		s.Deployment.Direction = rollout.Backward
		for i := range 2 {
			s.Targets[i].State, s.Targets[i].RollingBack = rollout.TargetRolledBack, true
		}
	}
	for _, c := range []struct {
		name   string
		state  rollout.State
		change func(s *rollout.Snapshot)
		want   []string
	}{
		{"failed", rollout.StateFailed, func(*rollout.Snapshot) {}, []string{"t2", "t3"}},
		{"aborted", rollout.StateAborted, func(*rollout.Snapshot) {}, []string{"t2", "t3"}},
		{"completed with a failure", rollout.StateCompleted, func(*rollout.Snapshot) {}, []string{"t2"}},
		{"rolled back", rollout.StateRolledBack, back, []string{"t1", "t2", "t3"}},
		{"slots without a switch", rollout.StateFailed, func(s *rollout.Snapshot) { s.Targets[0].Slot = "blue" }, []string{"t2", "t3"}},
	} {
		s := ended(t, c.state, how)
		c.change(s)
		n, err := command.NewRetry(s)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range n.Targets {
			got = append(got, n.Targets[i].ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		d := n.Deployment
		if d.Version != "v2" || d.Kind != rollout.KindDeploy || !maps.Equal(d.Labels, s.Deployment.Labels) || !d.Spec.Force ||
			d.Spec.RetryOf != "d1" || !reflect.DeepEqual(d.Spec.Strategy, s.Deployment.Spec.Strategy) {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

func TestNewRetry_KeepsResolvedStrategy(t *testing.T) {
	t.Parallel()
	for _, how := range []string{
		`{"type":"canary","stages":[20,{"percent":100,"duration":"3s","promotion":"manual"}],"success_threshold":0.5,"bake":"1s"}`,
		`{"type":"blue_green","promotion":"manual","max_parallel":2,"max_failures":1,"keep_old_for":"5s"}`,
		`{"type":"rolling","batch_size":["20%","50%"],"max_failures":"40%"}`,
	} {
		s := ended(t, rollout.StateAborted, how)
		n, err := command.NewRetry(s)
		if err != nil || len(n.Targets) != 2 || !reflect.DeepEqual(n.Deployment.Spec.Strategy, s.Deployment.Spec.Strategy) {
			t.Errorf("%v: %+v\nwas %+v", err, n.Deployment.Spec.Strategy, s.Deployment.Spec.Strategy)
		}
	}
}

func TestNewRetry_UpdatesSameSlot(t *testing.T) {
	t.Parallel()
	s := slotted(t, rollout.StateFailed)
	n, err := command.NewRetry(s)
	if err != nil || len(n.Targets) != 4 || n.Deployment.Spec.ActiveSlot != "blue" || n.Deployment.Spec.IdleSlot != "green" {
		t.Errorf("%v: %+v", err, n.Deployment.Spec)
	}
	for i := range n.Targets {
		if target := &n.Targets[i]; (target.Wave == 1) != (target.Slot == "green") {
			t.Errorf("%s in %s has wave %d", target.ID, target.Slot, target.Wave)
		}
	}
}

func TestNewRollback_SwitchesNoSlot(t *testing.T) {
	t.Parallel()
	for state, want := range map[rollout.State]string{rollout.StateCompleted: "green", rollout.StateFailed: "blue"} {
		n, err := command.NewRollback(slotted(t, state))
		if err != nil || n.Deployment.Spec.ActiveSlot != want || n.Deployment.Spec.IdleSlot != "" || len(n.Targets) != 2 {
			t.Errorf("%s: %v: %+v", state, err, n.Deployment.Spec)
		}
	}
}

// slotted is an ended blue-green deployment to green, where one target failed and one was updated.
func slotted(t *testing.T, state rollout.State) *rollout.Snapshot {
	t.Helper()
	targets := []rollout.Target{{ID: "b1", Slot: "blue"}, {ID: "b2", Slot: "blue"}, {ID: "g1", Slot: "green"}, {ID: "g2", Slot: "green"}}
	n, err := strategy.Prepare(rollout.Deployment{ID: "d1", Version: "v2", Kind: rollout.KindDeploy}, targets, []byte(`{"type":"blue_green"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &rollout.Snapshot{Deployment: n.Deployment, Targets: n.Targets}
	s.Deployment.State = state
	for i := range s.Targets {
		switch target := &s.Targets[i]; target.ID {
		case "g1":
			touch(target, rollout.TargetUpdated, "v2")
		case "g2":
			touch(target, rollout.TargetFailed, "")
		default:
			target.State = rollout.TargetUnchanged
		}
	}
	return s
}

func TestNewRetry_RefusedWhenFinished(t *testing.T) {
	t.Parallel()
	s := ended(t, rollout.StateCompleted, "")
	touch(&s.Targets[1], rollout.TargetUpdated, "v2") // the third was no part of the goal
	if _, err := command.NewRetry(s); problem.CodeOf(err) != problem.CodeConflict {
		t.Errorf("completed: %v", err)
	}
	s.Deployment.Kind, s.Deployment.State = rollout.KindRollback, rollout.StateRolledBack
	if _, err := command.NewRetry(s); problem.CodeOf(err) != problem.CodeConflict {
		t.Errorf("a rollback: %v", err)
	}
}

func TestAbortBeforeStart_OnlyBeforeStart(t *testing.T) {
	t.Parallel()
	d := rollout.Deployment{Status: rollout.Status{State: rollout.StatePending, Direction: rollout.Forward}}
	d.Operator = rollout.OperatorIntent{Abort: true, Actor: "ann", Reason: "wrong version"}
	events := command.AbortBeforeStart(&d, simStart)
	if len(events) != 1 || events[0].Actor != "ann" || events[0].Message != "wrong version" || events[0].To != "aborted" || d.State != rollout.StateAborted {
		t.Errorf("%+v, %s", events, d.State)
	}
	if again := command.AbortBeforeStart(&d, simStart); len(again) != 0 {
		t.Errorf("twice: %+v", again)
	}
	d = rollout.Deployment{Status: rollout.Status{State: rollout.StateInProgress, StartedAt: simStart}, Operator: d.Operator}
	if events := command.AbortBeforeStart(&d, simStart); len(events) != 0 || d.State != rollout.StateInProgress {
		t.Errorf("%+v, %s", events, d.State)
	}
}
