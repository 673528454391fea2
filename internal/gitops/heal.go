package gitops

import (
	"time"

	"rollcall/internal/gitsource"
)

// Bounds of the wait after failed healing: it doubles each time.
const (
	firstHealBackoff = 30 * time.Second
	lastHealBackoff  = time.Hour
)

// SelectForHealing returns the one file that is to be healed now, or nil. busy has the keys with an unfinished deployment.
func SelectForHealing(files []gitsource.File, busy map[string]bool, now time.Time) *gitsource.File {
	var chosen *gitsource.File
	for i := range files {
		f := &files[i]
		if f.IsRunning() && f.Attempt.Kind == gitsource.AttemptHeal {
			return nil
		}
		if chosen == nil && CanHeal(f, now) && !busy[f.Want.Key()] {
			chosen = f
		}
	}
	return chosen
}

// CanHeal reports whether a file's targets have drifted and may be healed: not what failed for its commit, and not
// what a person rolled back.
func CanHeal(f *gitsource.File, now time.Time) bool {
	drifted, _ := f.CountDrift()
	if f.Want == nil || f.Attempt == nil || drifted == 0 || now.Before(f.HealAt) {
		return false
	}
	failedHealing := f.Attempt.Kind == gitsource.AttemptHeal && f.Attempt.State == gitsource.AttemptFailed
	return f.Attempt.State == gitsource.AttemptDone || failedHealing
}

// retryDelay returns first after one failure, and doubles it with each further one up to last.
func retryDelay(first, last time.Duration, failures int) time.Duration {
	wait := first
	for range failures - 1 {
		if wait *= 2; wait >= last {
			return last
		}
	}
	return wait
}
