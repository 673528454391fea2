package syncer

import (
	"strings"
	"testing"

	"rollcall/internal/gitops/gittest"
	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
)

func setPath(c *scene, path string, allowEmpty bool) {
	c.t.Helper()
	_, err := c.s.UpdateSource(c.t.Context(), "main", func(present *gitsource.Source) (*gitsource.Source, error) {
		next := *present
		next.Path, next.AllowEmpty = path, allowEmpty
		return &next, nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// waysToVanish are pushes after which the path has no definition; each returns the commit.
func waysToVanish() map[string]func(*gittest.Repo) string {
	return map[string]func(*gittest.Repo) string{
		"renamed folder": func(r *gittest.Repo) string {
			return r.Commit("rename", map[string]string{"prod/a.yaml": strings.Replace(checkout, "v1", "v2", 1)})
		},
		"other extension": func(r *gittest.Repo) string {
			return r.Commit("rename", map[string]string{"production/a.yaml.off": checkout})
		},
		"only hidden": func(r *gittest.Repo) string {
			return r.Commit("hide", map[string]string{"production/.a.yaml": checkout})
		},
		"nothing left": func(r *gittest.Repo) string { return r.Commit("clear", nil) },
		"unrelated history": func(r *gittest.Repo) string {
			r.Run(nil, "checkout", "--quiet", "--orphan", "other")
			commit := r.Commit("another project", map[string]string{"README": "hello"})
			r.Run(nil, "update-ref", "refs/heads/main", commit)
			return commit
		},
	}
}

func TestEmpty_VanishedPathIsAnError(t *testing.T) {
	t.Parallel()
	for way, vanish := range waysToVanish() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			c := newScene(t, map[string]string{"production/a.yaml": checkout})
			setPath(c, "production", false)
			good := c.sync().Status.DesiredRevision
			for commit := range twice(c.r, vanish) {
				at := c.sync()
				if s := at.Status; s.State != gitsource.StateError || !strings.Contains(s.Reason, `"production"`) ||
					!strings.Contains(s.Reason, commit) || s.DesiredRevision != good || len(at.Files) != 1 {
					t.Errorf("the source is %+v with %d files", s, len(at.Files))
				}
				gauges, err := c.s.SourceGauges(t.Context())
				if err != nil || len(gauges) != 1 || gauges[0].State != gitsource.StateError {
					t.Errorf("the gauges are %+v: %v", gauges, err)
				}
				if _, err := c.l.PreviewSync(t.Context(), "main", gitsource.SyncRequest{}); problem.CodeOf(err) != problem.CodeConflict || !strings.Contains(err.Error(), commit) {
					t.Errorf("the preview returns %v", err)
				}
			}
			if made := listDeployments(t, c.s); len(made) != 1 {
				t.Errorf("%d deployments", len(made))
			}
		})
	}
}

// twice yields the commit after which the path is gone, and another one that does not restore it.
func twice(r *gittest.Repo, vanish func(*gittest.Repo) string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if !yield(vanish(r)) {
			return
		}
		r.Run(nil, "commit", "--quiet", "--allow-empty", "--message", "further")
		further := r.Run(nil, "rev-parse", "HEAD")
		r.Run(nil, "update-ref", "refs/heads/main", further)
		yield(further)
	}
}

func TestEmpty_PathThatNeverHadAFileIsAnError(t *testing.T) {
	t.Parallel()
	c := newScene(t, map[string]string{"production/README": "hello", "elsewhere/a.yaml": checkout})
	for path, missing := range map[string]string{"nowhere": "does not have the path", "production": "has no .yaml or .yml file"} {
		setPath(c, path, false)
		if s := c.sync().Status; s.State != gitsource.StateError || !strings.Contains(s.Reason, missing) || !strings.Contains(s.Reason, path) || s.ActualRevision != "" {
			t.Errorf("%s: the source is %+v", path, s)
		}
	}
}

func TestEmpty_ErrorInTheRepositoryIsPolledAsUsual(t *testing.T) {
	t.Parallel()
	c := newScene(t, map[string]string{"README": "hello"})
	for range 5 {
		c.sync()
	}
	report := c.sync()
	if wait := report.Status.NextSyncAt.Sub(report.Status.LastSyncAt); report.Status.Failures != 6 || wait > report.Source.Interval.Std()*11/10 {
		t.Errorf("after %d failures the next sync is in %s", report.Status.Failures, wait)
	}
}

func TestEmpty_AllowedOneManagesNothing(t *testing.T) {
	t.Parallel()
	for way, vanish := range waysToVanish() {
		c := newScene(t, map[string]string{"production/a.yaml": checkout})
		setPath(c, "production", true)
		c.sync()
		commit := vanish(c.r)
		plan, err := c.l.PreviewSync(t.Context(), "main", gitsource.SyncRequest{})
		if err != nil || len(plan.Removed) != 1 || plan.Removed[0].Path != "production/a.yaml" {
			t.Errorf("%s: the preview is %+v: %v", way, plan, err)
		}
		report := c.sync()
		if s := report.Status; s.State != gitsource.StateSynced || s.DesiredRevision != commit || len(report.Files) != 0 || len(s.Removed) != 1 {
			t.Errorf("%s: the source is %+v", way, s)
		}
	}
}

func TestEmpty_AllowingItAfterwardsEndsTheError(t *testing.T) {
	t.Parallel()
	c := newScene(t, map[string]string{"production/a.yaml": checkout})
	setPath(c, "production", false)
	c.sync()
	commit := c.r.Commit("clear", nil)
	c.sync()
	setPath(c, "production", true)
	if s := c.sync().Status; s.State != gitsource.StateSynced || s.DesiredRevision != commit {
		t.Errorf("the source is %+v", s)
	}
}

func TestRemoved_FileIsListedUntilManagedAgain(t *testing.T) {
	t.Parallel()
	search := strings.Replace(checkout, "checkout", "search", 1)
	c := newScene(t, map[string]string{"a.yaml": checkout, "b.yaml": search})
	c.sync()
	made := listDeployments(t, c.s)
	gone := c.r.Commit("without b", map[string]string{"a.yaml": checkout})
	for range 2 {
		report := c.sync()
		if r := report.Status.Removed; len(r) != 1 || r[0].Path != "b.yaml" || r[0].Key() != "search/production" || r[0].Version != "v1" || r[0].Commit != gone {
			t.Fatalf("removed are %+v", r)
		}
		if len(report.Files) != 1 {
			t.Errorf("%d files are managed", len(report.Files))
		}
	}
	if after := listDeployments(t, c.s); len(after) != len(made) {
		t.Errorf("a removal makes %d deployments", len(after)-len(made))
	}
	c.r.Commit("b under another name", map[string]string{"a.yaml": checkout, "c.yaml": search})
	if r := c.sync().Status.Removed; len(r) != 0 {
		t.Errorf("removed are still %+v", r)
	}
}
