package lifecycle

import (
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// selectIdleSlot makes a deployment that has not begun go to the slot that is idle now: while it waited, another may have
// switched.
func selectIdleSlot(s *rollout.Snapshot) {
	d := &s.Deployment
	if !d.StartedAt.IsZero() || d.Spec.IdleSlot == "" || d.Kind == rollout.KindRollback {
		return // begun, without slots, or planned on what ended last
	}
	d.Progress.ActiveSlot = d.Spec.ActiveSlot
	if s.ActiveSlot == d.Spec.IdleSlot {
		d.Progress.ActiveSlot = s.ActiveSlot
	}
	assignSlots(s)
}

// assignSlots puts the targets of the slot that does not serve into the only wave. No target has been called: all start over.
func assignSlots(s *rollout.Snapshot) {
	d := &s.Deployment
	for i := range s.Targets {
		t := &s.Targets[i]
		if t.Wave = 1; t.Slot == d.Progress.ActiveSlot {
			t.Wave = 0
		}
		if t.Phase != rollout.PhaseNew { // it was only looked at, as a target of the wrong slot or of the right one
			t.State, t.Phase, t.PreviousVersion, t.Checks = rollout.TargetPending, rollout.PhaseNew, "", NewCheckStates(d.Spec.ProbedBy(t))
			t.Error, t.ErrorAt, t.StartedAt, t.FinishedAt = "", time.Time{}, time.Time{}, time.Time{}
		}
	}
}

// Slots names the slot that served when the deployment began, and the one that it goes to; both are empty without slots.
func Slots(d *rollout.Deployment) (active, idle string) {
	if d.Progress.ActiveSlot == d.Spec.IdleSlot && d.Spec.IdleSlot != "" {
		return d.Spec.IdleSlot, d.Spec.ActiveSlot
	}
	return d.Spec.ActiveSlot, d.Spec.IdleSlot
}

// readServingSlot returns the slot that the router gives traffic to, by what it reports; empty when that is not one of the two.
func readServingSlot(s *rollout.Snapshot, reading *routing.Reading) string {
	active, idle := Slots(&s.Deployment)
	if reading.Weights != nil {
		if slot := reading.Weights.ActiveSlot; reading.DeploymentID != "" && (slot == active || slot == idle) {
			return slot
		}
		return ""
	}
	serves := map[string]bool{}
	for i, b := range reading.Backends {
		serves[s.Targets[i].Slot] = serves[s.Targets[i].Slot] || b.Weight > 0 && b.HeldBy == ""
	}
	if serves[active] == serves[idle] {
		return ""
	}
	if serves[idle] {
		return idle
	}
	return active
}

// ServingSlot returns the slot that serves since the deployment has ended; empty without slots.
func ServingSlot(d *rollout.Deployment) string {
	active, idle := Slots(d)
	if active != "" && idle != "" && isSwitched(d) {
		return idle
	}
	return active
}

// isSwitched reports whether traffic went over to the new side and was not taken back: a router has confirmed that.
func isSwitched(d *rollout.Deployment) bool {
	if d.Spec.Traffic != nil {
		return d.Progress.Weight == AllTraffic
	}
	kept := d.Direction == rollout.Forward && d.State != rollout.StateAborted
	return d.State == rollout.StateCompleted || kept && d.Progress.Weight == AllTraffic
}
