package syncer

import (
	"context"
	"fmt"
	"time"

	"rollcall/internal/gitops"
	"rollcall/internal/gitops/mirror"
	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
)

// previewTime bounds a dry run, whose caller waits for it.
const previewTime = 50 * time.Second

// PreviewSync returns what a sync would do now, and changes nothing: this replica reads the branch itself, whichever replica owns
// the source. A remote that cannot be read is CodeConflict.
func (s *Syncer) PreviewSync(ctx context.Context, name string, request gitsource.SyncRequest) (gitsource.PlannedSync, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, previewTime, fmt.Errorf("it took longer than %s", previewTime))
	defer cancel()
	report, err := s.Store.Source(ctx, name)
	if err != nil {
		return gitsource.PlannedSync{}, err
	}
	taken, err := s.Store.ManagedElsewhere(ctx, name)
	if err != nil {
		return gitsource.PlannedSync{}, err
	}
	var preview gitsource.PlannedSync
	err = s.Mirrors.WithMirror(ctx, &report.Source, func(m *mirror.Mirror) error {
		read, revision, err := s.fetchFiles(ctx, m, &report)
		if err != nil {
			return err
		}
		preview = gitops.PlanSync(&report, read, taken, request, revision, time.Now())
		return nil
	})
	if err != nil && problem.CodeOf(err) == "" {
		err = &problem.Error{Code: problem.CodeConflict, Message: "the source cannot be read: " + gitops.TruncateText(err.Error(), gitops.MaxErrorText), Err: err}
	}
	return preview, err
}

// fetchFiles fetches the branch and reads its files; it returns the commit, too.
func (s *Syncer) fetchFiles(ctx context.Context, m *mirror.Mirror, r *gitsource.Report) ([]gitops.CommitFile, string, error) {
	revision, err := m.FetchBranch(ctx, &r.Source)
	if err != nil {
		return nil, "", fmt.Errorf("fetch: %w", err)
	}
	if err := m.VerifySignature(ctx, revision, r.Source.AllowedSigners); err != nil {
		return nil, "", err
	}
	read, err := s.readFiles(ctx, m, &r.Source, revision, r.Files)
	return read, revision, err
}
