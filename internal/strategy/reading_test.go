package strategy_test

import (
	"slices"
	"strings"
	"testing"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

func readable() *rollout.Deployment {
	d := &rollout.Deployment{ID: "d1"}
	d.Spec.Traffic = &routing.Config{Type: "webhook", ReadBack: true}
	return d
}

func tenPercent() routing.TrafficSplit {
	return routing.TrafficSplit{ActiveSlot: "blue", NewWeight: 10, OldWeight: 90, Backends: []routing.Backend{{Target: "web-1", Weight: 10}, {Target: "web-2", Weight: 90}}}
}

func tenPercentRead() routing.Reading {
	return routing.Reading{DeploymentID: "d1", Weights: &routing.Weights{ActiveSlot: "blue", NewWeight: 10, OldWeight: 90}}
}

func TestReading_EachReportedFieldMustAgree(t *testing.T) {
	t.Parallel()
	weights := func(weights ...int) []routing.BackendReading {
		list := []routing.BackendReading{}
		for i, w := range weights {
			list = append(list, routing.BackendReading{Target: []string{"web-1", "web-2"}[i], Weight: w})
		}
		return list
	}
	for name, test := range map[string]struct {
		change  func(*routing.Reading)
		differs string
	}{
		"as wanted":  {func(*routing.Reading) {}, ""},
		"deployment": {func(r *routing.Reading) { r.DeploymentID = "d0" }, `deployment_id "d0", not "d1"`},
		"slot":       {func(r *routing.Reading) { r.Weights.ActiveSlot = "" }, `active_slot "", not "blue"`},
		"new":        {func(r *routing.Reading) { r.Weights.NewWeight = 11 }, "new_weight 11, not 10"},
		"old":        {func(r *routing.Reading) { r.Weights.OldWeight = -1 }, "old_weight missing or not an integer, not 90"},
		"backends":   {func(r *routing.Reading) { r.Backends = weights(10, 90) }, ""},
		"a backend":  {func(r *routing.Reading) { r.Backends = weights(10, 0) }, "target web-2 with weight 0, not 90"},
		"one less":   {func(r *routing.Reading) { r.Backends = weights(10) }, "target web-2 with weight missing or not an integer, not 90"},
		"no sides": {func(r *routing.Reading) {
			*r = routing.Reading{Backends: weights(10, 90)}
		}, ""},
	} {
		r, want := tenPercentRead(), tenPercent()
		test.change(&r)
		if differs := lifecycle.RouterDifference(readable(), &want, &r); differs != test.differs {
			t.Errorf("%s: %q, want %q", name, differs, test.differs)
		}
		o := rollout.Outcome{Result: rollout.CallResult{Kind: rollout.ResultDone, Message: "HTTP 200"}, Reading: &r}
		o.Action.Route.Setting = want
		kind := map[bool]rollout.ResultKind{true: rollout.ResultDone, false: rollout.ResultRetry}[test.differs == ""]
		judged := lifecycle.VerifyRouterWrite(readable(), o)
		if judged.Kind != kind || !strings.Contains(judged.Message, "read back") {
			t.Errorf("%s: judged %+v", name, judged)
		}
		if o.Result = judged; lifecycle.VerifyRouterWrite(readable(), o) != judged {
			t.Errorf("%s: judged twice %+v", name, lifecycle.VerifyRouterWrite(readable(), o))
		}
	}
}

// A router that reports the shares alone says the same whether or not a write arrived that only took a target out.
func TestReading_WeightsAloneDoNotEndDoubt(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		s := &rollout.Snapshot{Deployment: *readable()}
		call := routing.Call{Fence: 3, Setting: tenPercent()}
		s.Deployment.Progress.Router = &routing.State{Sent: &call, InDoubt: true, Reading: true, Fence: 3}
		r := tenPercentRead()
		if whole {
			r.Backends = []routing.BackendReading{{Target: "web-1", Weight: 10}, {Target: "web-2", Weight: 90}}
		}
		lifecycle.ApplyResult(s, rollout.Outcome{Action: rollout.Action{Kind: rollout.ActionReadWeights, Route: call}, Reading: &r}, simStart)
		if got := s.Deployment.Progress.Router; (got.Applied != nil) != whole || got.InDoubt || got.Reading {
			t.Errorf("whole %t: %+v", whole, got)
		}
	}
}

// A write that got no answer took out web-2, and is carried out after a newer one has restored it.
func TestReading_LateWriteIsNotOperatorHold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		answer  rollout.ResultKind
		seen    bool // the router was seen to have done the first write
		drifted bool
	}{
		{"no answer", rollout.ResultUnknown, false, true},
		{"no answer, and done", rollout.ResultUnknown, true, false},
		{"never sent", rollout.ResultNotSent, false, false},
	} {
		s := &rollout.Snapshot{Deployment: *readable(), Targets: []rollout.Target{{ID: "web-1"}, {ID: "web-2"}}}
		full := []routing.Backend{{Target: "web-1", Weight: 100}, {Target: "web-2", Weight: 100}}
		s.Deployment.Progress.Router = &routing.State{Baseline: full}
		write := func(weight int, answer rollout.ResultKind) {
			out := rollout.Action{Kind: rollout.ActionSetWeights, Route: routing.Call{Baseline: full, Setting: routing.TrafficSplit{
				Backends: []routing.Backend{{Target: "web-1", Weight: 100}, {Target: "web-2", Weight: weight}},
			}}}
			begun, _ := lifecycle.StartRouterAction(&s.Deployment, out, simStart)
			lifecycle.ApplyResult(s, rollout.Outcome{Action: begun, Result: rollout.CallResult{Kind: answer}}, simStart)
		}
		read := func() {
			look, _ := lifecycle.StartRouterAction(&s.Deployment, rollout.Action{Kind: rollout.ActionReadWeights}, simStart)
			reading := routing.Reading{Backends: []routing.BackendReading{{Target: "web-1", Weight: 100}, {Target: "web-2", Weight: 0}}}
			lifecycle.ApplyResult(s, rollout.Outcome{Action: look, Reading: &reading}, simStart)
		}
		write(0, c.answer)
		if c.seen {
			read()
		}
		write(100, rollout.ResultDone)
		read()
		r := s.Deployment.Progress.Router
		if r.Drifted != c.drifted || (len(r.Held) == 0) != c.drifted {
			t.Errorf("%s: drifted %t (%s), held %v", c.name, r.Drifted, r.Differs, r.Held)
		}
		if slices.Contains(r.TakenOut, "web-2") != c.drifted {
			t.Errorf("%s: taken out %v, which a write may restore", c.name, r.TakenOut)
		}
	}
}
