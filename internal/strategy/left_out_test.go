package strategy_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/lifecycle"
)

// behindWebhook is a deployment of n targets behind a router that cannot be read, of which ran run the new version already;
// the deployment before has taken out some.
func behindWebhook(t *testing.T, n, ran int, how string, out ...string) *rollout.Snapshot {
	t.Helper()
	d := running(t, 1, ``).Deployment
	d.Kind = rollout.KindDeploy
	d.Spec.Traffic = &routing.Config{Type: "webhook", Timeout: duration.Duration(time.Second), Retries: 3}
	var targets []rollout.Target
	for i := range n {
		target := rollout.Target{ID: fmt.Sprintf("t%d", i), Version: oldVersion}
		if i < ran {
			target.Version = newVersion
		}
		targets = append(targets, target)
	}
	prepared, err := strategy.Prepare(d, targets, []byte(how), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &rollout.Snapshot{Deployment: prepared.Deployment, Targets: prepared.Targets}
	before := routing.Call{}
	for _, id := range out {
		before.Setting.Backends = append(before.Setting.Backends, routing.Backend{Target: id})
	}
	s.RouterBefore = &routing.State{Sent: &before, TakenOut: out}
	lifecycle.TakeOver(s, simStart)
	return s
}

// firstWeights follows the plan until the first write to the router.
func firstWeights(t *testing.T, s *rollout.Snapshot) map[string]int {
	t.Helper()
	for after := time.Duration(0); after < time.Minute; after += 100 * time.Millisecond {
		for _, a := range begunAt(t, s, simStart.Add(after)) {
			o := rollout.Outcome{Action: a}
			switch a.Kind {
			case rollout.ActionSetWeights:
				weights := map[string]int{}
				for _, b := range a.Route.Setting.Backends {
					weights[b.Target] = b.Weight
				}
				return weights
			case rollout.ActionProbe:
				o.Probe = saw(s.Targets[a.Target].Version)
			default:
				t.Fatalf("%+v before the router", a)
			}
			lifecycle.ApplyResult(s, o, simStart.Add(after))
		}
	}
	t.Fatal("the router is never written to")
	return nil
}

func TestCanary_WidespreadVersionKeepsServing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		n, ran  int
		out     []string
		serving int
	}{
		"a minority leaves":             {n: 10, ran: 4, serving: 6},
		"half of them leave":            {n: 2, ran: 1, serving: 1},
		"most keep serving":             {n: 10, ran: 9, serving: 10},
		"the one that failed stays out": {n: 10, ran: 9, out: []string{"t9"}, serving: 9},
		"what was stopped stays out":    {n: 5, ran: 3, out: []string{"t0", "t1", "t2"}, serving: 2},
	} {
		s := behindWebhook(t, c.n, c.ran, `{"type":"canary","stages":[10,50,100]}`, c.out...)
		serving := 0
		weights := firstWeights(t, s)
		for _, weight := range weights {
			if weight > 0 {
				serving++
			}
		}
		if serving != c.serving {
			t.Errorf("%s: %v", name, weights)
		}
	}
}

func TestRouter_EarlierFailureIsNoLastResort(t *testing.T) {
	t.Parallel()
	if got := firstWeights(t, behindWebhook(t, 2, 0, `{}`, "t1")); got["t0"] == 0 || got["t1"] != 0 {
		t.Errorf("%v, and t1 has failed before", got)
	}
}

func TestRouter_EarlierFailureWaitsForItsWave(t *testing.T) {
	t.Parallel()
	if got := firstWeights(t, behindWebhook(t, 3, 0, `{}`, "t1")); got["t1"] != 0 || got["t2"] == 0 {
		t.Errorf("%v, and t1 has failed before", got)
	}
}

func TestRolling_HalfOfServingTargetsStay(t *testing.T) {
	t.Parallel()
	s := behindWebhook(t, 6, 0, `{"batch_size":2}`, "t2", "t3", "t4", "t5")
	least := 6
	for after := time.Duration(0); after < 10*time.Second; after += 100 * time.Millisecond {
		for _, a := range begunAt(t, s, simStart.Add(after)) {
			o := rollout.Outcome{Action: a, Result: rollout.CallResult{Kind: rollout.ResultDone}}
			switch a.Kind {
			case rollout.ActionProbe:
				o.Probe = saw(s.Targets[a.Target].Version)
			case rollout.ActionSetWeights:
				out := 0
				for _, b := range a.Route.Setting.Backends {
					if b.Weight == 0 {
						out++
					}
				}
				least = min(least, 6-out)
			case rollout.ActionCall:
				if s.Targets[0].OutOfService() && s.Targets[1].OutOfService() {
					t.Fatal("both that serve are called at once")
				}
			}
			lifecycle.ApplyResult(s, o, simStart.Add(after))
		}
	}
	if least != 1 || s.Deployment.State != rollout.StateCompleted {
		t.Errorf("%d served, %s", least, s.Deployment.State)
	}
}
