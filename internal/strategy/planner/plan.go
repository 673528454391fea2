package planner

import (
	"cmp"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
	"rollcall/internal/strategy/lifecycle"
)

// farAway is when a deployment that waits for a person is looked at again, for want of anything better to do.
const farAway = time.Hour

// answerGrace is how long after a call's end its outcome may take to arrive.
const answerGrace = time.Second

// planner is one decision in the making. It reads the snapshot and never changes it.
type planner struct {
	s    *rollout.Snapshot
	d    *rollout.Deployment
	spec *rollout.Spec
	kind strategy.Kind
	now  time.Time
	out  rollout.Decision
	// counted facts
	failures int // targets that went forward and did not arrive
	calling  int // calls in flight
	busy     int // targets that may be out of service, without those whose calls hang
	// full are the weights of the targets in full rotation; nil when nobody knows them.
	full []int
	// widespread: most of those that served when the deployment began ran its version already
	widespread bool
	// leaving are the targets that shall be called as soon as traffic has left them, and whether to take them back.
	leaving map[int]bool
	// next is the earliest time at which the deployment does something that people would see.
	next time.Time
	// pending says in words what is waited for besides the wave itself, and until when; empty when nothing is.
	pending      string
	pendingUntil time.Time
}

// Plan decides what the deployment does now. Its status is to be stored, its moves and actions to be carried out, and
// the whole asked again when something has changed or at Wake.
func Plan(s *rollout.Snapshot, now time.Time) rollout.Decision {
	p := newPlanner(s, now)
	if p.d.State.Terminal() {
		return p.out
	}
	for _, rule := range []func() bool{p.begin, p.forgive, p.turn, p.passGate, p.hold} {
		if rule() {
			p.out.Replan = true
			return p.out
		}
	}
	p.work()
	p.watchRouter()
	p.out.Replan = p.out.Replan || len(p.out.Transitions) > 0 && !p.out.Status.State.Terminal()
	p.out.Status.DeadlineAt = p.deadline()
	if at := p.out.Status.DeadlineAt; at.After(p.now) {
		p.wakeBy(at)
	}
	if !p.out.Status.State.Terminal() {
		p.out.Status.NextActionAt = p.nextAction()
		p.out.Status.Reason = p.reason()
		p.wakeBy(p.now.Add(farAway))
	}
	return p.out
}

func newPlanner(s *rollout.Snapshot, now time.Time) *planner {
	d := &s.Deployment
	p := &planner{s: s, d: d, spec: &d.Spec, now: now}
	p.kind, _ = strategy.KindOf(d.Spec.Strategy.Type)
	p.out.Status = d.Status
	if len(s.Targets) > 0 {
		p.out.Status.Progress.WaitedUntil = waitedUntil(s)
	}
	for i := range s.Targets {
		p.count(&s.Targets[i])
	}
	if d.Spec.Traffic != nil {
		p.full = fullWeights(s)
	}
	if r := d.Progress.Router; r != nil && r.InFlight {
		p.calling++
	}
	p.widespread = widespread(s)
	return p
}

// waitedUntil is until when the work of earlier deployments is waited for at targets of the waves that have begun.
func waitedUntil(s *rollout.Snapshot) time.Time {
	var until time.Time
	for i := range s.Targets {
		if t := &s.Targets[i]; t.Wave > 0 && t.Wave <= s.Deployment.Progress.Wave {
			until = lifecycle.Later(until, t.History.WaitedUntil)
		}
	}
	return until
}

// rules is the spec by which the target is called and judged on its present way.
func (p *planner) rules(t *rollout.Target) *rollout.Spec { return p.spec.For(t) }

func (p *planner) count(t *rollout.Target) {
	if t.Phase == rollout.PhaseCalling {
		p.calling++
	}
	if t.OutOfService() && !p.hangs(t) {
		p.busy++
	}
	if !t.Done() {
		return
	}
	switch {
	case p.failedForward(t):
		p.failures++
	case t.State == rollout.TargetUpdated || t.State == rollout.TargetRolledBack:
		if at := &p.out.Status.Progress.LastProgressAt; t.FinishedAt.After(*at) {
			*at = t.FinishedAt
		}
	}
}

// failedForward reports whether a target did not get where the deployment wants it; one that was only checked was there.
func (p *planner) failedForward(t *rollout.Target) bool {
	checked := t.Wave > 0 && p.spec.Waves[t.Wave-1].CheckOnly
	return !t.RollingBack && lifecycle.FailedOrUnknown(t) && !checked
}

// begin starts a pending deployment, unless someone has called it off or holds it.
func (p *planner) begin() bool {
	if !p.d.StartedAt.IsZero() || p.d.Operator.Abort || p.d.Operator.Pause || p.d.Unapproved() {
		return false
	}
	st := &p.out.Status
	st.State, st.StartedAt = rollout.StateInProgress, p.now
	st.Progress.LastProgressAt, st.Progress.PausedAt, st.Progress.ResumesApplied = p.now, time.Time{}, p.d.Operator.Resumes
	p.event(rollout.EventStarted, 0, "")
	p.openWave(1)
	return true
}

// forgive goes on after a resume: what has failed so far no longer counts.
func (p *planner) forgive() bool {
	st := &p.out.Status
	if p.d.Operator.Resumes <= st.Progress.ResumesApplied || p.d.StartedAt.IsZero() {
		return false
	}
	st.Progress.ResumesApplied = p.d.Operator.Resumes
	if p.d.Stop == rollout.StopPaused {
		st.Stop, st.Progress.Forgiven, st.Progress.FailureReason = rollout.StopNone, p.failures, ""
		st.Progress.LastProgressAt, st.Progress.PausedAt = p.now, time.Time{}
		p.trustRouter()
	}
	return true
}

// turn stops going forward when too much has failed or too little has happened, or when someone asked to roll back.
func (p *planner) turn() bool {
	if p.d.StartedAt.IsZero() || p.d.Direction == rollout.Backward || p.d.Operator.Abort {
		return false
	}
	if p.d.Operator.Rollback {
		p.turnBack("a rollback was asked for")
		return true
	}
	if p.d.Stop != rollout.StopNone {
		return false
	}
	cause := p.failureCause()
	if cause == "" {
		return false
	}
	if p.refused() && p.spec.Strategy.OnFailure != rollout.OnFailurePause {
		p.stop(rollout.StopHalted, cause+"; nothing was changed")
		return true
	}
	switch p.spec.Strategy.OnFailure {
	case rollout.OnFailurePause:
		p.stop(rollout.StopPaused, cause)
	case rollout.OnFailureHalt:
		p.stop(rollout.StopHalted, cause)
	case rollout.OnFailureRollback:
		p.turnBack(cause)
	}
	return true
}

func (p *planner) turnBack(cause string) {
	lifecycle.BeginRollback(&p.out.Status, p.spec, cause, p.now)
	if p.d.State != rollout.StateRollingBack {
		p.event(rollout.EventRollbackStarted, 0, cause)
	}
}

func (p *planner) stop(stop rollout.Stop, cause string) {
	st := &p.out.Status
	st.Stop, st.Progress.FailureReason = stop, cause
	st.Reason = cause
	if stop == rollout.StopHalted { // it waits for no gate, and has the whole deadline to settle what is under way
		st.Progress.LastProgressAt, st.Progress.Gate = p.now, 0
	}
}

// hold stands still for a person, and starts the progress deadline again where it was.
func (p *planner) hold() bool {
	st := &p.out.Status
	held := p.held()
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
		st.Progress.LastProgressAt = lifecycle.Earlier(p.now, p.patienceFrom().Add(p.now.Sub(st.Progress.PausedAt)))
		st.Progress.PausedAt = time.Time{}
	}
	st.State = want
	if held && p.d.State != rollout.StatePaused && p.d.Progress.Gate == 0 {
		p.event(p.heldEvent(), 0, p.heldReason())
	}
	return true
}

func (p *planner) heldEvent() string {
	if p.d.Unapproved() {
		return rollout.EventGateWaiting
	}
	return rollout.EventPaused
}

// held reports whether nothing may begin until a person says so.
func (p *planner) held() bool { return p.heldByPeople() || p.heldByItself() }

// heldByPeople reports whether somebody holds the deployment, or has not approved it: then nothing at all happens.
func (p *planner) heldByPeople() bool {
	return !p.d.Operator.Abort && (p.d.Operator.Pause || p.d.Unapproved())
}

// heldByItself reports whether the deployment has stopped at a gate or after a failure: then those who fall sick still
// lose their traffic.
func (p *planner) heldByItself() bool {
	return !p.d.Operator.Abort && (p.d.Stop == rollout.StopPaused || p.d.Progress.Gate > 0)
}

// work does what the present direction asks for.
func (p *planner) work() {
	switch {
	case p.ending() && p.overdue() && p.calling > 0:
		p.out.CancelCalls = true
		p.wakeBy(p.now.Add(time.Second))
	case p.d.Operator.Abort:
		p.abort()
	case p.ending() && p.overdue():
		p.giveUpAll("the progress deadline passed")
		p.finish(rollout.StateFailed)
	case p.d.Direction == rollout.Backward:
		p.backward()
	default:
		p.forward()
	}
}

// ending reports whether the deployment only waits for what is under way, or takes back what was done.
func (p *planner) ending() bool {
	return p.d.Direction == rollout.Backward || p.d.Stop == rollout.StopHalted || p.d.Operator.Abort
}

func (p *planner) overdue() bool {
	deadline := p.deadline()
	return !deadline.IsZero() && !p.now.Before(deadline)
}

// deadline is when the deployment has gone too long without progress. It stands still while a person is waited for,
// and a planned wait puts it off.
func (p *planner) deadline() time.Time {
	st := &p.out.Status
	if st.StartedAt.IsZero() || st.State.Terminal() || !st.Progress.PausedAt.IsZero() {
		return time.Time{}
	}
	return p.patienceFrom().Add(p.spec.Strategy.ProgressDeadline.Std())
}

// patienceFrom is when progress was last made, or a planned wait ends; also one that is cut short. So is the wait for what
// an earlier deployment has left behind. What ends waits for nothing that was planned.
func (p *planner) patienceFrom() time.Time {
	st := &p.out.Status
	progress := &st.Progress
	if st.Direction == rollout.Backward || st.Stop == rollout.StopHalted || p.d.Operator.Abort {
		return progress.LastProgressAt
	}
	return lifecycle.Later(lifecycle.Later(progress.LastProgressAt, progress.WaitedUntil), lifecycle.Later(p.plannedEnd(), p.answerBy()))
}

// abort calls nobody more and leaves every target as it is: traffic goes back to the old side at once, and calls in flight
// are waited for.
func (p *planner) abort() {
	back := !p.begun() || p.settled(p.setting(0, nil))
	if p.calling > 0 {
		p.awaitCalls()
		return
	}
	if !p.overdue() && p.awaitAllWork() {
		return
	}
	end := rollout.StateAborted
	if !back {
		if !p.overdue() {
			return
		}
		end = rollout.StateFailed
		p.out.Status.Progress.FailureReason = "aborted, but the router did not confirm that the old side serves" + p.routerError()
	}
	p.giveUpAll("the deployment was aborted before this target was verified")
	p.finish(end)
}

// giveUpAll gives every target without an outcome the one that is true of it.
func (p *planner) giveUpAll(why string) {
	for i := range p.s.Targets {
		t := &p.s.Targets[i]
		if t.Done() {
			continue
		}
		m := lastMove(i, t, why)
		if m.State == rollout.TargetUnknown && p.mayRun(t) {
			m.Message += "; its last call may be at work until " + moment(t.History.MayRunUntil)
		}
		p.out.Transitions = append(p.out.Transitions, m)
	}
}

// lastMove is the outcome of a target that nothing more is done for.
func lastMove(i int, t *rollout.Target, why string) rollout.Transition {
	m := rollout.Transition{
		Target: i, Phase: rollout.PhaseSettled, State: rollout.TargetUnknown, Message: cmp.Or(why, "what its last call did is not known"),
	}
	switch {
	case !t.Touched() && t.Error == "":
		m.State, m.Message = rollout.TargetUnchanged, ""
	case t.Phase == rollout.PhaseReady && t.State != rollout.TargetUnknown:
		m.State, m.Message = rollout.TargetFailed, t.Error // its last attempt was answered: it failed
	case t.State == rollout.TargetUnknown && t.Error != "":
		m.Message = t.Error
	}
	return m
}

func (p *planner) awaitCalls() {
	for i := range p.s.Targets {
		if t := &p.s.Targets[i]; t.Phase == rollout.PhaseCalling {
			p.awaitAnswer(t)
		}
	}
}

func (p *planner) begun() bool { return !p.d.StartedAt.IsZero() }

// awaitAnswer leaves a call alone until well after its time: its answer comes by itself.
func (p *planner) awaitAnswer(t *rollout.Target) {
	p.wakeBy(lifecycle.Later(t.Call.Deadline, p.now).Add(answerGrace))
	p.showsBy(t.Call.Deadline)
}

// wakeBy asks to be looked at again at a time, or before.
func (p *planner) wakeBy(at time.Time) {
	if p.out.WakeAt.IsZero() || at.Before(p.out.WakeAt) {
		p.out.WakeAt = at
	}
}

// nextAction is when people see something happen next. What waits at a gate waits for a person, whatever the router does.
func (p *planner) nextAction() time.Time {
	if p.d.Progress.Gate > 0 && p.held() {
		return time.Time{}
	}
	return p.next
}

// visibleAt asks to be looked at again at a time at which people will see something happen.
func (p *planner) visibleAt(at time.Time) {
	p.wakeBy(at)
	p.showsBy(at)
}

// showsBy says that people will see something happen at a time, or before.
func (p *planner) showsBy(at time.Time) {
	if p.next.IsZero() || at.Before(p.next) {
		p.next = at
	}
}

func (p *planner) event(kind string, wave int, message string) {
	p.out.Events = append(p.out.Events, rollout.Event{
		At: p.now, Type: kind, Actor: rollout.ActorEngine, Wave: wave,
		From: string(p.d.State), To: string(p.out.Status.State), Message: message,
	})
}
