package syncer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rollcall/internal/gitops/gittest"
)

func TestTip_UnchangedBranchIsNotFetchedAgain(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Commit("one", map[string]string{"a.yaml": checkout})
	l, s := newSyncer(t, r)
	if err := newSyncRun(l, claimSource(t, s, "a")).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := s.Source(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	mirror := filepath.Join(l.Mirrors.Folder, report.Source.ID+".git")
	if err := os.RemoveAll(mirror); err != nil {
		t.Fatal(err)
	}
	polled := newSyncRun(l, claimSource(t, s, "a"))
	polled.claimed.Requests = nil
	polled.status.NextSyncAt = time.Time{}
	if err := polled.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mirror); !errors.Is(err, os.ErrNotExist) || polled.status.Error != "" {
		t.Errorf("the mirror is %v, and the error %q", err, polled.status.Error)
	}
}

func TestSync_SHA256RepositoryIsFollowed(t *testing.T) {
	t.Parallel()
	r := gittest.Init(t, filepath.Join(t.TempDir(), "repo"), "--object-format=sha256")
	want := r.Commit("one", map[string]string{"a.yaml": checkout})
	if report := syncRepo(t, r); report.Status.DesiredRevision != want || len(report.Files) != 1 || report.Files[0].Want.Commit.SHA != want {
		t.Errorf("the source is at %q: %+v", report.Status.DesiredRevision, report.Files)
	}
}
