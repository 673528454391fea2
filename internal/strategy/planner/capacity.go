package planner

import (
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// halves divides what may be blocked or out of service: the other half is left.
const halves = 2

// capacity counts the targets that may be out of service, and limits their number.
type capacity struct {
	*view
	sched *schedule
	// busy counts the targets that may be out of service, without those whose calls block no others.
	busy int
}

// countBusy counts a target that may be out of service.
func (c *capacity) countBusy(t *rollout.Target) {
	if t.OutOfService() && c.blocksOthers(t) {
		c.busy++
	}
}

// hasRoom reports whether a target may be called now: it is out of service already, or fewer than most are.
func (c *capacity) hasRoom(t *rollout.Target, most int) bool {
	return t.OutOfService() || c.busy < c.maxConcurrent(t, most)
}

// blocksOthers reports whether a target that may be out of service keeps others from being called.
func (c *capacity) blocksOthers(t *rollout.Target) bool {
	end := c.blocksUntil(t)
	if end.IsZero() {
		return true
	}
	if !c.now.Before(end) {
		return false
	}
	c.sched.wakeBy(end)
	return true
}

// blocksUntil returns until when the call of a target keeps others from being called on the way back: for half of the
// progress deadline. Otherwise a single call without a response would leave all others with what is rolled back. It is zero
// for a target that blocks others for as long as it is out of service.
func (c *capacity) blocksUntil(t *rollout.Target) time.Time {
	if c.d.Direction != rollout.Backward && c.d.Kind != rollout.KindRollback {
		return time.Time{}
	}
	began := t.PhaseAt
	switch {
	case t.Phase == rollout.PhaseCalling:
	case c.mayBeWorking(t):
		began = t.History.MayRunUntil.Add(-c.rulesFor(t).Deploy.Timeout.Std())
	default:
		return time.Time{}
	}
	return began.Add(c.maxBlocking())
}

// maxBlocking returns for how long a call of the way back may keep others from being called.
func (c *capacity) maxBlocking() time.Duration {
	return c.spec.Strategy.ProgressDeadline.Std() / halves
}

// maxConcurrent bounds how many targets may be out of service together with this one: most, and of a slot that serves half.
func (c *capacity) maxConcurrent(t *rollout.Target, most int) int {
	most = c.limitBesideLeftOut(t, most)
	serving, idle := lifecycle.Slots(c.d)
	if c.d.Progress.Weight == lifecycle.AllTraffic {
		serving = idle
	}
	if c.spec.Traffic == nil || !c.usesSlots() || t.Slot != serving {
		return most
	}
	all := 0
	for i := range c.s.Targets {
		if c.s.Targets[i].Slot == serving {
			all++
		}
	}
	return min(most, max(all/halves, 1))
}

// limitBesideLeftOut lets half of the targets that serve stay, where an earlier deployment has left others out.
func (c *capacity) limitBesideLeftOut(t *rollout.Target, most int) int {
	if r := c.d.Progress.Router; c.spec.Traffic == nil || r == nil || len(r.OutBefore) == 0 || lifecycle.LeftOut(c.d, t) {
		return most
	}
	serve := 0
	for i := range c.s.Targets {
		if o := &c.s.Targets[i]; !lifecycle.LeftOut(c.d, o) {
			serve++
		}
	}
	if serve == len(c.s.Targets) {
		return most
	}
	return min(most, max(serve/halves, 1))
}
