package planner

import (
	"fmt"
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/lifecycle"
)

// reason says in words what the deployment does, or what it waits for and until when.
func (p *planner) reason() string {
	st := &p.out.Status
	switch {
	case p.d.Operator.Abort && p.calling == 0:
		return "aborting" + p.pending
	case p.d.Operator.Abort:
		return fmt.Sprintf("aborting: waiting for %s in flight", strategy.Quantity(p.calling, "call")) + p.pending
	case p.held():
		return p.heldReason()
	case st.Direction == rollout.Backward:
		return p.retreatReason()
	case st.Stop == rollout.StopHalted:
		return "halted: " + st.Progress.FailureReason
	case st.Progress.Wave == 0:
		return "waiting to start"
	default:
		return p.waveReason()
	}
}

func (p *planner) heldReason() string {
	if p.d.Stop == rollout.StopPaused {
		return fmt.Sprintf("paused: %s; resume to go on, or roll back", p.out.Status.Progress.FailureReason) + p.stuckTraffic()
	}
	if gate := p.d.Progress.Gate; gate > 0 && !p.d.Operator.Pause {
		return fmt.Sprintf("%s is verified and waits for promote before %s", p.waveName(gate), p.keptBack(gate)) +
			p.tolerated() + p.stuckTraffic()
	}
	if p.d.Unapproved() && !p.d.Operator.Pause {
		return lifecycle.ReasonUnapproved
	}
	return lifecycle.ReasonPaused
}

// stuckTraffic says that the router refuses while a person is waited for, unless that is why one is; empty when it does not.
func (p *planner) stuckTraffic() string {
	refusal := p.routerRefusal()
	if refusal == "" || refusal == p.out.Status.Progress.FailureReason {
		return ""
	}
	return "; " + refusal
}

// tolerated says how many targets have failed without ending the way forward; empty when none has.
func (p *planner) tolerated() string {
	if p.failures == 0 {
		return ""
	}
	return fmt.Sprintf("; %s failed, which is tolerated", strategy.Quantity(p.failures, "target"))
}

// keptBack says what the gate of a wave keeps back.
func (p *planner) keptBack(wave int) string {
	switch {
	case p.spec.Waves[wave-1].Gate == rollout.GateSwitch:
		return "traffic is switched"
	case wave == len(p.spec.Waves):
		return "the deployment completes"
	default:
		return "the next begins"
	}
}

// waveName is what people call a wave: its number, and in a canary its share.
func (p *planner) waveName(wave int) string {
	if stages := p.spec.Strategy.Stages; len(stages) > 0 {
		return fmt.Sprintf("stage %d of %d (%d%%)", wave, len(stages), stages[wave-1].Percent)
	}
	return fmt.Sprintf("wave %d of %d", wave, len(p.spec.Waves))
}

func (p *planner) retreatReason() string {
	back, touched := 0, 0
	for i := range p.s.Targets {
		t := &p.s.Targets[i]
		if t.Touched() {
			touched++
		}
		if t.State == rollout.TargetRolledBack {
			back++
		}
	}
	return fmt.Sprintf("rolling back, %d of %s done: %s", back, strategy.Quantity(touched, "target"), p.out.Status.Progress.FailureReason) + p.pending
}

func (p *planner) waveReason() string {
	progress := &p.out.Status.Progress
	wave := p.waveName(progress.Wave)
	if end := p.waveEnd(); !end.IsZero() {
		return fmt.Sprintf("%s verified; watching it until %s", wave, moment(end)) + p.pending
	}
	done, size := 0, p.spec.Waves[progress.Wave-1].Size
	for i := range p.s.Targets {
		if t := &p.s.Targets[i]; t.Wave == progress.Wave && t.State == rollout.TargetUpdated {
			done++
		}
	}
	return fmt.Sprintf("%s: %d of %s verified", wave, done, strategy.Quantity(size, "target")) + p.pending
}

// waits makes the deployment look again at a time, and say what it waits for until then; of several the first to come.
func (p *planner) waits(what string, until time.Time) {
	p.visibleAt(until)
	if p.pendingUntil.IsZero() || until.Before(p.pendingUntil) {
		p.pending, p.pendingUntil = "; "+what+" "+moment(until), until
	}
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (p *planner) endReason(state rollout.State) string {
	switch state {
	case rollout.StateCompleted:
		return "completed" + p.uncalled() + p.leftOut() + p.tolerated() + p.unreadRouter()
	case rollout.StateAborted:
		return "aborted by an operator"
	case rollout.StateRolledBack:
		if p.d.Direction == rollout.Forward {
			return "every target runs its previous version again" + p.leftOut()
		}
		return "rolled back: " + p.out.Status.Progress.FailureReason
	default:
		if p.d.Direction == rollout.Backward && !p.d.Operator.Abort {
			if p.untouched() {
				return p.out.Status.Progress.FailureReason + "; no target was called, but the router has not confirmed that the old side serves"
			}
			return "the rollback did not succeed; it began because " + p.out.Status.Progress.FailureReason
		}
		return p.out.Status.Progress.FailureReason
	}
}

// untouched reports whether no call has reached any target.
func (p *planner) untouched() bool {
	return !slices.ContainsFunc(p.s.Targets, func(t rollout.Target) bool { return t.Touched() })
}

// leftOut names the targets that have left the definition; empty when none has.
func (p *planner) leftOut() string {
	if len(p.spec.LeftOut) == 0 {
		return ""
	}
	return "; " + rollout.LeftOutText(p.spec.LeftOut)
}

// uncalled says that there was nothing to do; empty when a target was called.
func (p *planner) uncalled() string {
	if p.d.Kind != rollout.KindDeploy || p.d.Version == "" || !p.untouched() {
		return ""
	}
	return ": already runs " + p.d.Version + "; no target was called (force calls them)"
}
