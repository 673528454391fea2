package e2e

import (
	"net/http"
	"slices"
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// TestSlotRollback_IsOneSwitch goes back, and forward again, after traffic was switched for good.
func TestSlotRollback_IsOneSwitch(t *testing.T) {
	t.Parallel()
	f := mixed(t, 6)
	b := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	done := p.awaitEnd(p.post(inSlots(routed(b, "v2", blueGreen(nil)))).ID)
	assertServes(p, b, done, "green")
	calls, writes := len(f.Calls()), len(b.all())

	back := p.awaitEnd(p.ask("/deployments/"+done.ID+"/rollback", http.StatusAccepted).ID)
	assertEnd(p, back, "rolled_back", true)
	assertServes(p, b, back, "blue")
	assertRuns(t, f, own)
	assertTruth(p, back.ID, f)
	b.assertDrained(t)
	if n := len(b.all()) - writes; n != 1 {
		t.Errorf("the way back took %d writes", n)
	}
	switched := b.all()[writes].at
	for _, c := range f.Calls()[calls:] {
		if slices.Index(f.Targets, f.Target(c.Target)) < 3 || c.Received.Before(switched) {
			t.Errorf("%s was called %s after the switch", c.Target, c.Received.Sub(switched))
		}
	}
	if n := len(f.Calls()) - calls; n != 3 {
		t.Errorf("%d calls on the way back", n)
	}

	forth := p.awaitEnd(p.ask("/services/checkout/environments/production/rollback", http.StatusAccepted).ID)
	assertEnd(p, forth, "rolled_back", true)
	assertServes(p, b, forth, "green")
	assertRuns(t, f, half(own, allRun("v2"), 6))
	b.assertDrained(t)
}

// TestSlotRollback_UnhealthySlotRollsBackInPlace keeps half of the slot that serves in service.
func TestSlotRollback_UnhealthySlotRollsBackInPlace(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	for name, spoil := range map[string]func(target *testtarget.Target){
		"unhealthy": func(target *testtarget.Target) {
			target.SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = own(1) })
		},
		"changed": func(target *testtarget.Target) { target.SetVersion("v9") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := mixed(t, 6)
			b := newBalancer(t, f, twoSides)
			body := inSlots(routed(b, "v2", blueGreen(nil)))
			body["service"] = name
			for i, target := range part[[]object](body, "targets") {
				target["version"] = own(i)
			}
			done := p.awaitEnd(p.post(body).ID)
			assertEnd(p, done, "completed", true)
			writes := len(b.all())
			spoil(f.Targets[1])

			back := p.awaitEnd(p.ask("/deployments/"+done.ID+"/rollback", http.StatusAccepted).ID)
			assertEnd(p, back, "rolled_back", true)
			if slot := p.activeSlot(name); slot != "green" || *back.Result.Metadata.ActiveSlot != "green" {
				t.Errorf("%s serves, and the result says %s", slot, *back.Result.Metadata.ActiveSlot)
			}
			for i, target := range f.Targets[3:] {
				if target.Version() != own(3+i) {
					t.Errorf("%s runs %s", target.ID, target.Version())
				}
			}
			b.assertDrained(t)
			for _, w := range b.all()[writes:] {
				serving := 0
				for _, backend := range w.Backends {
					if backend.Weight > 0 {
						serving++
					}
				}
				if w.ActiveSlot != "green" || serving < 2 {
					t.Errorf("%d of 3 targets serve: %v", serving, w.Backends)
				}
			}
			if _, weights := b.last(); slices.Min(weights[3:]) == 0 || slices.Max(weights[:3]) > 0 {
				t.Errorf("left with weights %v", weights)
			}
		})
	}
}
