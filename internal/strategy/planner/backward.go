package planner

import (
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// backward gives each touched target its own previous version again and calls no other; those in doubt first.
func (p *planner) backward() {
	if p.held() {
		p.holdBack()
		return
	}
	if p.keptOldSide() {
		p.switchBack()
		return
	}
	returning := p.countReturning(p.shareBack())
	settled := true
	for _, inDoubt := range []bool{true, false} {
		for i := range p.s.Targets {
			t := &p.s.Targets[i]
			if lifecycle.InDoubt(t) == inDoubt && !p.retreat(i, t) {
				settled = false
			}
		}
	}
	if len(p.out.Transitions) > 0 {
		p.putOffCalls() // they may depend on whom traffic goes to after the moves
		return
	}
	if !settled {
		p.depart(p.shareBack())
		return
	}
	if p.settled(p.setting(0, nil)) && (!returning || p.tooLateToRead(p.d.Progress.Router)) {
		p.finish(p.retreated())
	}
}

// switchBack ends a blue-green deployment that had been switched.
func (p *planner) switchBack() {
	if st := &p.out.Status; st.Progress.WaveSettledAt.IsZero() {
		st.Progress.WaveSettledAt = p.now // it was switched, also when the router has confirmed the way back
	}
	if !p.settled(p.setting(0, nil)) {
		return
	}
	p.giveUpAll("")
	p.finish(rollout.StateRolledBack)
}

// keptOldSide reports whether the old slot is still there as it was: then one write to the router was the way back. A switch
// that was confirmed counts also when its wave did not settle, because somebody fell sick meanwhile.
func (p *planner) keptOldSide() bool {
	switched := p.bySlot() && (!p.d.Progress.WaveSettledAt.IsZero() || p.d.Progress.Weight == lifecycle.AllTraffic)
	return p.spec.Traffic != nil && switched && p.calling == 0 && p.d.Kind == rollout.KindDeploy
}

// holdBack starts no call, and lets those that were made be verified.
func (p *planner) holdBack() {
	for i := range p.s.Targets {
		t := &p.s.Targets[i]
		switch {
		case t.Phase == rollout.PhaseCalling:
			p.awaitAnswer(t)
		case t.RollingBack && t.Phase == rollout.PhaseVerifying:
			p.verify(i, t)
		case t.RollingBack && t.Phase == rollout.PhaseInDoubt:
			p.askAgain(i, t)
		}
	}
}

// retreat takes a target one step back, and reports whether it has its outcome.
func (p *planner) retreat(i int, t *rollout.Target) bool {
	switch {
	case t.Phase == rollout.PhaseCalling:
		p.awaitAnswer(t)
	case !t.Touched():
		return p.leave(i, t, "")
	case !t.RollingBack && p.mayRun(t):
		p.awaitWork(i, t)
	case !t.RollingBack && t.PreviousVersion == "":
		return p.leave(i, t, "its previous version is not known, so it was not rolled back")
	case !t.RollingBack || t.Phase == rollout.PhaseReady:
		p.callBack(i, t)
	case t.Phase == rollout.PhaseInDoubt:
		p.askAgain(i, t)
	case t.Phase == rollout.PhaseVerifying:
		p.verify(i, t)
	default:
		return t.Done()
	}
	return false
}

// leave gives a target that is not called its outcome.
func (p *planner) leave(i int, t *rollout.Target, why string) bool {
	if t.Done() {
		return true
	}
	p.out.Transitions = append(p.out.Transitions, lastMove(i, t, why))
	return false
}

func (p *planner) callBack(i int, t *rollout.Target) {
	switch {
	case p.held():
	case p.mayRun(t):
		p.awaitWork(i, t)
	case t.RollingBack && p.now.Before(t.NotBefore):
		p.waits(t.ID+" is called again at", t.NotBefore)
	case t.OutOfService() || p.busy < p.atOnce(t, p.spec.LargestWave()):
		p.dispatch(i, t, true)
	}
}

// retreated is how a rollback ends: well only if every touched target is back.
func (p *planner) retreated() rollout.State {
	for i := range p.s.Targets {
		t := &p.s.Targets[i]
		if t.Touched() && t.State != rollout.TargetRolledBack {
			return rollout.StateFailed
		}
	}
	return rollout.StateRolledBack
}
