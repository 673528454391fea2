package planner

import (
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// ResumedDeadline returns the progress deadline of a deployment that is no longer paused.
func ResumedDeadline(d *rollout.Deployment, now time.Time) time.Time {
	st := d.Status
	v := newView(&rollout.Snapshot{Deployment: *d}, now, &st)
	switch {
	case d.Stop == rollout.StopPaused:
		st.Progress.LastProgressAt = now
	case !st.Progress.PausedAt.IsZero():
		st.Progress.LastProgressAt = lifecycle.Earlier(now, v.progressSince().Add(now.Sub(st.Progress.PausedAt)))
	}
	st.Progress.PausedAt = time.Time{}
	return v.progressDeadline()
}

// unknownCheckDeadline returns when a settled wave stops waiting for a check that is unknown; zero when it waits for none.
func (v *view) unknownCheckDeadline() time.Time {
	t, c, found := v.unknownCheck()
	if !found || v.st.Progress.WaveSettledAt.IsZero() {
		return time.Time{}
	}
	return lifecycle.UnknownUntil(v.rulesFor(t), &t.Checks[c])
}

func (v *view) isOverdue() bool {
	deadline := v.progressDeadline()
	return !deadline.IsZero() && !v.now.Before(deadline)
}

// progressDeadline returns when the deployment has gone too long without progress. It stands still while a person is waited for,
// and a planned wait puts it off.
func (v *view) progressDeadline() time.Time {
	st := v.st
	if st.StartedAt.IsZero() || st.State.Terminal() || !st.Progress.PausedAt.IsZero() {
		return time.Time{}
	}
	return v.progressSince().Add(v.spec.Strategy.ProgressDeadline.Std())
}

// progressSince returns when progress was last made, or a planned wait ends; also one that is cut short. So is the wait for what
// an earlier deployment has left behind. What ends waits for nothing that was planned.
func (v *view) progressSince() time.Time {
	st := v.st
	progress := &st.Progress
	if st.Direction == rollout.Backward || st.Stop == rollout.StopHalted || v.d.Operator.Abort {
		return progress.LastProgressAt
	}
	return lifecycle.Later(lifecycle.Later(progress.LastProgressAt, progress.WaitedUntil), lifecycle.Later(v.plannedWaveEnd(), v.unknownCheckDeadline()))
}

// waveEnd returns when a settled wave has been watched for long enough; zero before it is settled.
func (v *view) waveEnd() time.Time {
	if v.d.Operator.SkipGates {
		return v.st.Progress.WaveSettledAt
	}
	return v.plannedWaveEnd()
}

// plannedWaveEnd returns when the bake and the delay of a settled wave end; zero before it is settled.
func (v *view) plannedWaveEnd() time.Time {
	progress := &v.st.Progress
	if progress.WaveSettledAt.IsZero() {
		return time.Time{}
	}
	w := v.spec.Waves[progress.Wave-1]
	return progress.WaveSettledAt.Add(w.Bake.Std() + w.Delay.Std())
}
