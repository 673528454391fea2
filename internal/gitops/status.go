package gitops

import (
	"fmt"
	"time"

	"rollcall/internal/gitsource"
)

const (
	// RecheckInterval is the time between two checks of deployments that have not ended.
	RecheckInterval = time.Second
	// longestBackoff bounds the wait for a remote that fails, unless the interval is longer.
	longestBackoff = 10 * time.Minute
)

// fileCounts counts the files of a source by what its status says of them.
type fileCounts struct {
	broken, running, blocked, failed, unobserved int
	// unknown counts targets.
	unknown int
	// blockedBy and failure are the last reason of each.
	blockedBy, failure string
}

// UpdateStatus sets a source's status from its files and the last sync.
func UpdateStatus(at *gitsource.Status, files []gitsource.File) {
	var t fileCounts
	at.Drifted = 0
	current := true
	for i := range files {
		f := &files[i]
		drifted, unknown := f.CountDrift()
		at.Drifted += drifted
		t.unknown += unknown
		t.countFile(f, drifted+unknown > 0)
		current = current && f.SeenAt == at.DesiredRevision
	}
	at.State, at.Reason = t.overallState(at)
	if at.State == gitsource.StateSynced && current {
		at.ActualRevision = at.DesiredRevision
	}
}

// countFile counts a file; differs means that a target runs something else than the file wants, or does not report what it runs.
func (t *fileCounts) countFile(f *gitsource.File, differs bool) {
	if len(f.Problems) > 0 {
		t.broken++
	}
	switch {
	case f.IsBlocked():
		t.blocked++
		t.blockedBy = f.Attempt.Reason
	case f.IsRunning():
		t.running++
	case f.Attempt != nil && f.Attempt.State != gitsource.AttemptDone && (differs || f.Targets == nil):
		t.failed++
		t.failure = f.Attempt.Reason
	case f.Want != nil && f.Targets == nil:
		t.unobserved++
	}
}

// overallState returns the state of the source, and why.
func (t *fileCounts) overallState(at *gitsource.Status) (gitsource.State, string) {
	switch {
	case at.Error != "":
		return gitsource.StateError, at.Error
	case t.broken > 0:
		return gitsource.StateError, formatCount(t.broken, "file is broken and changes", "files are broken and change") + " nothing"
	case at.DesiredRevision == "":
		return gitsource.StateUnknown, "was not read yet"
	case t.running > 0:
		return gitsource.StateDrifted, formatCount(t.running, "deployment is", "deployments are") + " under way"
	case t.blocked > 0:
		return gitsource.StateDrifted, t.blockedBy
	case t.failed > 0:
		return gitsource.StateDrifted, t.failure
	case at.Drifted > 0:
		return gitsource.StateDrifted, formatCount(at.Drifted, "target runs", "targets run") + " something else than Git says"
	case t.unknown > 0:
		return gitsource.StateUnknown, formatCount(t.unknown, "target does", "targets do") + " not report what runs there"
	case t.unobserved > 0:
		return gitsource.StateUnknown, "the targets of " + formatCount(t.unobserved, "file", "files") + " were not observed yet"
	}
	reason := "what runs is what Git says"
	if n := len(at.Removed); n > 0 {
		reason += "; what " + formatCount(n, "removed file", "removed files") + " had deployed is unchanged, and no longer managed"
	}
	return gitsource.StateSynced, reason
}

// formatCount returns a number and its noun.
func formatCount(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// NextSyncAt returns when the branch is read again: after the interval, give or take a tenth (share, from 0 to 1), so that
// sources are not all read at once; later with each failure.
func NextSyncAt(now time.Time, interval time.Duration, failures int, share float64) time.Time {
	wait := interval
	if failures > 0 {
		wait = retryDelay(interval, max(longestBackoff, interval), failures+1)
	}
	return now.Add(time.Duration(float64(wait) * (0.9 + 0.2*share)))
}

// NextRunAt returns when the source is due for its next step.
func NextRunAt(at *gitsource.Status, files []gitsource.File, heals bool, now time.Time) time.Time {
	next := at.NextSyncAt
	for i := range files {
		f := &files[i]
		when := next
		switch {
		case f.IsBlocked():
			when = f.Attempt.TryAt
		case f.IsRunning() || f.Attempt != nil && len(f.Attempt.Superseded) > 0:
			when = now.Add(RecheckInterval)
		case heals && f.HealAt.After(now) && f.HealFailures > 0:
			when = f.HealAt
		}
		if when.Before(next) {
			next = when
		}
	}
	return next
}
