package gitops

import (
	"cmp"
	"slices"

	"rollcall/internal/gitsource"
)

// MergeFiles returns a source's files after a commit was read: known are those of before, read those of the commit, taken the
// keys that other sources manage. A file with a new desired state gets an attempt, numbered after serial; the new
// last number is the second result. What the commit does not have is no longer managed, and nothing else happens to it.
func MergeFiles(known []gitsource.File, read []CommitFile, taken map[string]string, serial int64) ([]gitsource.File, int64) {
	read = rejectDuplicates(read, taken)
	byPath, byKey := indexFiles(known)
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
		if before := byKey[f.Want.Key()]; before != nil {
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

// indexFiles maps paths and keys to files.
func indexFiles(known []gitsource.File) (byPath, byKey map[string]*gitsource.File) {
	byPath, byKey = map[string]*gitsource.File{}, map[string]*gitsource.File{}
	for i := range known {
		byPath[known[i].Path] = &known[i]
		if w := known[i].Want; w != nil {
			byKey[w.Key()] = &known[i]
		}
	}
	return byPath, byKey
}

// brokenFile returns a file that changes nothing: it keeps its earlier desired state, unless another file has that key now.
func brokenFile(before *gitsource.File, f *CommitFile, wanted map[string]bool) gitsource.File {
	file := gitsource.File{}
	if before != nil && before.Want != nil && !wanted[before.Want.Key()] {
		file = *before
	}
	file.Path, file.Problems = f.Path, f.Problems
	return file
}

// rejectDuplicates marks the files as broken whose key is in another file or managed by another source.
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
		key := f.Want.Key()
		var detail string
		switch {
		case taken[key] != "":
			detail = key + " is managed by source " + taken[key]
		case count[key] > 1:
			detail = key + " is in more than one file: the first is " + first[key]
		default:
			continue
		}
		f.Problems = []gitsource.FileProblem{{Commit: f.Want.Commit.SHA, Line: 1, Pointer: "/service", Detail: detail}}
		f.Want = nil
	}
	return read
}

// MaxFileBytes bounds a definition file.
const MaxFileBytes = 1 << 20

// CommitFile is a file as a commit has it: what it wants, or what is wrong with it.
type CommitFile struct {
	Path     string
	Want     *gitsource.DesiredState
	Problems []gitsource.FileProblem
}
