package strategy_test

import (
	"fmt"
	"slices"
	"testing"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy/lifecycle"
)

const versionCheck = `check {"name": "version", "version_pointer": "/version"}`

// failing is a script of n targets of which those at the places named, from 1, refuse their calls.
func failing(n int, places ...int) []string {
	lines := []string{fmt.Sprintf("targets %d", n), versionCheck}
	for _, place := range places {
		lines = append(lines, fmt.Sprintf(`target t%02d {"moods": ["400"]}`, place))
	}
	return lines
}

// first are the places 1 … n.
func first(n int) []int {
	places := make([]int, n)
	for i := range places {
		places[i] = i + 1
	}
	return places
}

func TestCanary_AllDeploysFailedNeverSucceeds(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 10, 30} {
		for _, threshold := range []string{"0.001", "0.5", "0.95", "1"} {
			for onFailure, want := range map[string]rollout.State{"rollback": rollout.StateRolledBack, "halt": rollout.StateFailed} {
				s := ending(t, append(failing(n, first(n)...), fmt.Sprintf(
					`strategy {"type":"canary","stage_duration":"1s","success_threshold":%s,"on_failure":%q}`, threshold, onFailure))...)
				d := &s.Deployment
				if d.State != want || d.Result.Success || d.Progress.Wave != 1 || d.Result.Metadata["stopped_at_stage"] != 1 {
					t.Errorf("%d targets, threshold %s, %s: %s in stage %d, %+v", n, threshold, onFailure, d.State, d.Progress.Wave, d.Result)
				}
			}
		}
	}
}

func TestCanary_FirstStageHasAtLeastOneTarget(t *testing.T) {
	t.Parallel()
	for n := range 10 {
		spec, err := resolved(n+1, `{"type":"canary"}`)
		if err != nil || spec.Waves[0].Size != 1 {
			t.Errorf("%d targets: %+v, %v", n+1, spec.Waves, err)
		}
	}
}

func TestCanary_StagesRoundUpToTargets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n      int
		stages string
		want   []int
	}{
		{1, `[10,25,50,100]`, []int{1, 0, 0, 0}},
		{2, `[10,25,50,100]`, []int{1, 0, 0, 1}},
		{3, `[10,25,50,100]`, []int{1, 0, 1, 1}},
		{10, `[10,25,50,100]`, []int{1, 2, 2, 5}},
		{11, `[10,25,50,100]`, []int{2, 1, 3, 5}},
		{100, `[1,2,99,100]`, []int{1, 1, 97, 1}},
		{101, `[1,2,99,100]`, []int{2, 1, 97, 1}},
		{7, `[100]`, []int{7}},
		{200, `[29,57,58,100]`, []int{58, 56, 2, 84}},
	} {
		spec, err := resolved(c.n, `{"type":"canary","stages":`+c.stages+`}`)
		var sizes []int
		for _, w := range spec.Waves {
			sizes = append(sizes, w.Size)
		}
		if err != nil || !slices.Equal(sizes, c.want) {
			t.Errorf("%s of %d: %v, want %v; %v", c.stages, c.n, sizes, c.want, err)
		}
	}
}

// TestFailures_ToleratedCountOnce has stages of 5, 10 and 20 targets, of which a fifth may fail at any time.
func TestFailures_ToleratedCountOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		failing []int
		want    rollout.State
		stage   int
	}{
		{[]int{1}, rollout.StateCompleted, 3},
		{[]int{1, 2}, rollout.StateRolledBack, 1},
		{[]int{1, 6}, rollout.StateCompleted, 3},
		{[]int{1, 6, 7}, rollout.StateRolledBack, 2},
		{[]int{6, 7}, rollout.StateCompleted, 3},
		{[]int{1, 6, 11, 12}, rollout.StateCompleted, 3},
		{[]int{1, 6, 11, 12, 13}, rollout.StateRolledBack, 3},
		{[]int{17, 18, 19, 20}, rollout.StateCompleted, 3},
	} {
		s := ending(t, append(failing(20, c.failing...),
			`strategy {"type":"canary","stages":[25,50,100],"stage_duration":"1s","success_threshold":0.8}`)...)
		d := &s.Deployment
		if d.State != c.want || d.Progress.Wave != c.stage || c.want == rollout.StateCompleted && d.Result.TargetsFailed != len(c.failing) {
			t.Errorf("%v: %s in stage %d, %s", c.failing, d.State, d.Progress.Wave, d.Reason)
		}
	}
}

// TestCanary_ThresholdReachedExactlyIsMet tries shares that no binary fraction meets.
func TestCanary_ThresholdReachedExactlyIsMet(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{7, 14, 28, 29, 55, 56, 57, 58, 95, 99} {
		for failed, want := range map[int]rollout.State{100 - percent: rollout.StateCompleted, 101 - percent: rollout.StateRolledBack} {
			s := ending(t, append(failing(100, first(failed)...),
				fmt.Sprintf(`strategy {"type":"canary","stages":[100],"stage_duration":"0s","success_threshold":0.%02d}`, percent))...)
			if s.Deployment.State != want {
				t.Errorf("%d of 100 failed, threshold 0.%02d: %s", failed, percent, s.Deployment.State)
			}
		}
	}
}

// TestCanary_ForgivenFailuresCountNeitherWay forgives two of three; of the next three one may fail, not two.
func TestCanary_ForgivenFailuresCountNeitherWay(t *testing.T) {
	t.Parallel()
	canary := `strategy {"type":"canary","stages":[30,60,100],"stage_duration":"1s","success_threshold":0.6,"on_failure":"pause"}`
	for _, c := range []struct {
		failing []int
		want    rollout.State
	}{
		{[]int{1, 2}, rollout.StateCompleted},
		{[]int{1, 2, 4}, rollout.StateCompleted},
		{[]int{1, 2, 4, 5}, rollout.StateRolledBack},
	} {
		s := ending(t, append(failing(10, c.failing...), canary, "at 20s resume", "at 60s rollback")...)
		if s.Deployment.State != c.want {
			t.Errorf("%v: %s, %s", c.failing, s.Deployment.State, s.Deployment.Reason)
		}
	}
}

func TestCanary_UpToDateTargetsComeFirst(t *testing.T) {
	t.Parallel()
	targets := named("a", "b", "c", "d", "e")
	targets[3].Version = newVersion // c is remembered to run it, b is not what the caller says
	targets[1].Version = newVersion
	remembered := map[string]storage.TargetRecord{
		"a": {Health: healthcheck.Unhealthy}, "b": {Version: oldVersion}, "c": {Version: newVersion},
	}
	for object, want := range map[string][]string{`{"type":"canary"}`: {"c", "d", "a", "b", "e"}, ``: {"a", "b", "c", "d", "e"}} {
		prepared := prepare(t, rollout.Deployment{Version: newVersion}, targets, object, remembered)
		var ids []string
		for i := range prepared.Targets {
			ids = append(ids, prepared.Targets[i].ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%s: %v, want %v", object, ids, want)
		}
	}
}

func TestResult_SuccessfulRollbackHasNoStage(t *testing.T) {
	t.Parallel()
	s := running(t, 1, `{"type":"canary"}`)
	d := &s.Deployment
	d.Kind, d.State, d.Progress.Wave = rollout.KindRollback, rollout.StateRolledBack, 4
	if r := lifecycle.NewResult(s); !r.Success || r.Metadata["stopped_at_stage"] != nil {
		t.Errorf("%+v", r)
	}
}
