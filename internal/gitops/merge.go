package gitops

import (
	"cmp"
	"slices"

	"rollcall/internal/gitsource"
)

// merge returns what a source's files are after a commit was read: known are those of before, read those of the commit,
// taken the keys that other sources manage. A file with a new desired state gets an attempt, numbered after serial; the new
// last number is the second result. What the commit does not have is no longer managed, and nothing else happens to it.
func merge(known []gitsource.File, read []found, taken map[string]string, serial int64) ([]gitsource.File, int64) {
	read = onlyOnePerPair(read, taken)
	byPath, byPair := index(known)
	wanted := map[string]bool{}
	for _, f := range read {
		if f.want != nil {
			wanted[f.want.Key()] = true
		}
	}
	files := make([]gitsource.File, 0, len(read))
	for _, f := range read {
		if f.want == nil {
			files = append(files, broken(byPath[f.path], &f, wanted))
			continue
		}
		file := gitsource.File{}
		if before := byPair[f.want.Key()]; before != nil {
			file = *before
		}
		file.Path, file.Problems = f.path, nil
		if file.Want == nil || file.Want.Digest != f.want.Digest {
			serial++
			file.Want, file.HealFailures, file.Targets, file.SeenAt = f.want, 0, nil, ""
			plan(&file, gitsource.AttemptSync, serial)
		}
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b gitsource.File) int { return cmp.Compare(a.Path, b.Path) })
	return files, serial
}

func index(known []gitsource.File) (byPath, byPair map[string]*gitsource.File) {
	byPath, byPair = map[string]*gitsource.File{}, map[string]*gitsource.File{}
	for i := range known {
		byPath[known[i].Path] = &known[i]
		if w := known[i].Want; w != nil {
			byPair[w.Key()] = &known[i]
		}
	}
	return byPath, byPair
}

// broken returns a file that changes nothing: it keeps its desired state of before, unless another file has that key now.
func broken(before *gitsource.File, f *found, wanted map[string]bool) gitsource.File {
	file := gitsource.File{}
	if before != nil && before.Want != nil && !wanted[before.Want.Key()] {
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
			count[f.want.Key()]++
			if first[f.want.Key()] == "" {
				first[f.want.Key()] = f.path
			}
		}
	}
	read = slices.Clone(read)
	for i := range read {
		f := &read[i]
		if f.want == nil {
			continue
		}
		pair := f.want.Key()
		var detail string
		switch {
		case taken[pair] != "":
			detail = pair + " is managed by source " + taken[pair]
		case count[pair] > 1:
			detail = pair + " is in more than one file: the first is " + first[pair]
		default:
			continue
		}
		f.problems = []gitsource.FileProblem{{Commit: f.want.Commit.SHA, Line: 1, Pointer: "/service", Detail: detail}}
		f.want = nil
	}
	return read
}

// plan writes a new attempt at what the file wants down.
func plan(f *gitsource.File, kind gitsource.AttemptKind, serial int64) {
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

// answer plans what people ask for: what failed is tried again, what is held is released.
func answer(files []gitsource.File, asks []gitsource.SyncRequest, serial int64) int64 {
	for i := range files {
		f := &files[i]
		if f.Want != nil && f.Attempt != nil && slices.ContainsFunc(asks, func(a gitsource.SyncRequest) bool { return concerns(a, f) }) {
			serial++
			f.HealFailures = 0
			plan(f, gitsource.AttemptRetry, serial)
		}
	}
	return serial
}

func concerns(a gitsource.SyncRequest, f *gitsource.File) bool {
	if a.Service != "" && a.Service != f.Want.Service || a.Environment != "" && a.Environment != f.Want.Environment {
		return false
	}
	return a.Retry && f.Attempt.State == gitsource.AttemptFailed || a.Release && f.Attempt.State == gitsource.AttemptHeld
}
