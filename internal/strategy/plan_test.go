package strategy_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/command"
	"rollcall/internal/strategy/lifecycle"
	"rollcall/internal/strategy/planner"
)

// running is a deployment of n targets with one version check, whose first wave is on its way to be asked.
func running(tb testing.TB, n int, object string) *rollout.Snapshot {
	tb.Helper()
	d := rollout.Deployment{ID: "d", Version: newVersion}
	d.Spec.Deploy = rollout.Deploy{Timeout: duration.Duration(5 * time.Second), Retries: 1, Backoff: duration.Duration(time.Second)}
	d.Spec.HealthyDeadline = duration.Duration(time.Minute)
	d.Spec.Checks = []healthcheck.Check{{
		Name: "http", Type: "http", Critical: true, Interval: duration.Duration(time.Second), Timeout: duration.Duration(time.Second),
		HealthyThreshold: 1, UnhealthyThreshold: 1, VersionPointer: "/version",
	}}
	targets := make([]rollout.Target, n)
	for i := range targets {
		targets[i] = rollout.Target{ID: fmt.Sprintf("t%05d", i), Version: oldVersion}
	}
	prepared, err := strategy.Prepare(d, targets, []byte(object), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return &rollout.Snapshot{Deployment: prepared.Deployment, Targets: prepared.Targets}
}

// follow plans until no decision asks for another at once, and gives the actions begun.
func follow(tb testing.TB, s *rollout.Snapshot, now time.Time) []rollout.Action {
	tb.Helper()
	var begun []rollout.Action
	for range 100 {
		d := planner.Plan(s, now)
		dep := &s.Deployment
		dep.Status = d.Status
		for _, m := range d.Transitions {
			lifecycle.ApplyTransition(s, m, now)
		}
		for _, a := range d.Actions {
			t, complete, _ := lifecycle.StartTargetAction(dep, s.Targets[a.Target], a, now)
			s.Targets[a.Target] = t
			begun = append(begun, complete)
		}
		if !d.Replan {
			return begun
		}
	}
	tb.Fatal("it spins")
	return nil
}

func saw(version string) healthcheck.ProbeResult {
	return healthcheck.ProbeResult{Status: healthcheck.Healthy, Version: version}
}

// called takes a deployment of one target as far as its first call, and gives that call.
func called(t *testing.T, s *rollout.Snapshot) rollout.Action {
	t.Helper()
	probes := follow(t, s, simStart)
	lifecycle.ApplyResult(s, rollout.Outcome{Action: probes[0], Probe: saw(oldVersion)}, simStart)
	calls := follow(t, s, simStart)
	if len(calls) != 1 || calls[0].Kind != rollout.ActionCall {
		t.Fatalf("%+v", calls)
	}
	return calls[0]
}

func answer(a rollout.Action, kind rollout.ResultKind) rollout.Outcome {
	return rollout.Outcome{Action: a, Result: rollout.CallResult{Kind: kind, Message: string(kind)}}
}

func TestProbe_OlderThanNewestCallIsIgnored(t *testing.T) {
	t.Parallel()
	s := running(t, 1, ``)
	lifecycle.ApplyResult(s, answer(called(t, s), rollout.ResultDone), simStart)
	old := follow(t, s, simStart)[0]
	if _, err := command.Apply(&s.Deployment, command.Command{Kind: command.Rollback}, simStart); err != nil {
		t.Fatal(err)
	}
	back := follow(t, s, simStart)[0]
	lifecycle.ApplyResult(s, answer(back, rollout.ResultDone), simStart)
	fresh := follow(t, s, simStart)[0]

	if events := lifecycle.ApplyResult(s, rollout.Outcome{Action: old, Probe: saw(oldVersion)}, simStart); len(events) > 0 || s.Targets[0].Done() {
		t.Fatalf("it was believed: %+v", s.Targets[0])
	}
	lifecycle.ApplyResult(s, rollout.Outcome{Action: fresh, Probe: saw(oldVersion)}, simStart)
	if s.Targets[0].State != rollout.TargetRolledBack {
		t.Errorf("%s", s.Targets[0].State)
	}
}

func TestResult_AppliesOnce(t *testing.T) {
	t.Parallel()
	s := running(t, 1, ``)
	call := called(t, s)
	lifecycle.ApplyResult(s, answer(call, rollout.ResultRetry), simStart)
	was := s.Clone()
	if events := lifecycle.ApplyResult(s, answer(call, rollout.ResultRefused), simStart); len(events) > 0 || !reflect.DeepEqual(was.Targets, s.Targets) {
		t.Errorf("a second answer changed %+v", s.Targets[0])
	}
}

func TestCall_RefusedIsNotRetried(t *testing.T) {
	t.Parallel()
	s := running(t, 1, `{"on_failure":"halt"}`)
	lifecycle.ApplyResult(s, answer(called(t, s), rollout.ResultRefused), simStart)
	if actions := follow(t, s, simStart.Add(time.Hour)); len(actions) > 0 || s.Deployment.State != rollout.StateFailed {
		t.Errorf("%+v, %s", actions, s.Deployment.State)
	}
}

func TestTakeOver_CallInDoubtUsesNoRetry(t *testing.T) {
	t.Parallel()
	s := running(t, 1, ``)
	called(t, s)
	lifecycle.TakeOver(s, simStart)
	if target := &s.Targets[0]; target.RetriesUsed != 0 || target.Attempts != 1 || target.State != rollout.TargetUnknown || target.Call != nil {
		t.Errorf("%+v", target)
	}
}

func TestPause_EventNamesStates(t *testing.T) {
	t.Parallel()
	s := running(t, 1, `{"on_failure":"pause"}`)
	lifecycle.ApplyResult(s, answer(called(t, s), rollout.ResultRefused), simStart)
	for range 3 {
		d := planner.Plan(s, simStart)
		for _, e := range d.Events {
			if e.Type == rollout.EventPaused && (e.From != "in_progress" || e.To != "paused") {
				t.Errorf("%+v", e)
			}
		}
		s.Deployment.State, s.Deployment.Stop, s.Deployment.Progress = d.Status.State, d.Status.Stop, d.Status.Progress
	}
	if s.Deployment.State != rollout.StatePaused {
		t.Errorf("%s", s.Deployment.State)
	}
}

// TestStrategy_PackagesArePure keeps clocks, chance, I/O, logs and contexts out of the four packages.
func TestStrategy_PackagesArePure(t *testing.T) {
	t.Parallel()
	pure := []string{"cmp", "encoding/json", "errors", "fmt", "maps", "math", "slices", "strconv", "strings", "time", "rollcall/internal/duration", "rollcall/internal/healthcheck", "rollcall/internal/problem", "rollcall/internal/rollout", "rollcall/internal/routing", "rollcall/internal/storage"}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"lifecycle", "planner", "command"} {
		more, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(more) == 0 {
			t.Fatal(dir, err)
		}
		files = append(files, more...)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range tree.Imports {
			if path, _ := strconv.Unquote(spec.Path.Value); !slices.Contains(pure, path) && !strings.HasPrefix(path, "rollcall/internal/strategy") {
				t.Errorf("%s imports %s", file, path)
			}
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After"}, sel.Sel.Name) {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" {
					t.Errorf("%s asks the clock: time.%s", file, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("first_of_%d", n), func(b *testing.B) {
			s := running(b, n, `{"batch_size":"100%"}`)
			follow(b, s, simStart)
			benchmark(b, s, simStart)
		})
		b.Run(fmt.Sprintf("watch_%d", n), func(b *testing.B) {
			s := running(b, n, `{"batch_size":"100%","bake":"10m"}`)
			finishWave(b, s)
			benchmark(b, s, simStart.Add(5*time.Second))
		})
	}
}

// finishWave verifies every target of a deployment of one wave.
func finishWave(b *testing.B, s *rollout.Snapshot) {
	b.Helper()
	for _, probe := range follow(b, s, simStart) {
		lifecycle.ApplyResult(s, rollout.Outcome{Action: probe, Probe: saw(oldVersion)}, simStart)
	}
	for _, call := range follow(b, s, simStart) {
		lifecycle.ApplyResult(s, answer(call, rollout.ResultDone), simStart)
	}
	for _, probe := range follow(b, s, simStart) {
		lifecycle.ApplyResult(s, rollout.Outcome{Action: probe, Probe: saw(newVersion)}, simStart)
	}
	follow(b, s, simStart)
	if counts := rollout.CountStates(s.Targets); counts.Updated != counts.Total {
		b.Fatalf("%+v", counts)
	}
}

func benchmark(b *testing.B, s *rollout.Snapshot, now time.Time) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		planner.Plan(s, now)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(s.Targets)), "ns/target")
}
