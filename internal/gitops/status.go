package gitops

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
)

const (
	// lookAgain is the time between two looks at deployments that have not ended.
	lookAgain = time.Second
	// longestBackoff bounds the wait for a remote that fails, unless the interval is longer.
	longestBackoff = 10 * time.Minute
)

// assess says where a source stands, of its files and the last sync.
func assess(at *rollout.SourceStatus, files []rollout.SourceFile) {
	var brokenFiles, running, unknown, failed int
	at.Drifted = 0
	note := ""
	for i := range files {
		f := &files[i]
		d, u := f.Drifted()
		at.Drifted += d
		unknown += u
		if len(f.Problems) > 0 {
			brokenFiles++
		}
		switch {
		case f.Running():
			running++
		case f.Attempt != nil && f.Attempt.State != rollout.AttemptDone && d+u > 0:
			failed++
			note = f.Attempt.Reason
		}
	}
	at.State, at.Reason = sum(at, brokenFiles, running, unknown, failed, note)
	if at.State == rollout.SourceSynced {
		at.ActualRevision = at.DesiredRevision
	}
}

func sum(at *rollout.SourceStatus, broken, running, unknown, failed int, note string) (rollout.SourceState, string) {
	switch {
	case at.Error != "":
		return rollout.SourceError, at.Error
	case broken > 0:
		return rollout.SourceError, plural(broken, "file is broken and changes", "files are broken and change") + " nothing"
	case at.DesiredRevision == "":
		return rollout.SourceUnknown, "was not read yet"
	case running > 0:
		return rollout.SourceDrifted, plural(running, "deployment is", "deployments are") + " under way"
	case failed > 0:
		return rollout.SourceDrifted, note
	case at.Drifted > 0:
		return rollout.SourceDrifted, plural(at.Drifted, "target runs", "targets run") + " something else than Git says"
	case unknown > 0:
		return rollout.SourceUnknown, plural(unknown, "target does", "targets do") + " not tell what runs there"
	default:
		return rollout.SourceSynced, "what runs is what Git says"
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// nextSync is when the branch is read again: after the interval, give or take a tenth (share, from 0 to 1), so that
// sources do not all come at once; later with each failure.
func nextSync(now time.Time, interval time.Duration, failures int, share float64) time.Time {
	wait := interval
	if failures > 0 {
		wait = backoff(interval, max(longestBackoff, interval), failures+1)
	}
	return now.Add(time.Duration(float64(wait) * (0.9 + 0.2*share)))
}

// nextLook is when somebody must work on the source again.
func nextLook(at *rollout.SourceStatus, files []rollout.SourceFile, heals bool, now time.Time) time.Time {
	next := at.NextSyncAt
	for i := range files {
		f := &files[i]
		when := next
		switch {
		case f.Running() || f.Attempt != nil && len(f.Attempt.Older) > 0:
			when = now.Add(lookAgain)
		case heals && f.HealAt.After(now) && f.HealFailures > 0:
			when = f.HealAt
		}
		if when.Before(next) {
			next = when
		}
	}
	return next
}
