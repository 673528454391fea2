package strategy_test

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy/planner"
)

// How late a promise about time may be kept.
const (
	deadlineSlack   = 5 * time.Second
	nextActionSlack = 8 * time.Second
)

// checkSpin bounds what may happen at one instant.
func (s *sim) checkSpin() {
	if s.stepsNow++; s.stepsNow > 200+10*len(s.world) {
		s.violate("it spins: %d decisions at one instant", s.stepsNow)
	}
}

// checkClock holds the stored deployment to the times that it names.
func (s *sim) checkClock() {
	d := &s.stored.Deployment
	if d.State.Terminal() || s.live == nil && !s.released {
		return
	}
	if due := Later(d.DeadlineAt, Later(s.adoptedAt, s.resumedAt)); !d.DeadlineAt.IsZero() && s.now.After(due.Add(deadlineSlack)) {
		s.violate("deadline_at %s has passed, and it is still %s: %s", d.DeadlineAt.Sub(simStart), d.State, d.Reason)
	}
	late := !d.NextActionAt.IsZero() && s.now.After(d.NextActionAt.Add(nextActionSlack))
	if late && s.now.After(s.adoptedAt.Add(time.Second)) {
		s.violate("next_action_at %s is long past: %s", d.NextActionAt.Sub(simStart), d.Reason)
	}
}

func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// countFailures counts, from the targets alone, those that went forward and did not arrive.
func (s *sim) countFailures() int {
	failures := 0
	for i := range s.live.Targets {
		t := &s.live.Targets[i]
		if !t.RollingBack && t.Done() && (t.State == rollout.TargetFailed || t.State == rollout.TargetUnknown) {
			failures++
		}
	}
	return failures
}

// noteForgiven sees a resume take effect: failures until then no longer count.
func (s *sim) noteForgiven(before *rollout.Deployment, failures int) {
	if before.Stop == rollout.StopPaused && s.live.Deployment.Stop == rollout.StopNone {
		s.liveForgiven, s.liveBook.failed = failures, 0
	}
	if before.Progress.Gate > 0 && s.live.Deployment.Progress.Gate == 0 { // so does a promote, for the router
		s.liveBook.failed = 0
	}
}

// checkDecision holds a decision against the facts that it was made from.
func (s *sim) checkDecision(before *rollout.Deployment, d *rollout.Decision) {
	st := &d.Status
	changed := before.Status != *st
	over := st.State.Terminal()
	switch {
	case !before.State.CanBecome(st.State):
		s.violate("%s cannot become %s", before.State, st.State)
	case before.Direction == rollout.Backward && st.Direction != rollout.Backward:
		s.violate("it turned forward again")
	case over && (len(d.Actions) > 0 || d.Replan || d.CancelCalls || !d.WakeAt.IsZero()):
		s.violate("it is over and still acts: %d actions, again %t, wake %s", len(d.Actions), d.Replan, d.WakeAt)
	case over && (!st.DeadlineAt.IsZero() || !st.NextActionAt.IsZero() || st.FinishedAt.IsZero()):
		s.violate("it is over and still waits")
	case !over && !d.Replan && !d.WakeAt.After(s.now):
		s.violate("it would not look again in the future: wake %s, %s", d.WakeAt.Sub(simStart), st.Reason)
	case d.Replan && !changed && len(d.Transitions) == 0:
		s.violate("it asks for another decision and changed nothing")
	case !over && !d.Replan && st.State == rollout.StatePaused && !before.Operator.Abort && !st.DeadlineAt.IsZero():
		s.violate("a deadline runs while it is paused")
	case st.Reason == "":
		s.violate("no reason")
	}
	s.checkStateEvents(before.State, st.State, d.Events)
	s.checkGate(before, d)
	s.checkUnhealthyLeaves(before, d)
	s.checkShareHeld(before, d)
	s.checkWave(before, st)
	s.checkCause(before, st)
	s.checkPure(d)
}

// checkStateEvents wants an event for each change of state; that of continuing after a pause comes from the command.
func (s *sim) checkStateEvents(from, to rollout.State, events []rollout.Event) {
	if from == to || from == rollout.StatePaused && !to.Terminal() {
		return
	}
	if !slices.ContainsFunc(events, func(e rollout.Event) bool { return e.Target == "" && e.To == string(to) }) {
		s.violate("there is no event for %s → %s", from, to)
	}
}

// checkPure asks now and then whether the same facts give the same decision, and are left as they were.
func (s *sim) checkPure(d *rollout.Decision) {
	if !chance(s.rng, 0.005) {
		return
	}
	was := s.live.Clone()
	if again := planner.Plan(s.live, s.now); !reflect.DeepEqual(again, *d) {
		s.violate("the same facts gave two decisions")
	}
	if !reflect.DeepEqual(was.Targets, s.live.Targets) {
		s.violate("planning changed the facts")
	}
}

// checkIntent holds a call that is about to be written down against everything known before.
func (s *sim) checkIntent(before *rollout.Deployment, t *rollout.Target, a rollout.Action, events []rollout.Event) {
	c, sh := &a.Call, &s.liveShadow[a.Target]
	after := t.Clone()
	if after.CallsSent == 0 && !a.Back {
		after.PreviousVersion = after.Version
	}
	spec := before.Spec.ForDirection(&after, a.Back)
	if a.Back && spec != &before.Spec {
		s.cover("rules: back by those of an earlier deployment")
	}
	known := *sh.webhook.of(c.Action)
	switch {
	case len(events) != 1 || events[0].Type != rollout.EventTargetIntent || *events[0].Call != *c:
		s.violate("%s: a call without its intent", t.ID)
	case t.Wave == 0:
		s.violate("%s: called, and no wave takes it", t.ID)
	case t.Call != nil:
		s.violate("%s: a second call in flight", t.ID)
	case c.Fence < s.now.UnixMilli():
		s.violate("%s: fence %d is lower than the time, %d", t.ID, c.Fence, s.now.UnixMilli())
	case c.Fence <= sh.fence:
		s.violate("%s: fence %d after %d", t.ID, c.Fence, sh.fence)
	case known != "" && c.WebhookID != known:
		s.violate("%s: a re-send with another id", t.ID)
	case c.Attempt <= *sh.attempt.of(c.Action):
		s.violate("%s: attempt %d after %d", t.ID, c.Attempt, *sh.attempt.of(c.Action))
	case *sh.final.of(c.Action):
		s.violate("%s: it was refused, and is called again", t.ID)
	case *sh.calls.of(c.Action) > spec.Deploy.Retries+sh.adopted:
		s.violate("%s: %d calls, %d retries, %d lost with their owner", t.ID, *sh.calls.of(c.Action)+1, spec.Deploy.Retries, sh.adopted)
	case s.now.Before(*sh.earliest.of(c.Action)):
		s.violate("%s: called before %s", t.ID, sh.earliest.of(c.Action).Sub(simStart))
	case sh.lost && known != "" && askable(spec) && spec.Deploy.OnNoAnswer != rollout.OnNoAnswerResend:
		s.violate("%s: called again without being asked what the lost call did", t.ID)
	case !c.Deadline.Equal(s.now.Add(rollout.StartWithin + spec.Deploy.Timeout.Std())):
		s.violate("%s: a call until %s", t.ID, c.Deadline)
	case before.Operator.Pause || before.Operator.Abort || before.State == rollout.StatePaused:
		s.violate("%s: a call while %s", t.ID, before.Operator.Intent())
	case c.PreviousVersion != "" && c.PreviousVersion != s.world[a.Target].initial:
		s.violate("%s: it ran %s before, not %s", t.ID, s.world[a.Target].initial, c.PreviousVersion)
	}
	if a.Back {
		s.checkBackward(before, t, c, sh)
	} else {
		s.checkForward(before, t, c)
	}
	s.checkLeft(before, a.Target)
	sh.intend(s.now, c, a.Back)
}

func askable(spec *rollout.Spec) bool {
	return slices.ContainsFunc(spec.Checks, func(c healthcheck.Check) bool { return c.Type != healthcheck.TypeNone })
}

func (s *sim) checkBackward(before *rollout.Deployment, t *rollout.Target, c *rollout.Call, sh *shadow) {
	switch {
	case before.Direction != rollout.Backward:
		s.violate("%s: rolled back in a deployment that goes forward", t.ID)
	case !sh.touched():
		s.violate("%s: rolled back, and was never touched", t.ID)
	case c.Version == "" || c.Version != sh.previous:
		s.violate("%s: rolled back to %q, ran %q", t.ID, c.Version, sh.previous)
	}
}

// checkVerified wants every critical check to have passed as often as it must since the newest call, no word of another
// version, and no doubt whether that call was taken.
func (s *sim) checkVerified(index int) {
	t, sh := &s.live.Targets[index], &s.liveShadow[index]
	spec := s.live.Deployment.Spec.ForTarget(t)
	for c := range spec.Checks {
		check := &spec.Checks[c]
		if check.Critical && check.Type != healthcheck.TypeNone && !sh.passed[c] {
			s.violate("%s is %s, but check %s did not pass %d times in a row", t.ID, t.State, check.Name, check.HealthyThreshold)
		}
	}
	if sh.calls[0]+sh.calls[1] > 0 && !sh.taken {
		s.violate("%s is %s, and it is unknown whether it took its call", t.ID, t.State)
	}
	wanted := t.DesiredVersion
	if t.State == rollout.TargetRolledBack {
		wanted = t.PreviousVersion
	}
	if sh.said != "" && sh.said != wanted && wanted != "" {
		s.violate("%s is %s, but says that it runs %s", t.ID, t.State, sh.said)
	}
}

// checkGiveUpReason wants a reason for each verified target that is given up: a check that failed as often as it may, one of which
// nothing was known for as long as a target may take, or another version.
func (s *sim) checkGiveUpReason(index int) {
	t, sh := &s.live.Targets[index], &s.liveShadow[index]
	spec := s.live.Deployment.Spec.ForTarget(t)
	for c := range spec.Checks {
		check, since := &spec.Checks[c], sh.unknownSince[c]
		switch {
		case !check.Critical || check.Type == healthcheck.TypeNone:
		case !sh.passed[c]:
			return
		case !since.IsZero() && !s.now.Before(since.Add(spec.HealthyDeadline.Std())):
			s.cover("given up because nothing was known for too long")
			return
		}
	}
	s.violate("%s is given up, and no check failed or was unknown for %s", t.ID, spec.HealthyDeadline)
}

// checkStore holds what is about to be stored against what was.
func (s *sim) checkStore(dr *draft) {
	d := &s.live.Deployment
	out, most := 0, d.Spec.LargestWave()
	if d.Direction == rollout.Forward {
		most = d.Spec.Waves[max(d.Progress.Wave, 1)-1].Parallel
	}
	s.noteHanging()
	for i := range s.liveShadow {
		if s.liveShadow[i].out && !s.liveShadow[i].hung {
			out++
		}
	}
	if out > most && !d.State.Terminal() {
		s.violate("%d targets out of service, %d allowed, %s", out, most, d.Direction)
	}
	if dr.steps == 1 && !s.stored.Deployment.State.CanBecome(d.State) { // several steps were held to this one by one
		s.violate("stored %s cannot become %s", s.stored.Deployment.State, d.State)
	}
	if was := s.stored.Deployment.Progress.Wave; was > d.Progress.Wave {
		s.violate("from wave %d back to %d", was, d.Progress.Wave)
	}
	for i := range s.dirty {
		s.checkTargetEvent(&s.stored.Targets[i], &s.live.Targets[i])
	}
}

// noteHanging remembers whose calls hang on the way back: they have had half of the progress deadline.
func (s *sim) noteHanging() {
	d := &s.live.Deployment
	if d.Direction == rollout.Forward && d.Kind != rollout.KindRollback {
		return
	}
	for i := range s.live.Targets {
		t := &s.live.Targets[i]
		var began time.Time
		switch {
		case t.Phase == rollout.PhaseCalling:
			began = t.PhaseAt
		case s.now.Before(t.History.MayRunUntil):
			began = t.History.MayRunUntil.Add(-d.Spec.ForTarget(t).Deploy.Timeout.Std())
		default:
			continue
		}
		if !s.now.Before(began.Add(d.Spec.Strategy.ProgressDeadline.Std() / 2)) {
			s.liveShadow[i].hung = s.liveShadow[i].out
			s.storedShadow[i].hung = s.storedShadow[i].out // others may have been called since, and that is stored
			s.cover("a hanging call holds up no other on the way back")
		}
	}
}

func (s *sim) checkTargetEvent(was, is *rollout.Target) {
	if was.State == is.State || is.State == rollout.TargetUnchanged {
		return
	}
	reported := slices.ContainsFunc(s.events, func(e rollout.Event) bool { return e.Target == is.ID && e.To == string(is.State) })
	if !reported {
		s.violate("there is no event that says that %s went from %s to %s", is.ID, was.State, is.State)
	}
}

func (s *sim) describeTargets() string {
	text := ""
	for i := range s.stored.Targets {
		t, w := &s.stored.Targets[i], s.world[i]
		text += fmt.Sprintf("\n  %s wave %d: %s %s %q (was %q), truly %q; %v remembers=%t stubborn=%t bad=%q unhealthy=%s flaps=%.1f mute=%.1f %s",
			t.ID, t.Wave, t.Phase, t.State, t.Version, t.PreviousVersion, w.running, w.moods, w.remembers, w.stubborn,
			w.badOn, w.unhealthyAfter, w.flaps, w.mute, t.Error)
	}
	return text
}

// checkArrival wants fences at a target to rise, except in calls of those who have been declared dead, and no call to come
// while an earlier one is still at work within its time.
func (s *sim) checkArrival(c sent, w *simTarget) {
	if s.now.Before(Earlier(w.workEnds, w.workDue)) {
		s.violate("%s got a call while an earlier one was at work until %s", w.id, w.workEnds.Sub(simStart))
	}
	if !c.late && c.call.Fence <= w.highest && !w.ahead {
		s.violate("%s got fence %d after %d", w.id, c.call.Fence, w.highest)
	}
}
