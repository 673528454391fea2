package planner

import (
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/strategy/lifecycle"
)

// ResumedDeadline is the progress deadline of a deployment that is held no more.
func ResumedDeadline(d *rollout.Deployment, now time.Time) time.Time {
	p := newPlanner(&rollout.Snapshot{Deployment: *d}, now)
	progress := &p.out.Status.Progress
	switch {
	case d.Stop == rollout.StopPaused:
		progress.LastProgressAt = now
	case !progress.PausedAt.IsZero():
		progress.LastProgressAt = lifecycle.Earlier(now, p.patienceFrom().Add(now.Sub(progress.PausedAt)))
	}
	progress.PausedAt = time.Time{}
	return p.deadline()
}
