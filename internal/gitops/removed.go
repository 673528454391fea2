package gitops

import (
	"time"

	"rollcall/internal/gitsource"
)

// maxRemoved bounds how many removed files a source lists.
const maxRemoved = 100

// ListRemoved lists the files that a branch no longer has: those of before, and those that files has no more of what known had,
// as of a commit that was read at a time. Whatever is managed again, by this source or another one, is not in it.
func ListRemoved(
	before []gitsource.RemovedFile, known, files []gitsource.File, taken map[string]string, commit string, at time.Time,
) []gitsource.RemovedFile {
	managed := map[string]bool{}
	for i := range files {
		if w := files[i].Want; w != nil {
			managed[w.Key()] = true
		}
	}
	var list []gitsource.RemovedFile
	add := func(r gitsource.RemovedFile) {
		if !managed[r.Key()] && taken[r.Key()] == "" {
			managed[r.Key()] = true // it is listed once, as it was last
			list = append(list, r)
		}
	}
	for i := range known {
		if w := known[i].Want; w != nil {
			add(gitsource.RemovedFile{
				Path: known[i].Path, Service: w.Service, Environment: w.Environment, Version: w.Version, Commit: commit, At: at,
			})
		}
	}
	for _, r := range before {
		add(r)
	}
	return list[:min(len(list), maxRemoved)]
}
