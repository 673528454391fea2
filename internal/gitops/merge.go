package gitops

import (
	"cmp"
	"slices"

	"rollcall/internal/gitsource"
)

// MergeFiles returns what a source's files are after a commit was read: known are those of before, read those of the commit,
// taken the keys that other sources manage. A file with a new desired state gets an attempt, numbered after serial; the new
// last number is the second result. What the commit does not have is no longer managed, and nothing else happens to it.
func MergeFiles(known []gitsource.File, read []CommitFile, taken map[string]string, serial int64) ([]gitsource.File, int64) {
	read = rejectDuplicates(read, taken)
	byPath, byPair := indexFiles(known)
	wanted := map[string]bool{}
	for _, f := range read {
		if f.Want != nil {
			wanted[f.Want.Key()] = true
		}
	}
	files := make([]gitsource.File, 0, len(read))
	for _, f := range read {
		if f.Want == nil {
			files = append(files, brokenFile(byPath[f.Path], &f, wanted))
			continue
		}
		file := gitsource.File{}
		if before := byPair[f.Want.Key()]; before != nil {
			file = *before
		}
		file.Path, file.Problems = f.Path, nil
		if file.Want == nil || file.Want.Digest != f.Want.Digest {
			serial++
			file.Want, file.HealFailures, file.Targets, file.SeenAt = f.Want, 0, nil, ""
			PlanAttempt(&file, gitsource.AttemptSync, serial)
		}
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b gitsource.File) int { return cmp.Compare(a.Path, b.Path) })
	return files, serial
}

func indexFiles(known []gitsource.File) (byPath, byPair map[string]*gitsource.File) {
	byPath, byPair = map[string]*gitsource.File{}, map[string]*gitsource.File{}
	for i := range known {
		byPath[known[i].Path] = &known[i]
		if w := known[i].Want; w != nil {
			byPair[w.Key()] = &known[i]
		}
	}
	return byPath, byPair
}

// brokenFile returns a file that changes nothing: it keeps its desired state of before, unless another file has that key now.
func brokenFile(before *gitsource.File, f *CommitFile, wanted map[string]bool) gitsource.File {
	file := gitsource.File{}
	if before != nil && before.Want != nil && !wanted[before.Want.Key()] {
		file = *before
	}
	file.Path, file.Problems = f.Path, f.Problems
	return file
}

// rejectDuplicates breaks the files that say what another file, or another source, says too.
func rejectDuplicates(read []CommitFile, taken map[string]string) []CommitFile {
	first := map[string]string{}
	count := map[string]int{}
	for _, f := range read {
		if f.Want != nil {
			count[f.Want.Key()]++
			if first[f.Want.Key()] == "" {
				first[f.Want.Key()] = f.Path
			}
		}
	}
	read = slices.Clone(read)
	for i := range read {
		f := &read[i]
		if f.Want == nil {
			continue
		}
		pair := f.Want.Key()
		var detail string
		switch {
		case taken[pair] != "":
			detail = pair + " is managed by source " + taken[pair]
		case count[pair] > 1:
			detail = pair + " is in more than one file: the first is " + first[pair]
		default:
			continue
		}
		f.Problems = []gitsource.FileProblem{{Commit: f.Want.Commit.SHA, Line: 1, Pointer: "/service", Detail: detail}}
		f.Want = nil
	}
	return read
}

// PlanAttempt writes a new attempt at what the file wants down.
func PlanAttempt(f *gitsource.File, kind gitsource.AttemptKind, serial int64) {
	var older []string
	if before := f.Attempt; before != nil {
		older = slices.Clone(before.Superseded)
		if before.State == gitsource.AttemptRunning && before.DeploymentID != "" {
			older = append(older, before.DeploymentID)
		}
	}
	f.Attempt = &gitsource.Attempt{
		Kind: kind, Serial: serial, Commit: f.Want.Commit.SHA, State: gitsource.AttemptPlanned,
		Reason: "is about to be asked for", Superseded: older,
	}
}

// PlanRequested plans what people ask for: what failed is tried again, what is held is released.
func PlanRequested(files []gitsource.File, asks []gitsource.SyncRequest, serial int64) int64 {
	for i := range files {
		f := &files[i]
		if f.Want != nil && f.Attempt != nil && slices.ContainsFunc(asks, func(a gitsource.SyncRequest) bool { return isRequested(a, f) }) {
			serial++
			f.HealFailures = 0
			PlanAttempt(f, gitsource.AttemptRetry, serial)
		}
	}
	return serial
}

func isRequested(a gitsource.SyncRequest, f *gitsource.File) bool {
	if a.Service != "" && a.Service != f.Want.Service || a.Environment != "" && a.Environment != f.Want.Environment {
		return false
	}
	return a.Retry && f.Attempt.State == gitsource.AttemptFailed || a.Release && f.Attempt.State == gitsource.AttemptHeld
}
