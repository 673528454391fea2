package planner

import (
	"fmt"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// awaitUnknownCheck reports whether a wave has to wait because the health of one of its targets is unknown. It waits until the check gets
// an answer, or counts as one that does not pass.
func (p *planner) awaitUnknownCheck() bool {
	t, c, found := p.unknownCheck()
	if found {
		check := &p.rulesFor(t).Checks[c]
		next := p.now.Add(check.Interval.Std())
		p.sched.waitUntil(fmt.Sprintf("health of %s unknown (check %s); it fails at", t.ID, check.Name),
			lifecycle.Later(lifecycle.UnknownUntil(p.rulesFor(t), &t.Checks[c]), next))
	}
	return found
}

// waitsAtGate reports whether the wave has a gate at this place that is not opened. It stops there, once.
func (p *planner) waitsAtGate(wave int, place string) bool {
	if p.spec.Waves[wave-1].Gate != place || lifecycle.GateOpened(p.d, wave) {
		return false
	}
	if st := &p.out.Status; st.Progress.Gate == 0 {
		st.Progress.Gate, st.State = wave, rollout.StatePaused
		if st.Progress.PausedAt.IsZero() {
			st.Progress.PausedAt = p.now
		}
		p.addEvent(rollout.EventGateWaiting, wave, "waiting for promotion")
		p.out.Replan = true
	}
	return true
}

// passGate continues when the gate that the deployment waits at has been opened.
func (p *planner) passGate() bool {
	gate := p.d.Progress.Gate
	if gate == 0 || !lifecycle.GateOpened(p.d, gate) {
		return false
	}
	p.out.Status.Progress.Gate = 0
	p.resetRouterRetries()
	return true
}
