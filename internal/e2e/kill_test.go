package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/slowtest"
	"rollcall/internal/testtarget"
)

// phase is a moment to kill the server at.
type phase struct {
	name string
	// reached waits for it.
	reached func(p *process, b *balancer, id string)
	// write, when it is not nil, is the write that the router does without answering it before the kill.
	write func(routerWrite) bool
}

func phases() []phase {
	until := func(what string, is func(*deployment) bool) func(*process, *balancer, string) {
		return func(p *process, _ *balancer, id string) { p.await(id, what, is) }
	}
	inTheRouter := func(p *process, b *balancer, id string) {
		p.await(id, "in a write", func(*deployment) bool {
			return slices.ContainsFunc(b.all(), func(w routerWrite) bool { return w.NewWeight > 0 })
		})
	}
	return []phase{
		{"in the first wave", until("calling", func(d *deployment) bool { return d.Progress.InFlight > 0 }), nil},
		{"in the bake", until("baking", func(d *deployment) bool { return d.Progress.Weight > 0 }), nil},
		{"in a write to the router", inTheRouter, func(w routerWrite) bool { return w.NewWeight > 0 }},
		{"in the very first write", func(p *process, b *balancer, id string) {
			p.await(id, "in a write", func(*deployment) bool { return len(b.all()) > 0 })
		}, func(routerWrite) bool { return true }},
	}
}

// TestKill_AtAnyMomentEndsTheSame kills it once at each phase of deployments that succeed, and of some that
// are rolled back by an unhealthy target.
func TestKill_AtAnyMomentEndsTheSame(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	for name, strategy := range map[string]object{"canary": stages("500ms"), "blue_green": blueGreen(object{"keep_old_for": "1s"})} {
		for _, at := range phases() {
			for _, unhealthy := range []bool{false, true} {
				if unhealthy && at.name != "in the bake" {
					continue // before it nothing could become unhealthy
				}
				t.Run(name+" "+at.name+map[bool]string{true: ", with an unhealthy target"}[unhealthy], func(t *testing.T) {
					t.Parallel()
					f := mixed(t, 6)
					b := newBalancer(t, f, twoSides)
					body := inSlots(routed(b, "v2", strategy))
					killAndContinue(t, b, body, at, unhealthy)
				})
			}
		}
	}
}

func killAndContinue(t *testing.T, b *balancer, body object, at phase, unhealthy bool) {
	t.Helper()
	database, state := dbtest.New(t), "--state-dir="+t.TempDir()
	if at.write != nil {
		b.faulty(func(w routerWrite) fault {
			if at.write(w) {
				return hangsLate
			}
			return obeys
		})
	}
	p := serve(t, database, state)
	d := p.post(body)
	at.reached(p, b, d.ID)
	p.kill()
	b.faulty(nil)
	if unhealthy {
		for _, target := range b.fleet.Targets {
			target.SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v2" })
		}
	}
	p = serve(t, database, state)
	end := p.awaitEnd(d.ID)
	b.assertDrained(t)
	assertTruth(p, d.ID, b.fleet)
	slots := part[object](body, "strategy")["type"] == "blue_green"
	if unhealthy {
		assertEnd(p, end, "rolled_back", false)
		b.assertSettled(p, d.ID, 0)
		if slots { // switched already: the way back is one write
			assertRuns(t, b.fleet, half(own, allRun("v2"), len(b.fleet.Targets)))
		} else {
			assertRuns(t, b.fleet, own)
		}
		return
	}
	assertEnd(p, end, "completed", true)
	b.assertSettled(p, d.ID, 100)
	if slots {
		assertRuns(t, b.fleet, half(own, allRun("v2"), len(b.fleet.Targets)))
	} else {
		assertRuns(t, b.fleet, allRun("v2"))
	}
}

// TestKill_AtEveryRouterWriteEndsTheSame never lets it see the answer to the first attempt of any write.
func TestKill_AtEveryRouterWriteEndsTheSame(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	for name, strategy := range map[string]object{"canary": stages("100ms"), "blue_green": blueGreen(nil)} {
		for _, unhealthy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/unhealthy=%t", name, unhealthy), func(t *testing.T) {
				t.Parallel()
				f := mixed(t, 4)
				b := newBalancer(t, f, twoSides)
				if unhealthy { // the last to be called of either
					f.Targets[3].SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v2" })
				}
				asked := make(chan struct{}, 100)
				b.faulty(func(w routerWrite) fault {
					if w.attempt > 1 || len(asked) == cap(asked) {
						return obeys
					}
					asked <- struct{}{}
					return hangsLate
				})
				database, state := dbtest.New(t), "--state-dir="+t.TempDir()
				p := serve(t, database, state)
				body := inSlots(routed(b, "v2", strategy))
				part[object](body, "traffic")["timeout"] = "60s"
				body["healthy_deadline"] = "2s"
				d := p.post(body)
				kills := 0
				for end := (deployment{}); !end.terminal(); {
					select {
					case <-asked:
						p.kill()
						kills++
						p = serve(t, database, state)
					default:
						call(t, http.MethodGet, p.url+"/deployments/"+d.ID+"?wait=100ms&after=1000000", nil, &end)
					}
				}
				t.Logf("killed %d times", kills)
				assertKilledOften(p, b, d.ID, unhealthy)
			})
		}
	}
}

func assertKilledOften(p *process, b *balancer, id string, unhealthy bool) {
	p.t.Helper()
	end := p.awaitEnd(id)
	b.assertDrained(p.t)
	assertTruth(p, id, b.fleet)
	if unhealthy {
		assertEnd(p, end, "rolled_back", false)
		b.assertSettled(p, id, 0)
		for i, target := range b.fleet.Targets {
			if target.Version() != own(i) {
				p.t.Errorf("%s runs %s", target.ID, target.Version())
			}
		}
		return
	}
	assertEnd(p, end, "completed", true)
	b.assertSettled(p, id, 100)
}
