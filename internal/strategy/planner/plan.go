package planner

import (
	"slices"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// idleRecheck is when a deployment that only waits for an operator is planned again.
const idleRecheck = time.Hour

// resultGrace is how long after a call's deadline its result may take to arrive.
const resultGrace = time.Second

// planner makes one decision. It reads the snapshot and never changes it.
type planner struct {
	*view
	traffic  *traffic
	newSide  newSide
	capacity capacity
	router   routerPlan
	probes   probePlan
	sched    schedule
	out      rollout.Decision
	// draining are the targets to call as soon as their traffic has drained.
	draining map[int]bool
}

// Plan decides what the deployment does now. The caller stores the status, carries out transitions and actions, and plans
// again when something has changed, or at Wake.
func Plan(s *rollout.Snapshot, now time.Time) rollout.Decision {
	p := newPlanner(s, now)
	if p.d.State.Terminal() {
		return p.decision()
	}
	if p.startPending() || p.applyResume() || p.checkFailurePolicy() || p.passGate() || p.updatePause() {
		p.out.Replan = true
		return p.decision()
	}
	p.dispatchPhase()
	p.router.readIfDue()
	p.out.Replan = p.out.Replan || len(p.out.Transitions) > 0 && !p.st.State.Terminal()
	if p.out.Replan { // a target that settles now is probed by other rules, or not at all: the next decision plans the probes
		p.out.Actions = slices.DeleteFunc(p.out.Actions, func(a rollout.Action) bool { return a.Kind == rollout.ActionProbe })
	}
	p.st.DeadlineAt = p.progressDeadline()
	if p.st.DeadlineAt.After(p.now) {
		p.sched.wakeBy(p.st.DeadlineAt)
	}
	if !p.st.State.Terminal() {
		p.st.NextActionAt = p.nextAction()
		p.st.Reason = currentReason(p.view, p.sched.waiting)
		p.sched.wakeBy(p.now.Add(idleRecheck))
	}
	return p.decision()
}

func newPlanner(s *rollout.Snapshot, now time.Time) *planner {
	p := &planner{out: rollout.Decision{Status: s.Deployment.Status}}
	p.view = newView(s, now, &p.out.Status)
	if len(s.Targets) > 0 {
		p.st.Progress.WaitedUntil = waitedUntil(s)
	}
	p.traffic = newTraffic(p.view)
	p.newSide = newSide{p.view}
	p.capacity = capacity{view: p.view, sched: &p.sched}
	p.router = routerPlan{traffic: p.traffic, sched: &p.sched, out: &p.out}
	p.probes = probePlan{view: p.view, sched: &p.sched, out: &p.out}
	for i := range s.Targets {
		p.capacity.countBusy(&s.Targets[i])
		noteProgress(&p.st.Progress, &s.Targets[i])
	}
	return p
}

// decision returns the decision as it is so far.
func (p *planner) decision() rollout.Decision {
	p.out.WakeAt = p.sched.wake
	return p.out
}

// noteProgress notes when a target last made progress.
func noteProgress(progress *rollout.Progress, t *rollout.Target) {
	if t.Done() && (t.State == rollout.TargetUpdated || t.State == rollout.TargetRolledBack) && t.FinishedAt.After(progress.LastProgressAt) {
		progress.LastProgressAt = t.FinishedAt
	}
}

// startPending starts a pending deployment, unless it is aborted, paused or not approved.
func (p *planner) startPending() bool {
	if !p.d.StartedAt.IsZero() || p.d.Operator.Abort || p.d.Operator.Pause || p.d.NeedsApproval() {
		return false
	}
	st := &p.out.Status
	st.State, st.StartedAt = rollout.StateInProgress, p.now
	st.Progress.LastProgressAt, st.Progress.PausedAt, st.Progress.ResumesApplied = p.now, time.Time{}, p.d.Operator.Resumes
	p.addEvent(rollout.EventStarted, 0, "")
	p.startWave(1)
	return true
}

// applyResume continues after a resume: what has failed so far no longer counts.
func (p *planner) applyResume() bool {
	st := &p.out.Status
	if p.d.Operator.Resumes <= st.Progress.ResumesApplied || p.d.StartedAt.IsZero() {
		return false
	}
	st.Progress.ResumesApplied = p.d.Operator.Resumes
	if p.d.Stop == rollout.StopPaused {
		st.Stop, st.Progress.Forgiven, st.Progress.FailureReason = rollout.StopNone, p.failures, ""
		st.Progress.LastProgressAt, st.Progress.PausedAt = p.now, time.Time{}
		p.resetRouterRetries()
	}
	return true
}

// checkFailurePolicy stops going forward when too much has failed or too little has happened, or when someone asked to roll back.
func (p *planner) checkFailurePolicy() bool {
	if p.d.StartedAt.IsZero() || p.d.Direction == rollout.Backward || p.d.Operator.Abort {
		return false
	}
	if p.d.Operator.Rollback {
		p.startRollback("rollback requested")
		return true
	}
	if p.d.Stop != rollout.StopNone {
		return false
	}
	cause := failureCause(p.view)
	if cause == "" {
		return false
	}
	if p.refusedByRouter() && p.spec.Strategy.OnFailure != rollout.OnFailurePause {
		p.stopForward(rollout.StopHalted, cause+"; nothing was changed")
		return true
	}
	switch p.spec.Strategy.OnFailure {
	case rollout.OnFailurePause:
		p.stopForward(rollout.StopPaused, cause)
	case rollout.OnFailureHalt:
		p.stopForward(rollout.StopHalted, cause)
	case rollout.OnFailureRollback:
		p.startRollback(cause)
	}
	return true
}

func (p *planner) startRollback(cause string) {
	lifecycle.BeginRollback(&p.out.Status, p.spec, cause, p.now)
	if p.d.State != rollout.StateRollingBack {
		p.addEvent(rollout.EventRollbackStarted, 0, cause)
	}
}

func (p *planner) stopForward(stop rollout.Stop, cause string) {
	st := &p.out.Status
	st.Stop, st.Progress.FailureReason = stop, cause
	st.Reason = cause
	if stop == rollout.StopHalted { // it waits for no gate, and has the whole deadline to settle what is under way
		st.Progress.LastProgressAt, st.Progress.Gate = p.now, 0
	}
}

// updatePause stands still for a person, and starts the progress deadline again where it was.
func (p *planner) updatePause() bool {
	st := &p.out.Status
	held := p.isPaused()
	want := lifecycle.RunningState(p.d)
	if held {
		want = rollout.StatePaused
	}
	if held == !st.Progress.PausedAt.IsZero() && st.State == want {
		return false
	}
	if held && st.Progress.PausedAt.IsZero() {
		st.Progress.PausedAt = p.now
	}
	if !held && !st.Progress.PausedAt.IsZero() {
		st.Progress.LastProgressAt = lifecycle.Earlier(p.now, p.progressSince().Add(p.now.Sub(st.Progress.PausedAt)))
		st.Progress.PausedAt = time.Time{}
	}
	st.State = want
	if held && p.d.State != rollout.StatePaused && p.d.Progress.Gate == 0 {
		p.addEvent(pauseEvent(p.view), 0, pauseReason(p.view))
	}
	return true
}

// dispatchPhase does what the present direction asks for.
func (p *planner) dispatchPhase() {
	switch {
	case p.windingDown() && p.isOverdue() && p.calling > 0:
		p.out.CancelCalls = true
		p.sched.wakeBy(p.now.Add(time.Second))
	case p.d.Operator.Abort:
		p.planAbort()
	case p.windingDown() && p.isOverdue():
		p.settleRemaining("the progress deadline passed")
		p.finish(rollout.StateFailed)
	case p.d.Direction == rollout.Backward:
		p.planBackward()
	default:
		p.planForward()
	}
}

// planAbort calls no more targets and leaves every target as it is: traffic goes back to the old side at once, and calls in flight
// are waited for.
func (p *planner) planAbort() {
	back := !p.hasStarted() || p.router.ensureAtEnd(p.traffic.splitAt(0, nil))
	if p.calling > 0 {
		p.awaitCalls()
		return
	}
	if !p.isOverdue() && p.probes.awaitAllWork() {
		return
	}
	end := rollout.StateAborted
	if !back {
		if !p.isOverdue() {
			return
		}
		end = rollout.StateFailed
		p.out.Status.Progress.FailureReason = "aborted, but the router did not confirm that the old side serves all traffic" + routerErrorText(p.view)
	}
	p.settleRemaining("the deployment was aborted before this target was verified")
	p.finish(end)
}

// settleRemaining settles every target without an outcome, with the one that is true of it.
func (p *planner) settleRemaining(why string) {
	for i := range p.s.Targets {
		t := &p.s.Targets[i]
		if t.Done() {
			continue
		}
		m := finalTransition(i, t, why)
		if m.State == rollout.TargetUnknown && p.mayBeWorking(t) {
			m.Message += "; its last call may still be running until " + formatTime(t.History.MayRunUntil)
		}
		p.out.Transitions = append(p.out.Transitions, m)
	}
}

func (p *planner) awaitCalls() {
	for i := range p.s.Targets {
		if t := &p.s.Targets[i]; t.Phase == rollout.PhaseCalling {
			p.awaitResult(t)
		}
	}
}

// awaitResult leaves a call alone until well after its time: its answer comes by itself.
func (p *planner) awaitResult(t *rollout.Target) {
	p.sched.wakeBy(lifecycle.Later(t.Call.Deadline, p.now).Add(resultGrace))
	p.sched.noteVisible(t.Call.Deadline)
}

// nextAction returns when users see something happen next. At a gate that is unknown, whatever the router does.
func (p *planner) nextAction() time.Time {
	if p.d.Progress.Gate > 0 && p.isPaused() {
		return time.Time{}
	}
	return p.sched.visible
}

func (p *planner) addEvent(kind string, wave int, message string) {
	p.out.Events = append(p.out.Events, rollout.Event{
		At: p.now, Type: kind, Actor: rollout.ActorEngine, Wave: wave,
		From: string(p.d.State), To: string(p.out.Status.State), Message: message,
	})
}

// resetRouterRetries lets the router be tried as often as if it had not refused: an operator continues the deployment.
func (p *planner) resetRouterRetries() {
	if p.d.Progress.Router == nil {
		return
	}
	r := lifecycle.RouterOf(p.d)
	r.RetriesUsed, r.Refused = 0, false
	p.out.Status.Progress.Router = &r
}
