package planner

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// unanswered finds a verified target of which a critical check knows nothing at present.
func (p *planner) unanswered() (t *rollout.Target, check int, found bool) {
	for i := range p.s.Targets {
		t := &p.s.Targets[i]
		if t.State != rollout.TargetUpdated {
			continue
		}
		for c := range p.rules(t).Checks {
			if p.rules(t).Checks[c].Critical && !t.Checks[c].UnknownSince.IsZero() {
				return t, c, true
			}
		}
	}
	return nil, 0, false
}

// answerBy is when a settled wave stops waiting for a check that is unknown; zero when it waits for none.
func (p *planner) answerBy() time.Time {
	t, c, found := p.unanswered()
	if !found || p.out.Status.Progress.WaveSettledAt.IsZero() {
		return time.Time{}
	}
	return lifecycle.UnknownUntil(p.rules(t), &t.Checks[c])
}

// awaitsAnswer reports whether a wave has to wait because nobody knows how a target of it is. It waits until the check gets
// an answer, or counts as one that does not pass.
func (p *planner) awaitsAnswer() bool {
	t, c, found := p.unanswered()
	if found {
		check := &p.rules(t).Checks[c]
		next := p.now.Add(check.Interval.Std())
		p.waits(fmt.Sprintf("the health of %s is unknown (check %s), which fails it at", t.ID, check.Name),
			lifecycle.Later(lifecycle.UnknownUntil(p.rules(t), &t.Checks[c]), next))
	}
	return found
}

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

func (p *planner) opened(wave int) bool { return lifecycle.GateOpened(p.d, wave) }
