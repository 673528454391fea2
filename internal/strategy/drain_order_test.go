package strategy_test

import (
	"testing"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// The first target of the list is probed late, when the second one is out of traffic already.
func TestRouter_DrainedTargetIsCalledFirst(t *testing.T) {
	t.Parallel()
	s := behindWebhook(t, 3, 0, `{"type":"canary","stages":[67,100],"max_parallel":1}`)
	begun := begunAt(t, s, simStart)
	done := rollout.CallResult{Kind: rollout.ResultDone}
	lifecycle.ApplyResult(s, rollout.Outcome{Action: begun["route"], Result: done}, simStart)
	lifecycle.ApplyResult(s, rollout.Outcome{Action: begun["probe t1"], Probe: saw(oldVersion)}, simStart)
	write, found := begunAt(t, s, simStart)["route"]
	if !found || write.Route.Setting.Backends[1].Weight != 0 {
		t.Fatalf("%+v", write)
	}
	lifecycle.ApplyResult(s, rollout.Outcome{Action: begun["probe t0"], Probe: saw(oldVersion)}, simStart)
	lifecycle.ApplyResult(s, rollout.Outcome{Action: write, Result: done}, simStart)
	calls := begunAt(t, s, simStart)
	if _, called := calls["call t1"]; !called || len(calls) != 1 {
		t.Errorf("after t1 was taken out: %+v", calls)
	}
}
