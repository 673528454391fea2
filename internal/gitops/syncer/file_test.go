package syncer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"rollcall/internal/gitops/gittest"
	"rollcall/internal/gitsource"
)

// syncFiles returns the report of a source after a step at a repository with these files.
func syncFiles(t *testing.T, files map[string]string) gitsource.Report {
	t.Helper()
	r := gittest.New(t)
	r.Commit("begin", files)
	return syncRepo(t, r)
}

func syncRepo(t *testing.T, r *gittest.Repo) gitsource.Report {
	t.Helper()
	l, s := newSyncer(t, r)
	if err := newSyncRun(l, claimSource(t, s, "a")).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := s.Source(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// A name that fits into no index must not keep the other files from being followed.
func TestFile_TooLongNameBreaksOnlyItself(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(1, 2))
	var long strings.Builder
	for long.Len() < 4000 { // what compresses would fit
		if long.Len()%200 == 199 {
			long.WriteByte('/')
			continue
		}
		long.WriteByte("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[chance.IntN(62)])
	}
	name := long.String()
	report := syncFiles(t, map[string]string{"a.yaml": checkout, name + "1.yaml": "a: 1", name + "2.yaml": "a: 2"})
	if len(report.Files) != 3 || len(report.Status.DesiredRevision) != 40 {
		t.Fatalf("%d files are known, at %q", len(report.Files), report.Status.DesiredRevision)
	}
	for _, f := range report.Files {
		if f.Path == "a.yaml" && f.Attempt == nil || f.Path != "a.yaml" && len(f.Problems) != 1 {
			t.Errorf("%s: attempt %+v, problems %+v", f.Path, f.Attempt, f.Problems)
		}
	}
}

func TestCommit_EmptyMessageIsDeployed(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Commit("begin", map[string]string{"a.yaml": checkout})
	r.Run(nil, "commit", "--quiet", "--amend", "--allow-empty-message", "--message", "")
	report := syncRepo(t, r)
	if a := report.Files[0].Attempt; a == nil || a.State != gitsource.AttemptRunning {
		t.Errorf("the attempt is %+v", a)
	}
}

func TestFile_CheckHeadersAreRefusedByLine(t *testing.T) {
	t.Parallel()
	const text = checkout + "health_checks:\n  - {type: tcp}\n  - type: http\n    headers: {Authorization: geheim}\n"
	report := syncFiles(t, map[string]string{"a.yaml": text})
	f := report.Files[0]
	if f.Want != nil || len(f.Problems) != 1 {
		t.Fatalf("the file is %+v", f)
	}
	p := f.Problems[0]
	if p.Line != 7 || p.Pointer != "/health_checks/1/headers" || !strings.Contains(p.Detail, "definition") || strings.Contains(p.Detail, "geheim") {
		t.Errorf("the problem is %+v", p)
	}
}

func TestFile_TooManyLabelsAreAFileProblem(t *testing.T) {
	t.Parallel()
	text := checkout + "labels:\n"
	for i := range 44 {
		text += fmt.Sprintf("  l%d: x\n", i)
	}
	f := syncFiles(t, map[string]string{"a.yaml": text}).Files[0]
	if f.Attempt != nil || len(f.Problems) != 1 || f.Problems[0].Pointer != "/labels" || f.Problems[0].Line != 4 {
		t.Errorf("the file is %+v", f)
	}
	f = syncFiles(t, map[string]string{"a.yaml": strings.ReplaceAll(text, "  l43: x\n", "")}).Files[0]
	if f.Attempt == nil || f.Attempt.State != gitsource.AttemptRunning {
		t.Errorf("43 labels: %+v", f)
	}
}
