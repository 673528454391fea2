package gitops

import (
	"cmp"
	"slices"

	"rollcall/internal/rollout"
)

// merge says what a source's files are after a commit was read: known are those of before, found those of the commit,
// taken the pairs that other sources manage. What wants something new gets an attempt, numbered after serial; the new last
// number is the answer's second part. What the commit does not have is no longer managed, and nothing else happens to it.
func merge(known []rollout.SourceFile, read []found, taken map[string]string, serial int64) ([]rollout.SourceFile, int64) {
	read = onlyOnePerPair(read, taken)
	byPath, byPair := index(known)
	wanted := map[string]bool{}
	for _, f := range read {
		if f.want != nil {
			wanted[f.want.Pair()] = true
		}
	}
	files := make([]rollout.SourceFile, 0, len(read))
	for _, f := range read {
		if f.want == nil {
			files = append(files, broken(byPath[f.path], &f, wanted))
			continue
		}
		file := rollout.SourceFile{}
		if before := byPair[f.want.Pair()]; before != nil {
			file = *before
		}
		file.Path, file.Problems = f.path, nil
		if file.Want == nil || file.Want.Digest != f.want.Digest {
			serial++
			file.Want, file.HealFailures, file.Targets, file.SeenAt = f.want, 0, nil, ""
			plan(&file, rollout.AttemptSync, serial)
		}
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b rollout.SourceFile) int { return cmp.Compare(a.Path, b.Path) })
	return files, serial
}

func index(known []rollout.SourceFile) (byPath, byPair map[string]*rollout.SourceFile) {
	byPath, byPair = map[string]*rollout.SourceFile{}, map[string]*rollout.SourceFile{}
	for i := range known {
		byPath[known[i].Path] = &known[i]
		if w := known[i].Want; w != nil {
			byPair[w.Pair()] = &known[i]
		}
	}
	return byPath, byPair
}

// broken is a file that changes nothing: it keeps what it wanted before, unless another file wants that now.
func broken(before *rollout.SourceFile, f *found, wanted map[string]bool) rollout.SourceFile {
	file := rollout.SourceFile{}
	if before != nil && before.Want != nil && !wanted[before.Want.Pair()] {
		file = *before
	}
	file.Path, file.Problems = f.path, f.problems
	return file
}

// onlyOnePerPair breaks the files that say what another file, or another source, says too.
func onlyOnePerPair(read []found, taken map[string]string) []found {
	first := map[string]string{}
	count := map[string]int{}
	for _, f := range read {
		if f.want != nil {
			count[f.want.Pair()]++
			if first[f.want.Pair()] == "" {
				first[f.want.Pair()] = f.path
			}
		}
	}
	read = slices.Clone(read)
	for i := range read {
		f := &read[i]
		if f.want == nil {
			continue
		}
		pair := f.want.Pair()
		var detail string
		switch {
		case taken[pair] != "":
			detail = pair + " is managed by source " + taken[pair]
		case count[pair] > 1:
			detail = pair + " is in more than one file: the first is " + first[pair]
		default:
			continue
		}
		f.problems = []rollout.FileProblem{{Commit: f.want.Commit.SHA, Line: 1, Pointer: "/service", Detail: detail}}
		f.want = nil
	}
	return read
}

// plan writes a new attempt at what the file wants down.
func plan(f *rollout.SourceFile, kind rollout.AttemptKind, serial int64) {
	var older []string
	if before := f.Attempt; before != nil {
		older = slices.Clone(before.Older)
		if before.State == rollout.AttemptRunning && before.DeploymentID != "" {
			older = append(older, before.DeploymentID)
		}
	}
	f.Attempt = &rollout.Attempt{
		Kind: kind, Serial: serial, Commit: f.Want.Commit.SHA, State: rollout.AttemptPlanned,
		Reason: "is about to be asked for", Older: older,
	}
}

// answer plans what people ask for: what failed is tried again, what is held is released.
func answer(files []rollout.SourceFile, asks []rollout.SyncAsk, serial int64) int64 {
	for i := range files {
		f := &files[i]
		if f.Want != nil && f.Attempt != nil && slices.ContainsFunc(asks, func(a rollout.SyncAsk) bool { return concerns(a, f) }) {
			serial++
			f.HealFailures = 0
			plan(f, rollout.AttemptRetry, serial)
		}
	}
	return serial
}

func concerns(a rollout.SyncAsk, f *rollout.SourceFile) bool {
	if a.Service != "" && a.Service != f.Want.Service || a.Environment != "" && a.Environment != f.Want.Environment {
		return false
	}
	return a.Retry && f.Attempt.State == rollout.AttemptFailed || a.Release && f.Attempt.State == rollout.AttemptHeld
}
