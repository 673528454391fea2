package strategy_test

import (
	"math"
	"slices"
	"strings"
	"time"

	"rollcall/internal/rollout"
)

// interval is a time in which the deployment stood still for a person; to is zero while it does.
type interval struct{ from, to time.Time }

// noteHeld keeps the book of the times in which the owner's deployment stands still.
func (s *sim) noteHeld() { s.noteHeldBy(&s.live.Deployment) }

func (s *sim) noteHeldBy(d *rollout.Deployment) {
	open := len(s.held) > 0 && s.held[len(s.held)-1].to.IsZero()
	switch held := d.State == rollout.StatePaused; {
	case held && !open:
		s.held = append(s.held, interval{from: s.now})
	case !held && open:
		s.held[len(s.held)-1].to = s.now
	}
}

// forgetHeld corrects the book for an owner that died before it could store what it had decided last.
func (s *sim) forgetHeld() {
	if len(s.held) == 0 {
		return
	}
	last := &s.held[len(s.held)-1]
	switch stored := s.stored.Deployment.State == rollout.StatePaused; {
	case stored && !last.to.IsZero():
		last.to = time.Time{}
	case !stored && last.to.IsZero():
		s.held = s.held[:len(s.held)-1]
	}
}

// heldSince is for how long the deployment has stood still since a time.
func (s *sim) heldSince(since time.Time) time.Duration {
	var sum time.Duration
	for _, h := range s.held {
		to := h.to
		if to.IsZero() {
			to = s.now
		}
		if to.After(since) {
			sum += to.Sub(Later(h.from, since))
		}
	}
	return sum
}

// checkOverdue wants a lack of progress to be a real one: nothing was verified for as long as the deadline says, and
// neither a planned wait nor a person's absence counts.
func (s *sim) checkOverdue(before *rollout.Deployment) {
	d := &s.live.Deployment
	if before.Progress.FailureReason == d.Progress.FailureReason {
		return
	}
	r := d.Progress.Router
	behind := r != nil && r.Sent != nil && !r.Applied.Equal(&r.Sent.Setting)
	switch {
	case strings.HasPrefix(d.Progress.FailureReason, "no target was verified"):
		s.cover("stopped: progress")
	case strings.HasPrefix(d.Progress.FailureReason, "traffic was not moved"):
		s.cover("stopped: traffic was not moved")
	default:
		return
	}
	if named := strings.HasPrefix(d.Progress.FailureReason, "traffic"); named != behind {
		s.violate("it gave up for %q, and the router is behind: %t", d.Progress.FailureReason, behind)
	}
	since := before.Progress.WaveStartedAt
	for i := range s.live.Targets {
		if t := &s.live.Targets[i]; t.State == rollout.TargetUpdated {
			since = Later(since, t.FinishedAt)
		}
	}
	if before.Progress.Gate > 0 || !before.Progress.WaveSettledAt.IsZero() && !behind {
		s.violate("past the deadline in a wave that only waits: %s", d.Progress.FailureReason)
	}
	if waited := s.now.Sub(since) - s.heldSince(since); waited < d.Spec.Strategy.ProgressDeadline.Std() {
		s.violate("past the deadline after %s: %s", waited, d.Progress.FailureReason)
	}
}

// checkGate wants a closed gate to be seen, to hold everything back, and to be left only by those who may.
func (s *sim) checkGate(before *rollout.Deployment, d *rollout.Decision) {
	st, was := &d.Status, before.Progress.Gate
	gate := st.Progress.Gate
	if was > 0 && (gate == 0 || st.State.Terminal()) {
		s.leaveGate(before, st, was)
	}
	if gate == 0 || st.State.Terminal() {
		return
	}
	wave := &before.Spec.Waves[gate-1]
	s.cover("gate: " + wave.Gate)
	waits := !before.Operator.Pause && before.Stop == rollout.StopNone && !before.Operator.Abort
	switch {
	case gate != st.Progress.Wave || wave.Gate == rollout.GateNone:
		s.violate("it waits at a gate of wave %d, which has none, in wave %d", gate, st.Progress.Wave)
	case st.Progress.Wave != before.Progress.Wave:
		s.violate("wave %d begins while a gate is closed", st.Progress.Wave)
	case d.Replan || before.Operator.Abort:
	case s.isOpen(gate):
		s.violate("it waits at the gate of wave %d, which was opened", gate)
	case st.State != rollout.StatePaused || !st.DeadlineAt.IsZero() || !st.NextActionAt.IsZero():
		s.violate("a closed gate shows %s, deadline %s, next %s", st.State, st.DeadlineAt, st.NextActionAt)
	case waits && !strings.Contains(st.Reason, "waiting for promotion"):
		s.violate("the reason does not say what the gate waits for: %q", st.Reason)
	case wave.Gate == rollout.GateSwitch && st.Progress.Weight == wave.Weight && before.Operator.Abort:
	case wave.Gate == rollout.GateSwitch && st.Progress.Weight == wave.Weight:
		s.violate("traffic is switched before the gate is opened")
	}
}

func (s *sim) leaveGate(before *rollout.Deployment, st *rollout.Status, gate int) {
	switch {
	case st.Direction == rollout.Backward || st.State == rollout.StateAborted:
		s.cover("left a gate: " + string(st.State))
	case st.Stop == rollout.StopHalted:
		s.cover("left a gate: halted")
	case st.State == rollout.StateFailed && before.Operator.Abort:
		s.cover("left a gate: an abort for which the router never moved")
	case !s.isOpen(gate):
		s.violate("it leaves the gate of wave %d, which was not opened, and is %s", gate, st.State)
	case s.opened[gate] && !s.openedAll:
		s.cover("left a gate: promote")
	default:
		s.cover("left a gate: full")
	}
}

// checkWave wants waves to begin one by one, and completion to come after the last: each when all before have their
// outcomes, are baked, let through by their gates, and good enough.
func (s *sim) checkWave(before *rollout.Deployment, st *rollout.Status) {
	from, to := before.Progress.Wave, st.Progress.Wave
	over := st.State == rollout.StateCompleted || st.State == rollout.StateRolledBack && st.Direction == rollout.Forward
	if to == from && !over || from == 0 {
		return
	}
	w := before.Spec.Waves[from-1]
	wait := w.Bake.Std() + w.Delay.Std()
	if before.Operator.SkipGates {
		wait = 0
	}
	switch {
	case to != from+1 && !over:
		s.violate("from wave %d to wave %d", from, to)
	case over && from != len(before.Spec.Waves):
		s.violate("%s in wave %d", st.State, from)
	case w.Gate != rollout.GateNone && !s.isOpen(from):
		s.violate("wave %d is left through a gate that was not opened", from)
	case before.State == rollout.StatePaused || before.Operator.Pause || before.Operator.Abort:
		s.violate("wave %d is left while it is %s", from, before.State)
	case s.now.Before(before.Progress.WaveStartedAt.Add(wait)):
		s.violate("wave %d is left before it has baked", from)
	case s.overspent(s.live, s.liveForgiven):
		s.violate("wave %d is left with too many failures", from)
	case before.Spec.Traffic == nil && st.Progress.Weight != w.Weight:
		s.violate("wave %d is left with a weight of %d, not %d", from, st.Progress.Weight, w.Weight)
	}
	if w.Size == 0 {
		s.cover("a stage without new targets")
	}
	if wait > before.Spec.Strategy.ProgressDeadline.Std() {
		s.cover("a wait beyond the deadline")
	}
	s.checkAllSettled(from, wait)
}

func (s *sim) checkAllSettled(wave int, wait time.Duration) {
	for i := range s.live.Targets {
		t, sh := &s.live.Targets[i], &s.liveShadow[i]
		if t.Wave == 0 || t.Wave > wave {
			continue
		}
		if sh.settledAt.IsZero() || sh.out {
			s.violate("wave %d is left before %s has its outcome", wave, t.ID)
		}
		checks := s.live.Deployment.Spec.ForTarget(t).Checks
		for c := range checks {
			if t.State == rollout.TargetUpdated && checks[c].Critical && !sh.unknownSince[c].IsZero() {
				s.violate("wave %d is left while nothing is known of %s", wave, t.ID)
			}
		}
		if t.Wave == wave && s.now.Before(sh.settledAt.Add(wait)) {
			s.violate("wave %d is left before %s has baked", wave, t.ID)
		}
	}
}

// overspent counts, from the targets alone, whether more have failed than the strategy tolerates: of all of them, or in
// a canary of those that its stages have reached so far.
func (s *sim) overspent(snapshot *rollout.Snapshot, forgiven int) bool {
	d, failed, reach := &snapshot.Deployment, 0, 0
	for i := range snapshot.Targets {
		t := &snapshot.Targets[i]
		if t.Wave > 0 && d.Spec.Waves[t.Wave-1].CheckOnly {
			continue // it was there already
		}
		if t.Wave > 0 && t.Wave <= d.Progress.Wave {
			reach++
		}
		if !t.RollingBack && t.Done() && (t.State == rollout.TargetFailed || t.State == rollout.TargetUnknown) {
			failed++
		}
	}
	failed -= forgiven
	if d.Spec.Strategy.SuccessThreshold == nil {
		return failed > *d.Spec.Strategy.MaxFailures
	}
	perMille := int(math.Round(*d.Spec.Strategy.SuccessThreshold * 1000))
	reach -= forgiven
	return failed > 0 && (reach-failed)*1000 < perMille*reach
}

// checkCause wants a deployment to stop for failures when, and only when, too many have failed.
func (s *sim) checkCause(before *rollout.Deployment, st *rollout.Status) {
	spent := s.overspent(s.live, s.liveForgiven)
	cause := st.Progress.FailureReason
	counted := strings.Contains(cause, " failed, ")
	switch {
	case cause != before.Progress.FailureReason && counted && !spent:
		s.violate("it stops for no reason: %s", cause)
	case cause != before.Progress.FailureReason && strings.HasPrefix(cause, "the router did not"):
		s.cover("stopped: router")
	case cause != before.Progress.FailureReason && strings.Contains(cause, "threshold"):
		s.cover("stopped: threshold")
	case cause != before.Progress.FailureReason && counted:
		s.cover("stopped: max_failures")
	}
	if cause != before.Progress.FailureReason && counted && before.Spec.Strategy.KeepOldFor != nil && before.Progress.Weight == 100 {
		s.cover("unhealthy after the switch")
	}
}

func (s *sim) checkForward(before *rollout.Deployment, t *rollout.Target, c *rollout.Call) {
	switch {
	case before.Direction != rollout.Forward || before.Operator.Rollback:
		s.violate("%s: a forward call after the turn", t.ID)
	case before.Stop != rollout.StopNone:
		s.violate("%s: a forward call while %s", t.ID, before.Stop)
	case before.Progress.Gate > 0:
		s.violate("%s: a forward call while a gate is closed", t.ID)
	case s.overspent(s.live, s.liveForgiven):
		s.violate("%s: a forward call after too many failures, %d forgiven", t.ID, s.liveForgiven)
	case c.Version != t.DesiredVersion:
		s.violate("%s: called with %s, not %s", t.ID, c.Version, t.DesiredVersion)
	case t.Wave > before.Progress.Wave:
		s.violate("%s of wave %d is called in wave %d", t.ID, t.Wave, before.Progress.Wave)
	}
	s.checkExposure(before, t)
}

// checkExposure wants no more targets to have met the new version than the stage's share of them, at least one. Those
// that ran it from the start count too, and what they are more than the share is no violation.
func (s *sim) checkExposure(before *rollout.Deployment, called *rollout.Target) {
	stages := before.Spec.Strategy.Stages
	if len(stages) == 0 {
		return
	}
	exposed, known := 0, 0
	for i := range s.live.Targets {
		t := &s.live.Targets[i]
		ran := s.snapshot.Targets[i].Version == t.DesiredVersion
		if ran {
			known++
		}
		if ran || s.liveShadow[i].calls[0]+s.liveShadow[i].calls[1] > 0 || t.ID == called.ID {
			exposed++
		}
	}
	n, share := len(s.live.Targets), 1
	for share*100 < n*stages[before.Progress.Wave-1].Percent {
		share++
	}
	if known > 0 {
		s.cover("a repeated canary")
	}
	if exposed > max(share, known) {
		s.violate("%s: %d of %d exposed in a stage of %d%%, %d were from the start", called.ID, exposed, n,
			stages[before.Progress.Wave-1].Percent, known)
	}
}

// coverStrategy notes what is deployed, and wants only targets outside of the serving slot to have a wave.
func (s *sim) coverStrategy() {
	spec := &s.snapshot.Deployment.Spec
	s.cover("strategy: " + spec.Strategy.Type)
	slots := slices.ContainsFunc(s.snapshot.Targets, func(t rollout.Target) bool { return t.Slot != "" })
	if slots {
		s.cover("strategy: " + spec.Strategy.Type + " with slots")
	}
	for i := range s.snapshot.Targets {
		t := &s.snapshot.Targets[i]
		if s.snapshot.Deployment.Kind == rollout.KindRollback && s.bySlot() || s.followUp && t.Wave == 0 {
			continue // its waves are those of the way back, or of what is left to do
		}
		if (t.Wave == 0) != (slots && t.Slot == spec.ActiveSlot) || slots && t.Wave > 0 && t.Slot != spec.IdleSlot {
			s.violate("%s in slot %q has wave %d; %q serves", t.ID, t.Slot, t.Wave, spec.ActiveSlot)
		}
	}
}

// metadata is what a result should contain: at which stage a canary stopped that did not succeed, and which slot serves.
func (s *sim) metadata(success bool) map[string]any {
	d := &s.stored.Deployment
	m := map[string]any{"stopped_at_stage": nil, "active_slot": nil}
	if d.Spec.Strategy.Type == "canary" && !success && d.Progress.Wave > 0 {
		m["stopped_at_stage"] = d.Progress.Wave
	}
	if d.Spec.ActiveSlot == "" {
		return m
	}
	m["active_slot"] = s.oldSlot()
	if d.Spec.Traffic != nil {
		if s.storedBook.confirmed != nil {
			m["active_slot"] = s.storedBook.confirmed.ActiveSlot
		} else if d.Progress.Weight == 100 { // as it was last confirmed
			m["active_slot"] = d.Spec.IdleSlot
		}
		return m
	}
	if d.Direction == rollout.Forward && d.State != rollout.StateAborted && d.Progress.Weight == 100 {
		m["active_slot"] = d.Spec.IdleSlot
	}
	return m
}
