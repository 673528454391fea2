package planner

import (
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// planBackward rolls each touched target back to its own previous version and calls no other; those in doubt first.
func (p *planner) planBackward() {
	if p.isPaused() {
		p.finishWhilePaused()
		return
	}
	if p.canSwitchBack() {
		p.switchBack()
		return
	}
	returning := p.router.countReturning(p.newSide.weightForRollback())
	p.capacity.busy += returning
	settled := true
	for _, inDoubt := range []bool{true, false} {
		for _, i := range p.router.drainedFirst(p.newSide.weightForRollback()) {
			t := &p.s.Targets[i]
			if lifecycle.InDoubt(t) == inDoubt && !p.rollBackTarget(i, t) {
				settled = false
			}
		}
	}
	if len(p.out.Transitions) > 0 {
		p.deferCalls() // they may depend on whom traffic goes to after the moves
		return
	}
	if !settled {
		p.drainThenCall(p.newSide.weightForRollback())
		return
	}
	if p.router.ensureAtEnd(p.traffic.splitAt(0, nil)) && (returning == 0 || p.router.tooLateToRead(p.d.Progress.Router)) {
		p.finish(p.rollbackOutcome())
	}
}

// switchBack ends a blue-green deployment that had been switched.
func (p *planner) switchBack() {
	if st := &p.out.Status; st.Progress.WaveSettledAt.IsZero() {
		st.Progress.WaveSettledAt = p.now // it was switched, also when the router has confirmed the way back
	}
	if !p.router.ensureAtEnd(p.traffic.splitAt(0, nil)) {
		return
	}
	p.settleRemaining("")
	p.finish(rollout.StateRolledBack)
}

// canSwitchBack reports whether the old slot is still there as it was: then one write to the router was the way back. A switch
// that was confirmed counts also when its wave did not settle, because a target became unhealthy meanwhile.
func (v *view) canSwitchBack() bool {
	switched := v.usesSlots() && (!v.d.Progress.WaveSettledAt.IsZero() || v.d.Progress.Weight == lifecycle.AllTraffic)
	return v.spec.Traffic != nil && switched && v.calling == 0 && v.d.Kind == rollout.KindDeploy
}

// finishWhilePaused starts no call, and lets those that were made be verified.
func (p *planner) finishWhilePaused() {
	for i := range p.s.Targets {
		t := &p.s.Targets[i]
		switch {
		case t.Phase == rollout.PhaseCalling:
			p.awaitResult(t)
		case t.RollingBack && t.Phase == rollout.PhaseVerifying:
			p.verifyTarget(i, t)
		case t.RollingBack && t.Phase == rollout.PhaseInDoubt:
			p.resolveDoubt(i, t)
		}
	}
}

// rollBackTarget takes a target one step back, and reports whether it has its outcome.
func (p *planner) rollBackTarget(i int, t *rollout.Target) bool {
	switch {
	case t.Phase == rollout.PhaseCalling:
		p.awaitResult(t)
	case !t.Touched():
		return p.skipTarget(i, t, "")
	case !t.RollingBack && p.mayBeWorking(t):
		p.probes.awaitWork(i, t)
	case !t.RollingBack && t.PreviousVersion == "":
		return p.skipTarget(i, t, "not rolled back: its previous version is unknown")
	case !t.RollingBack || t.Phase == rollout.PhaseReady:
		p.callRollback(i, t)
	case t.Phase == rollout.PhaseInDoubt:
		p.resolveDoubt(i, t)
	case t.Phase == rollout.PhaseVerifying:
		p.verifyTarget(i, t)
	default:
		return t.Done()
	}
	return false
}

// skipTarget reports a target that is not called its outcome.
func (p *planner) skipTarget(i int, t *rollout.Target, why string) bool {
	if t.Done() {
		return true
	}
	p.out.Transitions = append(p.out.Transitions, finalTransition(i, t, why))
	return false
}

func (p *planner) callRollback(i int, t *rollout.Target) {
	switch {
	case p.isPaused():
	case p.mayBeWorking(t):
		p.probes.awaitWork(i, t)
	case t.RollingBack && p.now.Before(t.NotBefore):
		p.sched.waitUntil(t.ID+" is retried at", t.NotBefore)
	case p.capacity.hasRoom(t, p.spec.LargestWave()):
		p.queueCall(i, t, true)
	}
}

// rollbackOutcome returns how a rollback ends: well only if every touched target is back.
func (v *view) rollbackOutcome() rollout.State {
	for i := range v.s.Targets {
		t := &v.s.Targets[i]
		if t.Touched() && t.State != rollout.TargetRolledBack {
			return rollout.StateFailed
		}
	}
	return rollout.StateRolledBack
}
