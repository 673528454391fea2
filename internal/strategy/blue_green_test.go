package strategy_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/lifecycle"
)

// twoSides is a script of 2n targets, the first n in the slot blue, which serves, and the others in green.
func twoSides(n int) []string {
	lines := []string{fmt.Sprintf("targets %d", 2*n), versionCheck}
	for place := range 2 * n {
		slot := "blue"
		if place >= n {
			slot = "green"
		}
		lines = append(lines, fmt.Sprintf(`target t%02d {"slot": %q}`, place+1, slot))
	}
	return lines
}

func TestBlueGreen_FailureRestoresTouchedTargets(t *testing.T) {
	t.Parallel()
	for place := 4; place <= 6; place++ {
		for _, trouble := range []string{`"moods": ["400"]`, `"bad_on": "v2"`, `"moods": ["200, nothing done"]`, `"unhealthy_after": "8s"`} {
			for _, parallel := range []int{0, 1, 2} {
				s := ending(t, append(twoSides(3), fmt.Sprintf(`target t%02d {"slot": "green", %s}`, place, trouble),
					fmt.Sprintf(`strategy {"type":"blue_green","max_parallel":%d,"keep_old_for":"1m"}`, parallel))...)
				checkRestored(t, s, fmt.Sprintf("t%02d %s, %d at once", place, trouble, parallel))
			}
		}
	}
}

// checkRestored wants every target to run what it ran before, and the old slot to serve.
func checkRestored(t *testing.T, s *rollout.Snapshot, what string) {
	t.Helper()
	d := &s.Deployment
	if d.State != rollout.StateRolledBack || d.Result.Success || d.Result.Metadata["active_slot"] != "blue" || d.Result.TargetsRolledBack == 0 {
		t.Errorf("%s: %s, %+v", what, d.State, d.Result)
	}
	for i := range s.Targets {
		target := &s.Targets[i]
		want := rollout.TargetUnchanged
		if target.Touched() {
			want = rollout.TargetRolledBack
		}
		if target.State != want || target.Version != oldVersion || target.Touched() && target.Slot != "green" {
			t.Errorf("%s: %s in %s is %s and runs %s", what, target.ID, target.Slot, target.State, target.Version)
		}
	}
}

// TestPlan_NoCallBesideFailure lets one place become free at the moment at which another target's time is over.
func TestPlan_NoCallBesideFailure(t *testing.T) {
	t.Parallel()
	s := running(t, 3, `{"type":"blue_green","max_parallel":2}`)
	for _, probe := range follow(t, s, simStart) {
		lifecycle.ApplyResult(s, rollout.Outcome{Action: probe, Probe: saw(oldVersion)}, simStart)
	}
	calls := follow(t, s, simStart)
	for _, call := range calls {
		lifecycle.ApplyResult(s, answer(call, rollout.ResultDone), simStart)
	}
	probes := follow(t, s, simStart)
	if len(calls) != 2 || len(probes) != 2 {
		t.Fatalf("%d calls, %d probes", len(calls), len(probes))
	}
	lifecycle.ApplyResult(s, rollout.Outcome{Action: probes[1], Probe: saw(newVersion)}, simStart.Add(time.Second))
	for _, a := range follow(t, s, simStart.Add(s.Deployment.Spec.HealthyDeadline.Std())) {
		if a.Kind == rollout.ActionCall && (!a.Back || a.Target == 2) {
			t.Errorf("%+v", a)
		}
	}
	if s.Deployment.State != rollout.StateRollingBack {
		t.Errorf("%s", s.Deployment.State)
	}
}

func TestBlueGreen_UpdatesIdleSlotOnly(t *testing.T) {
	t.Parallel()
	for active, idle := range map[string]string{"": "green", "blue": "green", "green": "blue", "red": "green"} {
		lines := append(twoSides(2), `strategy {"type":"blue_green"}`)
		if active != "" {
			lines = append(lines, "active_slot "+active)
		}
		s := ending(t, lines...)
		if r := s.Deployment.Result; !r.Success || r.TargetsUpdated != 2 || r.Metadata["active_slot"] != idle {
			t.Errorf("%q served: %+v", active, r)
		}
		for i := range s.Targets {
			if target := &s.Targets[i]; (target.State == rollout.TargetUpdated) != (target.Slot == idle) || (target.Wave > 0) != (target.Slot == idle) {
				t.Errorf("%q served: %s of %s is %s in wave %d", active, target.ID, target.Slot, target.State, target.Wave)
			}
		}
	}
}

func TestBlueGreen_NeedsTwoSlotsOrNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		slots []string
		fine  bool
	}{
		{[]string{"", ""}, true},
		{[]string{""}, true},
		{[]string{"a", "b"}, true},
		{[]string{"b", "a", "b"}, true},
		{[]string{"a"}, false},
		{[]string{"a", "a"}, false},
		{[]string{"a", ""}, false},
		{[]string{"", "b"}, false},
		{[]string{"a", "b", "c"}, false},
		{[]string{"a", "b", ""}, false},
	} {
		var targets []rollout.Target
		for i, slot := range c.slots {
			targets = append(targets, rollout.Target{ID: fmt.Sprint(i), Slot: slot})
		}
		_, err := strategy.Prepare(rollout.Deployment{Version: newVersion}, targets, []byte(`{"type":"blue_green"}`), nil)
		problem, _ := errors.AsType[*problem.Error](err)
		if (err == nil) != c.fine || err != nil && problem.Fields[0].Pointer != "/targets" {
			t.Errorf("%q: %v", c.slots, err)
		}
		if _, err := strategy.Prepare(rollout.Deployment{Version: newVersion}, targets, []byte(`{"type":"canary"}`), nil); err != nil {
			t.Errorf("%q in a canary: %v", c.slots, err)
		}
	}
}

func TestResult_NamesServingSlot(t *testing.T) {
	t.Parallel()
	manual := `strategy {"type":"blue_green","promotion":"manual","keep_old_for":"1m","on_failure":"halt"}`
	for _, c := range []struct {
		story []string
		want  any
	}{
		{[]string{manual, "at 10s promote"}, "green"},
		{[]string{manual, "at 10s promote full"}, "green"},
		{[]string{manual, "at 10s abort"}, "blue"},
		{[]string{manual, "at 10s rollback"}, "blue"},
		{[]string{manual, "at 10s promote", "at 20s abort"}, "blue"},
		{[]string{manual, "at 10s promote", "at 20s rollback"}, "blue"},
		{[]string{manual, `target t03 {"slot":"green","moods":["400"]}`}, "blue"},
		{[]string{manual, `target t03 {"slot":"green","unhealthy_after":"5s"}`}, "blue"},
		{[]string{manual, `target t03 {"slot":"green","unhealthy_after":"15s"}`, "at 10s promote"}, "green"}, // halted: all stays as it is
	} {
		s := ending(t, append(twoSides(2), c.story...)...)
		if got := s.Deployment.Result.Metadata["active_slot"]; got != c.want {
			t.Errorf("%q: %s, %v serves, not %v", c.story, s.Deployment.State, got, c.want)
		}
	}
	plain := ending(t, "targets 2", versionCheck, `strategy {"type":"blue_green"}`)
	if got := plain.Deployment.Result.Metadata["active_slot"]; got != nil {
		t.Errorf("without slots %v serves", got)
	}
}
