package lifecycle

import (
	"slices"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
)

// atRest is a blue-green deployment that has given green its traffic, at a HAProxy.
func atRest() *rollout.Snapshot {
	left := routing.TrafficSplit{ActiveSlot: "green", NewWeight: 100, Backends: []routing.Backend{{Target: "b"}, {Target: "g", Weight: 100}}}
	return &rollout.Snapshot{
		Deployment: rollout.Deployment{
			ID: "d", Status: rollout.Status{State: rollout.StateCompleted, Progress: rollout.Progress{Router: &routing.State{
				Applied: &left, Sent: &routing.Call{Setting: left, Fence: 7}, Fence: 7, SplitSeq: 3, TakenOut: []string{"b"}, Instance: "1",
				Baseline: []routing.Backend{{Target: "b", Weight: 100}, {Target: "g", Weight: 100}},
			}}},
			Spec: rollout.Spec{Traffic: &routing.Config{Type: "haproxy", Timeout: duration.Duration(time.Second), Retries: 1}},
		},
		Targets: []rollout.Target{{ID: "b", Slot: "blue"}, {ID: "g", Slot: "green"}},
	}
}

// served is what HAProxy reports: the weights of blue and green, and how green is held.
func served(instance string, blue, green int, held string) *routing.Reading {
	b := func(target string, weight int, held string) routing.BackendReading {
		return routing.BackendReading{Target: target, Weight: weight, HeldBy: held, Serving: weight > 0 && held == "", Sessions: -1, Effective: 100}
	}
	return &routing.Reading{Instance: instance, Backends: []routing.BackendReading{b("b", blue, ""), b("g", green, held)}}
}

var restNow = time.UnixMilli(1_900_000_000_000).UTC()

func TestRest_LostByReloadIsWrittenAgain(t *testing.T) {
	t.Parallel()
	for name, reading := range map[string]*routing.Reading{
		"both slots serve":         served("2", 100, 100, ""),
		"only the old slot serves": served("2", 100, 0, ""),
	} {
		s := atRest()
		look := PlanResting(s, nil, reading, restNow)
		if look.Write == nil || look.Write.Route.Fence <= 7 || !look.Write.Route.Setting.Equal(s.Deployment.Progress.Router.Applied) {
			t.Fatalf("%s: the write is %+v", name, look.Write)
		}
		if types := typesOf(look.Events); !slices.Equal(types, []string{rollout.EventTrafficDrifted, rollout.EventTrafficIntent}) {
			t.Errorf("%s: events %v", name, types)
		}
		done := rollout.Outcome{Action: *look.Write, Result: rollout.CallResult{Kind: rollout.ResultDone}, Reading: served("2", 0, 100, "")}
		resting, events := ApplyRestingResult(s, look.Resting, done, restNow)
		if types := typesOf(events); !slices.Equal(types, []string{rollout.EventTrafficRestored}) || resting.Router.Differs != "" || resting.Restores != 1 {
			t.Errorf("%s: %v, %+v", name, types, resting)
		}
		if s.Deployment.Progress.Router.Fence != 7 || s.Deployment.Progress.Router.Applied == nil {
			t.Errorf("%s: the deployment was changed", name)
		}
	}
}

func TestRest_OperatorChangesStay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reading *routing.Reading
		differs bool
	}{
		"drained":            {served("1", 0, 100, "drain"), false},
		"in maintenance":     {served("1", 0, 100, "maint"), false},
		"weight 0":           {served("1", 0, 0, ""), false},
		"another weight":     {served("2", 0, 60, ""), false},
		"switched by hand":   {served("1", 100, 0, ""), true},
		"drained and routed": {served("2", 100, 100, "drain"), true},
	} {
		look := PlanResting(atRest(), nil, c.reading, restNow)
		if look.Write != nil || len(look.Events) > 0 || (look.Resting.Router.Differs != "") != c.differs {
			t.Errorf("%s: %+v", name, look)
		}
	}
}

func TestRest_WriteWithoutResultEndsByReading(t *testing.T) {
	t.Parallel()
	s := atRest()
	begun := PlanResting(s, nil, served("2", 100, 100, ""), restNow)
	done := PlanResting(s, &begun.Resting, served("2", 0, 100, ""), restNow.Add(time.Second))
	if types := typesOf(done.Events); done.Write != nil || !slices.Equal(types, []string{rollout.EventTrafficUnknown, rollout.EventTrafficRestored}) {
		t.Errorf("done: %v", types)
	}
	again := PlanResting(s, &begun.Resting, served("2", 100, 100, ""), restNow.Add(time.Second))
	if again.Write == nil || again.Write.Route.Fence <= begun.Write.Route.Fence || again.Write.Route.Attempt != 2 || again.Write.Route.WebhookID != begun.Write.Route.WebhookID {
		t.Errorf("not done: %+v", again.Write)
	}
}

func TestRest_RepeatedRestoresBackOff(t *testing.T) {
	t.Parallel()
	s, now := atRest(), restNow
	var resting *storage.RestingRouter
	writes := 0
	for range 120 { // an hour
		look := PlanResting(s, resting, served("2", 100, 100, ""), now)
		resting = &look.Resting
		if look.Write != nil {
			writes++
			after, _ := ApplyRestingResult(s, look.Resting, rollout.Outcome{
				Action: *look.Write, Result: rollout.CallResult{Kind: rollout.ResultDone}, Reading: served("2", 0, 100, ""),
			}, now)
			resting = &after
		}
		now = now.Add(30 * time.Second)
	}
	if writes < 5 || writes > 12 {
		t.Errorf("written %d times in an hour", writes)
	}
}

func typesOf(events []rollout.Event) []string {
	types := make([]string, 0, len(events))
	for i := range events {
		types = append(types, events[i].Type)
	}
	return types
}
