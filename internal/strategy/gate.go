package strategy

import (
	"rollcall/internal/rollout"
)

// waitsAtGate reports whether the wave has a gate at this place that nobody has opened. It stops there, once.
func (p *planner) waitsAtGate(wave int, place string) bool {
	if p.spec.Waves[wave-1].Gate != place || p.opened(wave) {
		return false
	}
	if st := &p.out.Status; st.Progress.Gate == 0 {
		st.Progress.Gate, st.State = wave, rollout.StatePaused
		if st.Progress.PausedAt.IsZero() {
			st.Progress.PausedAt = p.now
		}
		p.event(rollout.EventGateWaiting, wave, "waiting for promote")
		p.out.Replan = true
	}
	return true
}

// passGate goes on when the gate that the deployment waits at has been opened.
func (p *planner) passGate() bool {
	gate := p.d.Progress.Gate
	if gate == 0 || !p.opened(gate) {
		return false
	}
	p.out.Status.Progress.Gate = 0
	p.trustRouter()
	return true
}

func (p *planner) opened(wave int) bool { return opened(p.d, wave) }
