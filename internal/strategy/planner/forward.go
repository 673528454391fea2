package planner

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/lifecycle"
)

// shiftBlocked reports whether what a wave has earned for the new side waits for a person: at the gate before it, or because
// something else holds the deployment before it was given.
func (p *planner) shiftBlocked(wave int) bool {
	moves := p.spec.Traffic != nil && p.newSide.weightNow(wave) != p.newSide.weightAfterWave(wave)
	return p.waitsAtGate(wave, rollout.GateSwitch) || p.isPaused() && moves
}

// planForward works on the current wave: its targets first, then its bake, then the next.
func (p *planner) planForward() {
	wave := p.d.Progress.Wave
	if wave == 0 {
		return // held before its start
	}
	if !p.spec.Waves[wave-1].CheckOnly {
		p.capacity.busy += p.router.countReturning(p.newSide.weightNow(wave))
	}
	settled := true
	for _, i := range p.router.drainedFirst(p.newSide.weightNow(wave)) {
		t := &p.s.Targets[i]
		if t.Wave > 0 && t.Wave <= wave && !p.advanceTarget(i, t) {
			settled = false
		}
	}
	if len(p.out.Transitions) > 0 {
		p.deferCalls()
		return
	}
	if !settled {
		if !p.spec.Waves[wave-1].CheckOnly { // no target leaves traffic for it
			p.drainThenCall(p.newSide.weightNow(wave))
		}
		return
	}
	if p.d.Stop == rollout.StopHalted {
		p.endHalted(wave)
		return
	}
	p.closeWave(wave)
}

// endHalted ends a deployment that has halted, once nothing is at work and traffic is where it belongs.
func (p *planner) endHalted(wave int) {
	if !p.router.ensureAtEnd(p.traffic.splitAt(p.newSide.weightDuringWave(wave), nil)) || p.probes.awaitWorkOfFailed() {
		return
	}
	p.settleRemaining("")
	p.finish(rollout.StateFailed)
}

// deferCalls leaves calls to the next decision, which follows at once and knows whether too many have failed by then.
func (p *planner) deferCalls() {
	p.out.Actions = slices.DeleteFunc(p.out.Actions, func(a rollout.Action) bool { return a.Kind == rollout.ActionCall })
}

// closeWave bakes a wave whose targets all have their outcome, and then starts the next or ends the deployment.
func (p *planner) closeWave(wave int) {
	st := &p.out.Status
	if st.Progress.WaveSettledAt.IsZero() {
		if p.shiftBlocked(wave) {
			p.router.ensureSplit(p.traffic.splitAt(p.newSide.weightNow(wave), nil))
			return
		}
		if !p.router.ensureSplit(p.traffic.splitAt(p.newSide.weightAfterWave(wave), nil)) || !p.router.takesTraffic() {
			return
		}
		st.Progress.WaveSettledAt = p.now
		if p.spec.Traffic == nil { // else it is what the router has confirmed
			st.Progress.Weight = p.spec.Waves[wave-1].Weight
		}
	}
	if !p.router.ensureSplit(p.traffic.splitAt(p.newSide.weightAfterWave(wave), nil)) {
		return // a target of the new side became unhealthy
	}
	if end := p.waveEnd(); p.now.Before(end) {
		if !p.isPaused() {
			p.sched.wakeVisible(end)
		}
		return
	}
	if p.isPaused() || p.awaitUnknownCheck() || p.waitsAtGate(wave, rollout.GateNext) {
		return
	}
	p.finishWave(wave)
}

// finishWave starts the next wave, or ends the deployment.
func (p *planner) finishWave(wave int) {
	last := wave == len(p.spec.Waves)
	if last && (p.probes.awaitWorkOfFailed() || !p.router.readLately()) {
		return
	}
	p.addEvent(rollout.EventWaveFinished, wave, skippedWaveReason(p.view, wave))
	if last {
		p.settleRemaining("")
		p.finish(rollout.StateCompleted)
		return
	}
	p.startWave(wave + 1)
	p.out.Replan = true
}

func (p *planner) startWave(wave int) {
	progress := &p.out.Status.Progress
	progress.Wave, progress.WaveStartedAt, progress.WaveSettledAt = wave, p.now, time.Time{}
	progress.LastProgressAt = p.now // the wait before it was planned, and no lack of progress
	p.addEvent(rollout.EventWaveStarted, wave, strategy.FormatQuantity(p.spec.Waves[wave-1].Size, "target"))
}

// advanceTarget takes a target of the current or an earlier wave one step on, and reports whether it has its outcome.
func (p *planner) advanceTarget(i int, t *rollout.Target) bool {
	switch t.Phase {
	case rollout.PhaseNew:
		p.inspectTarget(i, t)
	case rollout.PhaseReady:
		p.callForward(i, t)
	case rollout.PhaseCalling:
		p.awaitResult(t)
	case rollout.PhaseInDoubt:
		p.resolveDoubt(i, t)
	case rollout.PhaseVerifying:
		p.verifyTarget(i, t)
	case rollout.PhaseSettled:
		p.probes.watchTarget(i, t)
		return true
	}
	return false
}

// inspectTarget finds out what a target runs before it is called for the first time.
func (p *planner) inspectTarget(i int, t *rollout.Target) {
	if !p.mayCallForward() {
		p.giveUpIfStopped(i, t)
		return
	}
	check := p.spec.ProbedBy(t).VersionCheck()
	if check < 0 {
		p.callForward(i, t)
		return
	}
	if p.mayBeWorking(t) {
		p.probes.noteWork(t)
	}
	p.probes.addProbe(i, check, time.Time{})
}

// callForward calls a target whose turn it is, or lets one that already runs the version go straight to its checks.
func (p *planner) callForward(i int, t *rollout.Target) {
	switch {
	case !p.mayCallForward():
		p.giveUpIfStopped(i, t)
	case p.spec.Waves[t.Wave-1].CheckOnly:
		p.out.Transitions = append(p.out.Transitions, rollout.Transition{
			Target: i, Phase: rollout.PhaseVerifying, State: rollout.TargetVerifying, Message: "checked without a call",
		})
	case p.mayBeWorking(t):
		p.probes.awaitWork(i, t)
	case !t.Touched() && t.Version == t.DesiredVersion && !p.spec.Force && t.Attempts == 0:
		p.out.Transitions = append(p.out.Transitions, rollout.Transition{
			Target: i, Phase: rollout.PhaseVerifying, State: rollout.TargetVerifying, Message: "already runs " + t.DesiredVersion,
		})
	case p.now.Before(t.NotBefore):
		p.sched.waitUntil(t.ID+" is retried at", t.NotBefore)
	case p.capacity.hasRoom(t, p.spec.Waves[t.Wave-1].Parallel):
		p.queueCall(i, t, false)
	}
}

// queueCall has a target called as soon as no traffic reaches it.
func (p *planner) queueCall(i int, t *rollout.Target, back bool) {
	if !t.OutOfService() {
		p.capacity.busy++
	}
	if p.spec.Traffic == nil {
		p.addCall(i, back)
		return
	}
	if p.draining == nil {
		p.draining = map[int]bool{}
	}
	p.draining[i] = true
}

// drainThenCall moves traffic away from the targets that shall be called, and calls them when it has left.
func (p *planner) drainThenCall(share int) {
	if p.spec.Traffic == nil || !p.router.isDrained(p.traffic.splitAt(share, p.draining), p.draining) {
		return
	}
	for _, i := range slices.Sorted(maps.Keys(p.draining)) {
		p.addCall(i, p.d.Direction == rollout.Backward)
	}
}

func (p *planner) addCall(i int, back bool) {
	p.out.Actions = append(p.out.Actions, rollout.Action{Kind: rollout.ActionCall, Target: i, Back: back})
	p.sched.wakeVisible(p.now.Add(p.spec.ForDirection(&p.s.Targets[i], back).Deploy.Timeout.Std()))
	if back || p.d.Kind == rollout.KindRollback {
		p.sched.wakeBy(p.now.Add(p.capacity.maxBlocking()))
	}
}

// giveUpIfStopped settles a target when no forward call will ever start again.
func (p *planner) giveUpIfStopped(i int, t *rollout.Target) {
	if p.d.Stop == rollout.StopHalted {
		p.out.Transitions = append(p.out.Transitions, finalTransition(i, t, t.Error))
	}
}

// verifyTarget probes a target that has taken its call, until its checks conclude or its time is over.
func (p *planner) verifyTarget(i int, t *rollout.Target) {
	rules := p.rulesFor(t)
	deadline := t.PhaseAt.Add(rules.HealthyDeadline.Std())
	if p.now.Before(deadline) {
		p.sched.wakeVisible(deadline)
		for c := range p.rulesFor(t).Checks {
			p.probes.addProbe(i, c, t.Checks[c].NextAt)
		}
		return
	}
	m := rollout.Transition{Target: i, Phase: rollout.PhaseSettled, State: lifecycle.SuccessState(t)}
	if !lifecycle.Passes(rules, t) {
		m.State = rollout.TargetFailed
		m.Message = fmt.Sprintf("not healthy within %s: %s", rules.HealthyDeadline, lifecycle.FailingCheck(rules, t))
	}
	p.out.Transitions = append(p.out.Transitions, m)
}
