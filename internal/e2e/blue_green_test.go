package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// inSlots gives the first half of a request's targets the slot blue, the rest green.
func inSlots(body object) object {
	targets := part[[]object](body, "targets")
	for i, target := range targets {
		target["slot"] = "blue"
		if i >= len(targets)/2 {
			target["slot"] = "green"
		}
	}
	return body
}

func blueGreen(more object) object {
	strategy := object{"type": "blue_green"}
	for name, value := range more {
		strategy[name] = value
	}
	return strategy
}

// half is what runs when one slot of a mixed fleet has a version and the other what it had.
func half(first, second func(int) string, n int) func(int) string {
	return func(i int) string {
		if i < n/2 {
			return first(i)
		}
		return second(i)
	}
}

func (p *process) activeSlot(service string) string {
	p.t.Helper()
	var status struct {
		Slot *string `json:"active_slot"`
	}
	call(p.t, http.MethodGet, p.url+"/services/"+service+"/environments/production/status", nil, &status)
	if status.Slot == nil {
		return ""
	}
	return *status.Slot
}

// assertServes checks which slot serves: in the result, in the status, and at the router.
func assertServes(p *process, b *balancer, d deployment, slot string) {
	p.t.Helper()
	if got := d.Result.Metadata.ActiveSlot; got == nil || *got != slot {
		p.t.Errorf("the result says that %v serves, not %s", got, slot)
	}
	if got := p.activeSlot("checkout"); got != slot {
		p.t.Errorf("the status says that %s serves, not %s", got, slot)
	}
	now, weights := b.last()
	if now.ActiveSlot != slot {
		p.t.Errorf("the router serves %s, not %s", now.ActiveSlot, slot)
	}
	for i, weight := range weights {
		if serves := i >= len(weights)/2 == (slot == "green"); serves != (weight > 0) {
			p.t.Errorf("%s serves, and the weights are %v", slot, weights)
			return
		}
	}
}

func TestBlueGreen_SwitchesOnceAndAlternates(t *testing.T) {
	t.Parallel()
	f := mixed(t, 6)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	first := p.awaitEnd(p.post(inSlots(routed(b, "v2", blueGreen(nil)))).ID)
	assertEnd(p, first, "completed", true)
	assertRuns(t, f, half(own, allRun("v2"), 6))
	assertServes(p, b, first, "green")
	assertShares(t, b, 0, 100)
	b.assertDrained(t)
	b.assertSettled(p, first.ID, 100)
	assertTruth(p, first.ID, f)

	// Two posted in a row: the second waits, and finds the slots as the first leaves them.
	second := p.post(inSlots(routed(b, "v3", blueGreen(nil))))
	p.await(second.ID, "begun", func(d *deployment) bool { return d.State != "pending" })
	third := p.post(inSlots(routed(b, "v4", blueGreen(nil))))
	if second = p.awaitEnd(second.ID); second.State != "completed" || *second.Result.Metadata.ActiveSlot != "blue" {
		t.Errorf("the second ended %s: %+v", second.State, second.Result)
	}
	third = p.awaitEnd(third.ID)
	assertEnd(p, third, "completed", true)
	assertServes(p, b, third, "green")
	assertRuns(t, f, half(allRun("v3"), allRun("v4"), 6))
	assertShares(t, b, 0, 100, 0, 100, 0, 100)
	b.assertDrained(t)
	if calls := len(f.Calls()); calls != 9 {
		t.Errorf("%d calls for three deployments to three targets each", calls)
	}
}

func TestBlueGreen_KeptSlotReturnsByOneWrite(t *testing.T) {
	t.Parallel()
	f := mixed(t, 4)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	d := p.post(inSlots(routed(b, "v2", blueGreen(object{"keep_old_for": "10m"}))))
	p.await(d.ID, "switched", func(d *deployment) bool { return d.Progress.Weight == 100 })
	calls, writes := len(f.Calls()), len(b.all())
	p.ask("/deployments/"+d.ID+"/rollback", http.StatusOK)
	end := p.awaitEnd(d.ID)
	assertEnd(p, end, "rolled_back", false)
	assertServes(p, b, end, "blue")
	if len(f.Calls()) != calls || len(b.all()) != writes+1 {
		t.Errorf("the way back took %d calls and %d writes", len(f.Calls())-calls, len(b.all())-writes)
	}
	assertRuns(t, f, half(own, allRun("v2"), 4))
	assertShares(t, b, 0, 100, 0)

	next := p.awaitEnd(p.post(inSlots(routed(b, "v3", blueGreen(nil)))).ID)
	assertEnd(p, next, "completed", true)
	assertServes(p, b, next, "green")
	assertRuns(t, f, half(own, allRun("v3"), 4))
}

func TestBlueGreen_UnhealthyWhileKeptSwitchesBack(t *testing.T) {
	t.Parallel()
	f := mixed(t, 4)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	d := p.post(inSlots(routed(b, "v2", blueGreen(object{"keep_old_for": "10m"}))))
	p.await(d.ID, "switched", func(d *deployment) bool { return d.Progress.Weight == 100 })
	calls := len(f.Calls())
	f.Targets[3].SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v2" })
	end := p.awaitEnd(d.ID)
	assertEnd(p, end, "rolled_back", false)
	assertServes(p, b, end, "blue")
	if len(f.Calls()) != calls {
		t.Errorf("%d calls on the way back", len(f.Calls())-calls)
	}
}

func TestBlueGreen_IdleFailureLeavesTraffic(t *testing.T) {
	t.Parallel()
	f := mixed(t, 6)
	f.Targets[4].QueueBehaviours(testtarget.Behaviour{Status: 500}, testtarget.Behaviour{Status: 500})
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	d := p.awaitEnd(p.post(inSlots(routed(b, "v2", blueGreen(nil)))).ID)
	assertEnd(p, d, "rolled_back", false)
	assertRuns(t, f, own)
	assertShares(t, b, 0)
	assertServes(p, b, d, "blue")
	assertTruth(p, d.ID, f)
	b.assertDrained(t)
}

func TestBlueGreen_SwitchWaitsForPromote(t *testing.T) {
	t.Parallel()
	f := mixed(t, 4)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	d := p.post(inSlots(routed(b, "v2", blueGreen(object{"promotion": "manual"}))))
	at := p.await(d.ID, "at the gate", func(d *deployment) bool { return d.State == "paused" })
	if !strings.Contains(at.Reason, "waiting for promotion to switch traffic") {
		t.Errorf("the reason is %q", at.Reason)
	}
	assertRuns(t, f, half(own, allRun("v2"), 4))
	assertShares(t, b, 0)
	p.ask("/deployments/"+d.ID+"/promote", http.StatusOK)
	end := p.awaitEnd(d.ID)
	assertEnd(p, end, "completed", true)
	assertServes(p, b, end, "green")
	assertShares(t, b, 0, 100)
}

func TestBlueGreen_UnconfirmedSwitchFails(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	for i, how := range []fault{refuses, fails, failsLate, hangs, hangsLate, contradict} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			f := mixed(t, 4)
			b := newBalancer(t, f, twoSides)
			b.faulty(func(w routerWrite) fault {
				if w.NewWeight == 100 {
					return how
				}
				return obeys
			})
			body := inSlots(routed(b, "v2", blueGreen(nil)))
			body["service"] = fmt.Sprintf("switch-%d", i)
			part[object](body, "traffic")["timeout"] = "500ms"
			d := p.awaitEnd(p.post(body).ID)
			if how == hangsLate || how == failsLate { // asked, it says that it is done
				assertEnd(p, d, "completed", true)
				assertShares(t, b, 0, 100)
				return
			}
			assertEnd(p, d, "rolled_back", false)
			assertRuns(t, f, own)
			if now, _ := b.last(); now.NewWeight != 0 || now.ActiveSlot != "blue" {
				t.Errorf("left at %d:%d, %s", now.NewWeight, now.OldWeight, now.ActiveSlot)
			}
			if slot := p.activeSlot(part[string](body, "service")); slot != "blue" {
				t.Errorf("the status says that %s serves", slot)
			}
			b.assertDrained(t)
		})
	}
}

func TestBlueGreen_NoSlotsSwitchesWhenVerified(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	for _, failing := range []bool{false, true} {
		t.Run(fmt.Sprintf("failing=%t", failing), func(t *testing.T) {
			t.Parallel()
			f := mixed(t, 4)
			b := newBalancer(t, f, oneSide)
			if failing {
				f.Targets[1].QueueBehaviours(testtarget.Behaviour{Status: 500}, testtarget.Behaviour{Status: 500})
			}
			body := routed(b, "v2", blueGreen(nil))
			body["service"] = fmt.Sprintf("plain-%t", failing)
			d := p.awaitEnd(p.post(body).ID)
			assertTruth(p, d.ID, f)
			if failing {
				assertEnd(p, d, "rolled_back", false)
				assertRuns(t, f, own)
				assertShares(t, b, 0)
				return
			}
			assertEnd(p, d, "completed", true)
			assertRuns(t, f, allRun("v2"))
			assertShares(t, b, 0, 100)
			if d.Result.Metadata.ActiveSlot != nil {
				t.Errorf("slot %s serves", *d.Result.Metadata.ActiveSlot)
			}
		})
	}
}
