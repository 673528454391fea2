package strategy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
)

// resolved prepares a deployment of n targets with a strategy, and nothing else.
func resolved(n int, object string) (rollout.Spec, error) {
	targets := make([]rollout.Target, n)
	for i := range targets {
		targets[i].ID = fmt.Sprintf("t%d", i)
	}
	prepared, err := strategy.Prepare(rollout.Deployment{Version: newVersion}, targets, json.RawMessage(object), nil)
	return prepared.Deployment.Spec, err
}

func TestParams_ErrorPointsAtParameter(t *testing.T) {
	t.Parallel()
	size := `must be a whole number from 1 to 10000, or a percentage such as "25%"`
	rises := "must be more than the stage before it and at most 100"
	stage := "must be a whole percentage or an object with percent, duration and promotion"
	threshold := "must be a number above 0 and at most 1"
	failures := `must be a whole number from 0 to 10000, or a percentage such as "25%"`
	for _, c := range []struct{ object, pointer, detail string }{
		{`{"type":"big_bang"}`, "/strategy/type", `"big_bang" is not a strategy; known are rolling, blue_green, canary`},
		{`{"type":7}`, "/strategy/type", "must be a string"},
		{`{"type":null}`, "/strategy/type", "must be a string"},
		{`[]`, "/strategy", "must be an object"},
		{`null`, "/strategy", "must be an object"},
		{`"rolling"`, "/strategy", "must be an object"},
		{`{"bach_size":1}`, "/strategy/bach_size", "is not a parameter of rolling"},
		{`{"a/b~c":1}`, "/strategy/a~1b~0c", "is not a parameter of rolling"},
		{`{"stages":[10,100]}`, "/strategy/stages", "is not a parameter of rolling"},
		{`{"batch_size":0}`, "/strategy/batch_size", size},
		{`{"batch_size":-1}`, "/strategy/batch_size", size},
		{`{"batch_size":1.5}`, "/strategy/batch_size", size},
		{`{"batch_size":10001}`, "/strategy/batch_size", size},
		{`{"batch_size":null}`, "/strategy/batch_size", size},
		{`{"batch_size":true}`, "/strategy/batch_size", size},
		{`{"batch_size":{}}`, "/strategy/batch_size", size},
		{`{"batch_size":"10"}`, "/strategy/batch_size", size},
		{`{"batch_size":"0%"}`, "/strategy/batch_size", size},
		{`{"batch_size":"101%"}`, "/strategy/batch_size", size},
		{`{"batch_size":"-5%"}`, "/strategy/batch_size", size},
		{`{"batch_size":"5 %"}`, "/strategy/batch_size", size},
		{`{"batch_size":"2.5%"}`, "/strategy/batch_size", size},
		{`{"batch_size":"+5%"}`, "/strategy/batch_size", size},
		{`{"batch_size":"05%"}`, "/strategy/batch_size", size},
		{`{"batch_size":[]}`, "/strategy/batch_size", "must have 1 to 100 sizes"},
		{`{"batch_size":[1,0]}`, "/strategy/batch_size/1", size},
		{`{"batch_size":[1,null]}`, "/strategy/batch_size/1", size},
		{`{"batch_size":[[1]]}`, "/strategy/batch_size/0", size},
		{`{"batch_size":[3,2]}`, "/strategy/batch_size/1", "must not be smaller than the size before it"},
		{`{"batch_delay":-1}`, "/strategy/batch_delay", "must be a string"},
		{`{"batch_delay":"-1s"}`, "/strategy/batch_delay", "must be at least 0s"},
		{`{"batch_delay":"1 minute"}`, "/strategy/batch_delay", `"1 minute" is not a duration such as "30s" or "1m30s"`},
		{`{"bake":"721h"}`, "/strategy/bake", "must be at most 720h0m0s"},
		{`{"bake":null}`, "/strategy/bake", "must be a string"},
		{`{"progress_deadline":"999ms"}`, "/strategy/progress_deadline", "must be at least 1s"},
		{`{"progress_deadline":"0s"}`, "/strategy/progress_deadline", "must be at least 1s"},
		{`{"on_failure":"explode"}`, "/strategy/on_failure", "must be one of rollback, pause, halt"},
		{`{"on_failure":""}`, "/strategy/on_failure", "must be one of rollback, pause, halt"},
		{`{"max_failures":-1}`, "/strategy/max_failures", failures},
		{`{"max_failures":"x%"}`, "/strategy/max_failures", failures},
		{`{"max_failures":null}`, "/strategy/max_failures", failures},
		{`{"type":"canary","max_failures":1}`, "/strategy/max_failures", "is not a parameter of canary"},
		{`{"type":"canary","batch_size":1}`, "/strategy/batch_size", "is not a parameter of canary"},
		{`{"type":"canary","stages":[]}`, "/strategy/stages", "must be a list of 1 to 100 stages"},
		{`{"type":"canary","stages":null}`, "/strategy/stages", "must be a list of 1 to 100 stages"},
		{`{"type":"canary","stages":10}`, "/strategy/stages", "must be a list of 1 to 100 stages"},
		{`{"type":"canary","stages":[10,50]}`, "/strategy/stages", "the last stage must be 100"},
		{`{"type":"canary","stages":[50,25,100]}`, "/strategy/stages/1", rises},
		{`{"type":"canary","stages":[10,10,100]}`, "/strategy/stages/1", rises},
		{`{"type":"canary","stages":[0,100]}`, "/strategy/stages/0", rises},
		{`{"type":"canary","stages":[-5,100]}`, "/strategy/stages/0", rises},
		{`{"type":"canary","stages":[10,101]}`, "/strategy/stages/1", rises},
		{`{"type":"canary","stages":[100,100]}`, "/strategy/stages/1", rises},
		{`{"type":"canary","stages":["10%",100]}`, "/strategy/stages/0", stage},
		{`{"type":"canary","stages":[2.5,100]}`, "/strategy/stages/0", stage},
		{`{"type":"canary","stages":[null,100]}`, "/strategy/stages/0", stage},
		{`{"type":"canary","stages":[[10],100]}`, "/strategy/stages/0", stage},
		{`{"type":"canary","stages":[{},100]}`, "/strategy/stages/0/percent", "must be a whole number"},
		{`{"type":"canary","stages":[{"percent":"10"},100]}`, "/strategy/stages/0/percent", "must be a whole number"},
		{`{"type":"canary","stages":[{"percent":10,"promotion":"later"},100]}`, "/strategy/stages/0/promotion", "must be one of auto, manual"},
		{`{"type":"canary","stages":[{"percent":10,"duration":5},100]}`, "/strategy/stages/0/duration", "must be a string"},
		{`{"type":"canary","stages":[{"percent":10,"duration":"-1s"},100]}`, "/strategy/stages/0/duration", "must be at least 0s"},
		{`{"type":"canary","stages":[10,{"percent":100,"pause":true}]}`, "/strategy/stages/1/pause", "is not a parameter of a stage"},
		{`{"type":"canary","stages":[10,{"percent":100,"a/b":true}]}`, "/strategy/stages/1/a~1b", "is not a parameter of a stage"},
		{`{"type":"canary","stage_duration":"-1s"}`, "/strategy/stage_duration", "must be at least 0s"},
		{`{"type":"canary","success_threshold":0}`, "/strategy/success_threshold", threshold},
		{`{"type":"canary","success_threshold":1.01}`, "/strategy/success_threshold", threshold},
		{`{"type":"canary","success_threshold":95}`, "/strategy/success_threshold", threshold},
		{`{"type":"canary","success_threshold":"95%"}`, "/strategy/success_threshold", threshold},
		{`{"type":"canary","success_threshold":null}`, "/strategy/success_threshold", threshold},
		{`{"type":"blue_green","max_parallel":-1}`, "/strategy/max_parallel", "must be from 0 to 10000"},
		{`{"type":"blue_green","max_parallel":10001}`, "/strategy/max_parallel", "must be from 0 to 10000"},
		{`{"type":"blue_green","max_parallel":"50%"}`, "/strategy/max_parallel", "must be a whole number"},
		{`{"type":"blue_green","max_parallel":null}`, "/strategy/max_parallel", "must be a whole number"},
		{`{"type":"blue_green","promotion":"yes"}`, "/strategy/promotion", "must be one of auto, manual"},
		{`{"type":"blue_green","promotion":true}`, "/strategy/promotion", "must be a string"},
		{`{"type":"blue_green","keep_old_for":"-1s"}`, "/strategy/keep_old_for", "must be at least 0s"},
		{`{"type":"blue_green","keep_old_for":60}`, "/strategy/keep_old_for", "must be a string"},
		{`{"type":"blue_green","stages":[100]}`, "/strategy/stages", "is not a parameter of blue_green"},
	} {
		_, err := resolved(5, c.object)
		invalid, ok := errors.AsType[*problem.Error](err)
		switch {
		case !ok || invalid.Code != problem.CodeInvalid:
			t.Errorf("%s: %v", c.object, err)
		case invalid.Fields[0] != problem.FieldError{Pointer: c.pointer, Detail: c.detail}:
			t.Errorf("%s: %+v", c.object, invalid.Fields)
		}
	}
}

func TestParams_AllErrorsAreReported(t *testing.T) {
	t.Parallel()
	_, err := resolved(5, `{"batch_size":[0,"x"],"bake":"soon","on_failure":"no","what":1,"ever":2}`)
	problem, _ := errors.AsType[*problem.Error](err)
	var pointers []string
	for _, p := range problem.Fields {
		pointers = append(pointers, strings.TrimPrefix(p.Pointer, "/strategy/"))
	}
	slices.Sort(pointers)
	if want := []string{"bake", "batch_size/0", "batch_size/1", "ever", "on_failure", "what"}; !slices.Equal(pointers, want) {
		t.Errorf("named %v, want %v", pointers, want)
	}
}

func TestParams_Defaults(t *testing.T) {
	t.Parallel()
	for _, object := range []string{"", `{}`, `{"type":"rolling"}`} {
		spec, err := resolved(3, object)
		if err != nil {
			t.Fatal(err)
		}
		echo, err := json.Marshal(spec.Strategy)
		want := `{"type":"rolling","on_failure":"rollback","max_failures":0,"progress_deadline":"10m0s","bake":"0s","batch_size":1,"batch_delay":"0s"}`
		if err != nil || string(echo) != want {
			t.Errorf("%q resolves to %s, %v", object, echo, err)
		}
	}
}

func TestParams_DefaultsOfOtherStrategies(t *testing.T) {
	t.Parallel()
	for object, want := range map[string]string{
		`{"type":"blue_green"}`: `{"type":"blue_green","on_failure":"rollback","max_failures":0,"progress_deadline":"10m0s","bake":"0s",` +
			`"max_parallel":0,"promotion":"auto","keep_old_for":"0s"}`,
		`{"type":"canary"}`: `{"type":"canary","on_failure":"rollback","progress_deadline":"10m0s","bake":"0s","max_parallel":0,"stages":[` +
			`{"percent":10,"duration":"1m0s","promotion":"auto"},{"percent":25,"duration":"1m0s","promotion":"auto"},` +
			`{"percent":50,"duration":"1m0s","promotion":"auto"},{"percent":100,"duration":"1m0s","promotion":"auto"}],` +
			`"stage_duration":"1m0s","success_threshold":0.95}`,
	} {
		spec, err := resolved(3, object)
		if err != nil {
			t.Fatal(err)
		}
		if echo, err := json.Marshal(spec.Strategy); err != nil || string(echo) != want {
			t.Errorf("%s resolves to %s, %v", object, echo, err)
		}
	}
}

func TestParams_ResolvedValuesAreStable(t *testing.T) {
	t.Parallel()
	for _, object := range []string{
		`{"batch_size":[1,"25%"],"max_failures":"35%","bake":"90s"}`,
		`{"type":"blue_green","max_parallel":3,"max_failures":"20%","promotion":"manual","keep_old_for":"1h","bake":"1s"}`,
		`{"type":"canary","stages":[5,{"percent":40,"promotion":"manual"},{"percent":100,"duration":"0s"}],"stage_duration":"7s","success_threshold":0.5}`,
	} {
		spec, err := resolved(10, object)
		if err != nil {
			t.Fatal(err)
		}
		echo, err := json.Marshal(spec.Strategy)
		if err != nil {
			t.Fatal(err)
		}
		again, err := resolved(10, string(echo))
		if err != nil || !slices.Equal(again.Waves, spec.Waves) || !reflect.DeepEqual(again.Strategy, spec.Strategy) {
			t.Errorf("%s resolves to %+v, %v", echo, again, err)
		}
	}
}

func TestParams_MaxFailuresRoundsDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n      int
		object string
		want   int
	}{
		{10, `"0%"`, 0}, {10, `"9%"`, 0}, {10, `"10%"`, 1}, {10, `"19%"`, 1}, {10, `"100%"`, 10}, {3, `"33%"`, 0}, {3, `"34%"`, 1}, {3, `7`, 7},
	} {
		spec, err := resolved(c.n, `{"max_failures":`+c.object+`}`)
		if err != nil || *spec.Strategy.MaxFailures != c.want {
			t.Errorf("%s of %d is %v, want %d; %v", c.object, c.n, spec.Strategy.MaxFailures, c.want, err)
		}
	}
}

func TestRolling_BatchSizesBecomeWaves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n      int
		object string
		want   []int
	}{
		{1, `1`, []int{1}},
		{3, `10`, []int{3}},
		{5, `2`, []int{2, 2, 1}},
		{10, `"25%"`, []int{2, 2, 2, 2, 2}},
		{3, `"1%"`, []int{1, 1, 1}},
		{3, `"99%"`, []int{2, 1}},
		{7, `"100%"`, []int{7}},
		{10, `[1,3]`, []int{1, 3, 3, 3}},
		{10, `[1,"10%","50%"]`, []int{1, 1, 5, 3}},
		{10, `[3,"10%",4]`, []int{3, 3, 4}}, // a percentage of few targets never shrinks a wave
		{2, `[5,6]`, []int{2}},
		{4, `[1,1,100]`, []int{1, 1, 2}},
	} {
		spec, err := resolved(c.n, `{"batch_size":`+c.object+`,"batch_delay":"3s","bake":"5s"}`)
		var sizes []int
		for _, w := range spec.Waves {
			sizes = append(sizes, w.Size)
		}
		if err != nil || !slices.Equal(sizes, c.want) {
			t.Errorf("%s of %d: %v, want %v; %v", c.object, c.n, sizes, c.want, err)
		}
	}
}

func TestRolling_LastWaveHasNoDelay(t *testing.T) {
	t.Parallel()
	spec, err := resolved(4, `{"batch_size":2,"batch_delay":"3s","bake":"5s"}`)
	want := []rollout.Wave{
		{Size: 2, Parallel: 2, Weight: 50, Bake: duration.Duration(5 * time.Second), Delay: duration.Duration(3 * time.Second)},
		{Size: 2, Parallel: 2, Weight: 100, Bake: duration.Duration(5 * time.Second)},
	}
	if err != nil || !slices.Equal(spec.Waves, want) {
		t.Errorf("%+v, %v", spec.Waves, err)
	}
}

func TestDescribe_ListsEveryParameter(t *testing.T) {
	t.Parallel()
	for _, kind := range strategy.DescribeAll() {
		object := map[string]json.RawMessage{"type": json.RawMessage(fmt.Sprintf("%q", kind.Type))}
		for _, p := range kind.Parameters {
			if p.Type == "" || p.Description == "" || !json.Valid([]byte(p.Default)) {
				t.Errorf("%s: %+v", kind.Type, p)
			}
			object[p.Name] = json.RawMessage(p.Default)
		}
		defaults, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		named, err := resolved(10, string(defaults))
		if err != nil {
			t.Errorf("the defaults of %s are refused: %v", kind.Type, err)
		}
		if unnamed, err := resolved(10, fmt.Sprintf(`{"type":%q}`, kind.Type)); err != nil || !slices.Equal(unnamed.Waves, named.Waves) {
			t.Errorf("the defaults of %s are others than it says: %+v, %v", kind.Type, unnamed.Waves, err)
		}
	}
}
