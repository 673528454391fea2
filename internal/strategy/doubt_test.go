package strategy_test

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/command"
	"rollcall/internal/strategy/lifecycle"
)

// said is an answer with a status, to a call that was made at simStart.
func said(a rollout.Action, kind rollout.ResultKind, status int, fence int64) rollout.Outcome {
	return rollout.Outcome{Action: a, Result: rollout.CallResult{
		Kind: kind, Status: status, Fence: fence, Message: "HTTP", Began: simStart,
	}}
}

// calls are the calls among actions.
func calls(actions []rollout.Action) []rollout.Action {
	var found []rollout.Action
	for _, a := range actions {
		if a.Kind == rollout.ActionCall {
			found = append(found, a)
		}
	}
	return found
}

// at follows the plan at a time after simStart; each probe sees a healthy target that runs version.
func at(t *testing.T, s *rollout.Snapshot, after time.Duration, version string) []rollout.Action {
	t.Helper()
	now := simStart.Add(after)
	var found []rollout.Action
	for range 4 {
		actions := follow(t, s, now)
		found = append(found, calls(actions)...)
		for _, a := range actions {
			if a.Kind == rollout.ActionProbe {
				lifecycle.ApplyResult(s, rollout.Outcome{Action: a, Probe: saw(version)}, now)
			}
		}
	}
	return found
}

func TestDoubt_NoCallBeforeFirstTimesOut(t *testing.T) {
	t.Parallel()
	for name, rollback := range map[string]bool{"forward": false, "back": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := running(t, 1, ``)
			first := called(t, s)
			lifecycle.ApplyResult(s, said(first, rollout.ResultUnknown, 504, 0), simStart.Add(time.Second))
			if rollback {
				if _, err := command.Apply(&s.Deployment, command.Command{Kind: command.Rollback}, simStart); err != nil {
					t.Fatal(err)
				}
			}
			for after := time.Second; after < 5*time.Second; after += 100 * time.Millisecond {
				if got := at(t, s, after, oldVersion); len(got) > 0 {
					t.Fatalf("called after %s: %+v", after, got)
				}
			}
			got := at(t, s, 5*time.Second, oldVersion)
			if len(got) != 1 || got[0].Back != rollback || !rollback && (got[0].Call.WebhookID != first.Call.WebhookID || got[0].Call.Attempt != 2) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// inheriting is a deployment of v2 whose target may still be at work for an earlier one.
func inheriting(t *testing.T, version string, until time.Duration) *rollout.Snapshot {
	t.Helper()
	s := running(t, 1, `{"progress_deadline":"3s"}`)
	s.Targets[0].InheritWork(rollout.Work{Until: simStart.Add(until), Version: version, From: oldVersion})
	return s
}

func TestDoubt_WaitsForEarlierDeploymentsWork(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v3", newVersion} {
		s := inheriting(t, version, 30*time.Second)
		for after := time.Duration(0); after < 30*time.Second; after += time.Second {
			if got := at(t, s, after, oldVersion); len(got) > 0 || s.Deployment.State != rollout.StateInProgress {
				t.Fatalf("%s after %s: %+v", s.Deployment.State, after, got)
			}
		}
		if !strings.Contains(s.Deployment.Reason, "a call of an earlier deployment may still be running at") {
			t.Errorf("the reason is %q", s.Deployment.Reason)
		}
		if got := at(t, s, 30*time.Second, oldVersion); len(got) != 1 {
			t.Errorf("called when it is over: %+v", got)
		}
	}
}

func TestDoubt_EarlierVersionSeenEndsWait(t *testing.T) {
	t.Parallel()
	for version, calls := range map[string]int{"v3": 1, newVersion: 0} {
		s := inheriting(t, version, 30*time.Second)
		for after := time.Duration(0); after < 10*time.Second; after += time.Second {
			at(t, s, after, oldVersion)
		}
		got := at(t, s, 10*time.Second, version)
		if len(got) != calls || s.Deployment.Direction != rollout.Forward || s.Targets[0].PreviousVersion != version {
			t.Errorf("%s: %d calls, %s: %s", version, len(got), s.Deployment.State, s.Deployment.Reason)
		}
	}
}

func TestDoubt_VersionMayChangeDuringEarlierCall(t *testing.T) {
	t.Parallel()
	s := inheriting(t, oldVersion, 5*time.Second)
	s.Targets[0].History.From = "v0"
	at(t, s, time.Second, newVersion) // it runs what is wanted, and is on its way to something else
	if got := &s.Targets[0]; got.Phase != rollout.PhaseNew {
		t.Fatalf("%s %s", got.Phase, got.State)
	}
	if got := at(t, s, 5*time.Second, oldVersion); len(got) != 1 || got[0].Call.PreviousVersion != oldVersion {
		t.Errorf("%+v", got)
	}
}

func TestDoubt_AbortIgnoresEarlierDeployment(t *testing.T) {
	t.Parallel()
	s := inheriting(t, "v3", time.Hour)
	at(t, s, time.Second, oldVersion)
	if _, err := command.Apply(&s.Deployment, command.Command{Kind: command.Abort}, simStart); err != nil {
		t.Fatal(err)
	}
	at(t, s, 2*time.Second, oldVersion)
	if s.Deployment.State != rollout.StateAborted || s.Targets[0].State != rollout.TargetUnchanged {
		t.Errorf("%s, %s", s.Deployment.State, s.Targets[0].State)
	}
}

func TestDoubt_DesiredVersionEndsIt(t *testing.T) {
	t.Parallel()
	s := running(t, 1, ``)
	lifecycle.ApplyResult(s, said(called(t, s), rollout.ResultUnknown, 502, 0), simStart.Add(time.Second))
	at(t, s, time.Second, oldVersion)
	at(t, s, 2*time.Second, newVersion)
	if got := at(t, s, 3*time.Second, newVersion); len(got) > 0 || s.Deployment.State != rollout.StateCompleted {
		t.Errorf("%s, %+v", s.Deployment.State, got)
	}
}

func TestDoubt_AbortWaitsForWork(t *testing.T) {
	t.Parallel()
	s := running(t, 1, ``)
	lifecycle.ApplyResult(s, said(called(t, s), rollout.ResultUnknown, 504, 0), simStart.Add(time.Second))
	if _, err := command.Apply(&s.Deployment, command.Command{Kind: command.Abort}, simStart); err != nil {
		t.Fatal(err)
	}
	at(t, s, 4900*time.Millisecond, oldVersion)
	if s.Deployment.State.Terminal() {
		t.Fatalf("%s while the call may be at work", s.Deployment.State)
	}
	at(t, s, 5*time.Second, oldVersion)
	if s.Deployment.State != rollout.StateAborted {
		t.Errorf("%s: %s", s.Deployment.State, s.Deployment.Reason)
	}
}

func TestDoubt_LockAfterOwnCallIsNoFailure(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]rollout.ResultKind{
		409: rollout.ResultFenced, 423: rollout.ResultRefused, 429: rollout.ResultRetry,
	} {
		s := running(t, 1, ``)
		lifecycle.ApplyResult(s, said(called(t, s), rollout.ResultUnknown, 504, 0), simStart.Add(time.Second))
		second := at(t, s, 5*time.Second, oldVersion)
		if len(second) != 1 {
			t.Fatalf("%d: %+v", status, second)
		}
		now := simStart.Add(6 * time.Second)
		lifecycle.ApplyResult(s, said(second[0], kind, status, 0), now)
		if s.Targets[0].Done() {
			t.Fatalf("%d: %s, %s", status, s.Targets[0].State, s.Targets[0].Error)
		}
		at(t, s, 9*time.Second, newVersion)
		at(t, s, 10*time.Second, newVersion)
		if s.Deployment.State != rollout.StateCompleted {
			t.Errorf("%d: %s, %s", status, s.Deployment.State, s.Deployment.Reason)
		}
	}
}

func TestDoubt_LastLockIsProbedAtOnce(t *testing.T) {
	t.Parallel()
	s := running(t, 1, `{"on_failure":"halt"}`)
	lifecycle.ApplyResult(s, said(called(t, s), rollout.ResultUnknown, 504, 0), simStart.Add(time.Second))
	for after := 5 * time.Second; !s.Targets[0].Done() && after < 5*time.Minute; after += time.Second {
		for _, a := range at(t, s, after, oldVersion) {
			locked := said(a, rollout.ResultRetry, 429, 0)
			locked.Result.RetryAfter = time.Minute
			lifecycle.ApplyResult(s, locked, simStart.Add(after))
		}
	}
	if got := &s.Targets[0]; got.State != rollout.TargetFailed || !strings.Contains(got.Error, "still runs "+oldVersion) {
		t.Errorf("%s: %s", got.State, got.Error)
	}
}

func TestDoubt_EndWaitsForFailedTargetsWork(t *testing.T) {
	t.Parallel()
	for _, how := range []string{`{"on_failure":"halt"}`, `{"max_failures":1}`} {
		s := running(t, 1, how)
		s.Deployment.Spec.Deploy.Timeout = duration.Duration(3 * time.Minute)
		lifecycle.ApplyResult(s, said(called(t, s), rollout.ResultAccepted, 202, 0), simStart.Add(time.Second))
		for after := time.Second; after < 170*time.Second; after += time.Second {
			at(t, s, after, oldVersion)
		}
		if s.Targets[0].State != rollout.TargetFailed || s.Deployment.State.Terminal() {
			t.Fatalf("%s: %s, %s", how, s.Targets[0].State, s.Deployment.State)
		}
		for after := 170 * time.Second; after < 190*time.Second; after += time.Second {
			at(t, s, after, newVersion)
		}
		if !s.Deployment.State.Terminal() || s.Targets[0].Version != newVersion {
			t.Errorf("%s: %s, runs %s", how, s.Deployment.State, s.Targets[0].Version)
		}
	}
}

func TestDoubt_ForcedCallIsMadeToUpToDateTarget(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]rollout.ResultKind{504: rollout.ResultUnknown, 409: rollout.ResultFenced} {
		s := running(t, 1, ``)
		s.Deployment.Spec.Force, s.Targets[0].Version = true, newVersion
		at(t, s, 0, newVersion)
		first := s.Targets[0].Call
		if first == nil {
			t.Fatal("no call")
		}
		lifecycle.ApplyResult(s, said(rollout.Action{Kind: rollout.ActionCall, Call: *first}, kind, status, 0), simStart.Add(time.Second))
		made := 0
		for after := time.Second; after < 30*time.Second; after += time.Second {
			for _, a := range at(t, s, after, newVersion) {
				made++
				lifecycle.ApplyResult(s, said(a, rollout.ResultDone, 200, 0), simStart.Add(after))
			}
		}
		if made != 1 || s.Deployment.State != rollout.StateCompleted {
			t.Errorf("%d: %d further calls, %s", status, made, s.Deployment.State)
		}
	}
}

func TestDoubt_ForcedCallWithoutResultIsUnknown(t *testing.T) {
	t.Parallel()
	s := running(t, 1, `{"on_failure":"halt"}`)
	s.Deployment.Spec.Force, s.Targets[0].Version = true, newVersion
	for after := time.Duration(0); after < 5*time.Minute; after += time.Second {
		for _, a := range at(t, s, after, newVersion) {
			lifecycle.ApplyResult(s, said(a, rollout.ResultUnknown, 504, 0), simStart.Add(after+time.Second))
		}
	}
	if got := s.Targets[0].State; got != rollout.TargetUnknown {
		t.Errorf("%s: %s", got, s.Targets[0].Error)
	}
}

func TestFence_409IsRetriedOnceWithHigherFence(t *testing.T) {
	t.Parallel()
	for _, named := range []int64{0, 7_000_000_000_000} {
		s := running(t, 1, `{"on_failure":"halt"}`)
		first := called(t, s)
		events := lifecycle.ApplyResult(s, said(first, rollout.ResultFenced, 409, named), simStart)
		if len(events) != 1 || !strings.Contains(events[0].Message, "retrying once") {
			t.Errorf("%+v", events)
		}
		again := at(t, s, time.Second, oldVersion)
		if len(again) != 1 || again[0].Call.Fence <= max(named, simStart.UnixMilli()) || again[0].Call.WebhookID != first.Call.WebhookID {
			t.Fatalf("%d: %+v", named, again)
		}
		lifecycle.ApplyResult(s, said(again[0], rollout.ResultFenced, 409, named*2), simStart.Add(time.Second))
		if got := at(t, s, time.Hour, oldVersion); len(got) > 0 || s.Deployment.State != rollout.StateFailed {
			t.Errorf("%d: %+v, %s", named, got, s.Deployment.State)
		}
	}
}

func TestCall_NotStartedInTimeUsesNoRetry(t *testing.T) {
	t.Parallel()
	s := running(t, 1, ``)
	lifecycle.ApplyResult(s, said(called(t, s), rollout.ResultNotStarted, 0, 0), simStart)
	if target := &s.Targets[0]; target.Touched() || target.RetriesUsed != 0 {
		t.Errorf("%+v", target)
	}
	if got := at(t, s, 0, oldVersion); len(got) != 1 || got[0].Call.Attempt != 2 {
		t.Errorf("%+v", got)
	}
}

func TestFence_Router409IsRetriedOnceHigher(t *testing.T) {
	t.Parallel()
	s := running(t, 1, ``)
	d := &s.Deployment
	d.Spec.Traffic = &routing.Config{Type: "webhook", Timeout: duration.Duration(time.Second), Retries: 3}
	write := func() rollout.Action {
		a := rollout.Action{Kind: rollout.ActionSetWeights, Target: -1, Check: -1, Route: routing.Call{
			Setting: routing.TrafficSplit{NewWeight: 0, OldWeight: 100},
		}}
		begun, _ := lifecycle.StartRouterAction(d, a, simStart)
		return begun
	}
	first := write()
	lifecycle.ApplyResult(s, said(first, rollout.ResultFenced, 409, 0), simStart)
	if tries := d.Progress.Router.RetriesUsed; tries != 1 {
		t.Fatalf("it is not tried again: %d tries", tries)
	}
	second := write()
	if second.Route.Fence <= simStart.UnixMilli() || second.Route.WebhookID != first.Route.WebhookID {
		t.Errorf("%+v after %+v", second.Route, first.Route)
	}
	lifecycle.ApplyResult(s, said(second, rollout.ResultFenced, 409, 1<<50), simStart)
	if tries := d.Progress.Router.RetriesUsed; tries <= d.Spec.Traffic.Retries {
		t.Errorf("a second 409 is tried again: %d tries", tries)
	}
}

func TestOnNoAnswer_DecidesWhatFollows(t *testing.T) {
	t.Parallel()
	lost := func(t *testing.T, how rollout.OnNoAnswer) (*rollout.Snapshot, rollout.Action) {
		t.Helper()
		s := running(t, 1, ``)
		s.Deployment.Spec.Deploy.OnNoAnswer = how
		first := called(t, s)
		lifecycle.ApplyResult(s, said(first, rollout.ResultUnknown, 504, 0), simStart.Add(time.Second))
		return s, first
	}
	// It runs the new version already, which a target that is not asked cannot say.
	s, first := lost(t, rollout.OnNoAnswerResend)
	if got := at(t, s, 4*time.Second, newVersion); len(got) > 0 {
		t.Fatalf("sent again before its time was over: %+v", got)
	}
	if got := at(t, s, 5*time.Second, newVersion); len(got) != 1 || got[0].Call.WebhookID != first.Call.WebhookID || got[0].Call.Attempt != 2 {
		t.Errorf("resend: %+v", got)
	}
	s, _ = lost(t, rollout.OnNoAnswerStop)
	at(t, s, 2*time.Second, oldVersion)
	if target := &s.Targets[0]; target.Attempts != 1 || target.RollingBack || target.State != rollout.TargetUnknown {
		t.Errorf("stop: %s after %d attempts", target.State, target.Attempts)
	}
	s, _ = lost(t, rollout.OnNoAnswerAsk)
	if got := at(t, s, 5*time.Second, newVersion); len(got) > 0 {
		t.Errorf("ask: %+v", got)
	}
}

// The first call may have brought the version by the time the second is sent without a question: that the target reports it does
// not show that the second is over.
func TestOnNoAnswer_ResentCallIsWaitedForBeforeRollback(t *testing.T) {
	t.Parallel()
	s := running(t, 1, ``)
	s.Deployment.Spec.Deploy.OnNoAnswer = rollout.OnNoAnswerResend
	lifecycle.ApplyResult(s, said(called(t, s), rollout.ResultUnknown, 504, 0), simStart.Add(time.Second))
	resent := at(t, s, 5*time.Second, oldVersion)
	if len(resent) != 1 {
		t.Fatalf("not sent again: %+v", resent)
	}
	second := said(resent[0], rollout.ResultUnknown, 504, 0)
	second.Result.Began = simStart.Add(5 * time.Second)
	lifecycle.ApplyResult(s, second, simStart.Add(6*time.Second))
	s.Deployment.Operator.Rollback = true
	if got := at(t, s, 7*time.Second, newVersion); len(got) > 0 {
		t.Errorf("called while the second call may be running: %+v", got)
	}
	if got := at(t, s, time.Minute, newVersion); len(got) != 1 || got[0].Call.Version != oldVersion {
		t.Errorf("no call back after its time: %+v", got)
	}
}
