package strategy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy/lifecycle"
)

// TestCanary_OldSideKeepsWeightWhileServing looks at every write of canaries that go well. The targets
// of the last stage leave before they are called: from then on no old one is in service, and only verified targets are.
func TestCanary_OldSideKeepsWeightWhileServing(t *testing.T) {
	t.Parallel()
	for n := 2; n <= 12; n++ {
		for _, stages := range []string{"[10,50,100]", "[50,100]", "[1,99,100]", "[10,25,50,100]"} {
			s := played(t, fmt.Sprintf("targets %d", n), versionCheck, "router",
				fmt.Sprintf(`strategy {"type":"canary","stages":%s,"stage_duration":"1s","max_parallel":100}`, stages))
			if s.stored.Deployment.State != rollout.StateCompleted || len(s.storedBook.ids) < 3 {
				t.Fatalf("%d targets, %s: %s after %d settings", n, stages, s.stored.Deployment.State, len(s.storedBook.ids))
			}
			checkWhole(t, s)
		}
	}
}

// checkWhole wants the first setting that gives the new side everything to leave none of the last wave in service, and
// those after it to bring them back one after the other, as they are verified.
func checkWhole(t *testing.T, s *sim) {
	t.Helper()
	last, back := 0, -1
	for i := range s.stored.Targets {
		last = max(last, s.stored.Targets[i].Wave)
	}
	for _, e := range s.log {
		if e.Type != rollout.EventTrafficIntent || *e.Call.NewWeight < 100 {
			continue
		}
		w, in := s.storedBook.ids[e.Call.WebhookID], 0
		for i, b := range w.Backends {
			switch wave := s.stored.Targets[i].Wave; {
			case wave < last && b.Weight == 0:
				t.Errorf("%s of wave %d is verified and has no traffic: %+v", b.Target, wave, w)
			case wave == last && b.Weight > 0:
				in++
			}
		}
		if back < 0 && in > 0 || in < back {
			t.Errorf("the new side has it all, and %d of the last wave serve, after %d: %+v", in, back, w)
		}
		back = in
	}
	if back < 1 {
		t.Error("the new side never had it all, with everybody in service")
	}
}

// played is the simulation of a script after its end.
func played(t *testing.T, lines ...string) *sim {
	t.Helper()
	st, err := readStory(strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := st.stage()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.guarded(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRolling_FirstOfManyGetsTraffic(t *testing.T) {
	t.Parallel()
	s := running(t, 120, ``)
	s.Deployment.Spec.Traffic = &routing.Config{Type: "webhook", Timeout: duration.Duration(time.Second), Retries: 3}
	var setting routing.TrafficSplit
	for after := time.Duration(0); s.Targets[1].Attempts == 0 && after < time.Minute; after += 100 * time.Millisecond {
		for _, a := range begunAt(t, s, simStart.Add(after)) {
			o := rollout.Outcome{Action: a, Result: rollout.CallResult{Kind: rollout.ResultDone}}
			switch {
			case a.Kind == rollout.ActionSetWeights:
				setting = a.Route.Setting
			case a.Kind == rollout.ActionProbe && s.Targets[a.Target].Touched():
				o.Probe = saw(newVersion)
			case a.Kind == rollout.ActionProbe:
				o.Probe = saw(oldVersion)
			}
			lifecycle.ApplyResult(s, o, simStart.Add(after))
		}
	}
	if len(setting.Backends) == 0 || setting.Backends[0].Weight == 0 || setting.Backends[1].Weight != 0 {
		t.Errorf("%+v", setting.Backends)
	}
}
