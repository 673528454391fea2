package gitops

import (
	"slices"
	"time"

	"rollcall/internal/gitsource"
)

// PlanSync returns what MergeFiles and the request would plan in addition to what is planned already.
func PlanSync(
	r *gitsource.Report, read []CommitFile, taken map[string]string, request gitsource.SyncRequest, revision string, now time.Time,
) gitsource.PlannedSync {
	known := slices.Clone(r.Files)
	for i := range known {
		if a := known[i].Attempt; a != nil {
			copied := *a
			known[i].Attempt = &copied
		}
	}
	files, serial := MergeFiles(known, read, taken, r.Status.Serial)
	PlanRequested(files, []gitsource.SyncRequest{request}, serial)
	p := gitsource.PlannedSync{DesiredRevision: revision}
	p.Removed = ListRemoved(nil, known, files, taken, revision, now)
	for i := range files {
		f := &files[i]
		if len(f.Problems) > 0 {
			p.Broken = append(p.Broken, *f)
		}
		if f.IsPlanned() {
			p.Deployments = append(p.Deployments, gitsource.PlannedAttempt{Path: f.Path, Kind: f.Attempt.Kind, Want: *f.Want})
		}
	}
	return p
}
