package strategy_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

func FuzzStrategy(f *testing.F) {
	for _, seed := range []string{
		`{"type":"canary","stages":[1,2,3,{"percent":4,"duration":"9h"},100],"bake":"1s","success_threshold":1}`,
		`{"type":"canary","stages":[{"percent":50,"percent":100}]}`, `{"type":"canary","stages":[1e2]}`, `{"type":"canary","stages":[[],{}]}`,
		`{"type":"blue_green","max_parallel":0,"keep_old_for":"720h","bake":"720h","max_failures":"100%"}`,
		``, `{}`, `null`, `[]`, `{"type":"rolling","batch_size":[1,"10%","50%"]}`, `{"batch_size":"33%","max_failures":"10%"}`,
		`{"batch_size":[3,"1%",9999],"bake":"1h","batch_delay":"1ns","progress_deadline":"1s","on_failure":"halt"}`,
		`{"type":"canary","stages":[10,{"percent":100,"duration":"1s","promotion":"manual"}],"success_threshold":0.5}`,
		`{"type":"blue_green","max_parallel":3,"promotion":"manual","keep_old_for":"1m"}`, `{"batch_size":1e99}`, `{"a":{"b":[`,
	} {
		f.Add(7, seed)
	}
	f.Fuzz(func(t *testing.T, n int, object string) {
		n = 1 + int(uint(n)%2000)
		spec, err := resolved(n, object)
		if err != nil {
			if problem, ok := errors.AsType[*problem.Error](err); !ok || len(problem.Fields) == 0 {
				t.Fatalf("refused without saying why: %v", err)
			}
			return
		}
		checkWaves(t, n, &spec)
		checkEcho(t, n, &spec)
	})
}

// checkWaves wants waves to cover n targets exactly, and to be such as the planner can work with.
func checkWaves(t *testing.T, n int, spec *rollout.Spec) {
	t.Helper()
	covered := 0
	for i, w := range spec.Waves {
		covered += w.Size
		least := 1
		if spec.Strategy.Type == "canary" && i > 0 {
			least = 0 // a share of few targets may bring no new one
		}
		if w.Size < least || w.Parallel < 1 || w.Parallel > max(w.Size, 1) || w.Weight < 0 || w.Weight > 100 || w.Bake < 0 || w.Delay < 0 {
			t.Fatalf("wave %d is %+v", i+1, w)
		}
	}
	if last := spec.Waves[len(spec.Waves)-1]; last.Weight != 100 || last.Size == 0 && spec.Strategy.Type != "canary" {
		t.Fatalf("the last wave is %+v", last)
	}
	if covered != n {
		t.Fatalf("the waves cover %d of %d targets: %+v", covered, n, spec.Waves)
	}
	if spec.Strategy.ProgressDeadline < duration.Duration(time.Second) {
		t.Fatalf("progress deadline %s", spec.Strategy.ProgressDeadline)
	}
}

// checkEcho wants what was resolved to be a request for the same.
func checkEcho(t *testing.T, n int, spec *rollout.Spec) {
	t.Helper()
	echo, err := json.Marshal(spec.Strategy)
	if err != nil {
		t.Fatal(err)
	}
	again, err := resolved(n, string(echo))
	if err != nil || !slices.Equal(again.Waves, spec.Waves) {
		t.Fatalf("%s resolves to %+v, not %+v; %v", echo, again.Waves, spec.Waves, err)
	}
}
