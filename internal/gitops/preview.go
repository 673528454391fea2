package gitops

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
)

// previewTime bounds a dry run, whose caller waits for it.
const previewTime = 50 * time.Second

// Preview returns what a sync would do now, and does nothing: this replica reads the branch itself, whichever replica owns
// the source. A remote that cannot be read is CodeConflict.
func (l *Syncer) Preview(ctx context.Context, name string, ask gitsource.SyncRequest) (gitsource.PlannedSync, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, previewTime, fmt.Errorf("it took longer than %s", previewTime))
	defer cancel()
	report, err := l.Store.Source(ctx, name)
	if err != nil {
		return gitsource.PlannedSync{}, err
	}
	taken, err := l.Store.ManagedElsewhere(ctx, name)
	if err != nil {
		return gitsource.PlannedSync{}, err
	}
	var preview gitsource.PlannedSync
	err = l.mirrors.WithMirror(ctx, &report.Source, func(m *Mirror) error {
		read, revision, err := l.readRemote(ctx, m, &report)
		if err != nil {
			return err
		}
		preview = PlanSync(&report, read, taken, ask, revision)
		preview.DesiredRevision = revision
		return nil
	})
	if err != nil && problem.CodeOf(err) == "" {
		err = &problem.Error{Code: problem.CodeConflict, Message: "the source cannot be read: " + TruncateText(err.Error(), MaxErrorText), Err: err}
	}
	return preview, err
}

func (l *Syncer) readRemote(ctx context.Context, m *Mirror, r *gitsource.Report) ([]CommitFile, string, error) {
	revision, err := m.FetchBranch(ctx, &r.Source, l.Resolver)
	if err != nil {
		return nil, "", fmt.Errorf("fetch: %w", err)
	}
	if err := m.VerifySignature(ctx, revision, r.Source.AllowedSigners); err != nil {
		return nil, "", err
	}
	read, err := l.readFiles(ctx, m, &r.Source, revision, r.Files)
	return read, revision, err
}

// PlanSync returns what merge and the request would plan beside what is planned already.
func PlanSync(
	r *gitsource.Report, read []CommitFile, taken map[string]string, ask gitsource.SyncRequest, revision string,
) gitsource.PlannedSync {
	known := slices.Clone(r.Files)
	for i := range known {
		if a := known[i].Attempt; a != nil {
			copied := *a
			known[i].Attempt = &copied
		}
	}
	files, serial := MergeFiles(known, read, taken, r.Status.Serial)
	PlanRequested(files, []gitsource.SyncRequest{ask}, serial)
	var p gitsource.PlannedSync
	p.Removed = ListRemoved(nil, known, files, taken, revision, time.Now())
	for i := range files {
		f := &files[i]
		if len(f.Problems) > 0 {
			p.Broken = append(p.Broken, *f)
		}
		if f.Planned() {
			p.Deployments = append(p.Deployments, gitsource.PlannedAttempt{Path: f.Path, Kind: f.Attempt.Kind, Want: *f.Want})
		}
	}
	return p
}
