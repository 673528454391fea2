package mirror

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/gitops/gittest"
	"rollcall/internal/gitsource"
	"rollcall/internal/slowtest"
)

func TestFetch_HostThatPacksForLongIsWaitedFor(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	r := gittest.New(t)
	want := r.Commit("one", map[string]string{"a.yaml": "a: 1"})
	url := r.Serve(func(w http.ResponseWriter, req *http.Request, backend http.Handler) {
		if req.Method == http.MethodPost && req.ContentLength > 200 { // the fetch itself, and not the question for branches
			select { // a host that packs sends nothing
			case <-time.After(tipTime + 2*time.Second):
			case <-req.Context().Done():
			}
		}
		backend.ServeHTTP(w, req)
	})
	m := newMirrors(t)
	m.FetchTime = time.Minute
	began := time.Now()
	if _, got := fetchMirror(t, m, r.SourceAt(url)); got != want {
		t.Errorf("fetched %s, not %s", got, want)
	}
	if took := time.Since(began); took < tipTime {
		t.Errorf("the host was asked for nothing that takes long: %s", took)
	}
}

func TestFetch_SHA256RepositoryIsRead(t *testing.T) {
	t.Parallel()
	r := gittest.Init(t, filepath.Join(t.TempDir(), "repo"), "--object-format=sha256")
	want := r.Commit("one", map[string]string{"a.yaml": "a: 1"})
	for _, s := range []*gitsource.Source{r.Source(), r.SourceAt(r.Serve(gittest.ServeDirectly))} {
		m := newMirrors(t)
		mi, got := fetchMirror(t, m, s)
		if got != want || len(got) != 64 {
			t.Fatalf("%s: fetched %q, not %q", s.URL, got, want)
		}
		if entries, err := mi.ListFiles(t.Context(), got, ""); err != nil || len(entries) != 1 {
			t.Errorf("%s: %d files, %v", s.URL, len(entries), err)
		}
	}
}

// A repository may be made again in the other format under the same URL.
func TestFetch_FollowsAChangeOfTheObjectFormat(t *testing.T) {
	t.Parallel()
	r, m := gittest.New(t), newMirrors(t)
	r.Commit("one", map[string]string{"a.yaml": "a: 1"})
	fetchMirror(t, m, r.Source())
	if err := os.RemoveAll(r.Dir); err != nil {
		t.Fatal(err)
	}
	gittest.Init(t, r.Dir, "--object-format=sha256")
	want := r.Commit("one", map[string]string{"a.yaml": "a: 1"})
	if _, got := fetchMirror(t, m, r.Source()); got != want {
		t.Errorf("fetched %q, not %q", got, want)
	}
}

func TestFetch_RepositoryOfAnotherOwnerIsRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain", `with "quotes" and \`} {
		r := gittest.Init(t, filepath.Join(t.TempDir(), name))
		want := r.Commit("one", map[string]string{"a.yaml": "a: 1"})
		bare, link := filepath.Join(t.TempDir(), "bare.git"), filepath.Join(t.TempDir(), "link")
		r.Run(nil, "clone", "--quiet", "--bare", r.Dir, bare)
		if err := os.Symlink(r.Dir, link); err != nil {
			t.Fatal(err)
		}
		r.ChangeOwner()
		gittest.Open(t, bare).ChangeOwner()
		for _, path := range []string{r.Dir, r.Dir + "/.git", link, bare, strings.TrimSuffix(bare, ".git")} {
			if _, got := fetchMirror(t, newMirrors(t), r.SourceAt("file://"+path)); got != want {
				t.Errorf("%s: fetched %q, not %q", path, got, want)
			}
		}
	}
}

func TestGit_DubiousOwnershipSaysWhatHelps(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Commit("one", map[string]string{"a.yaml": "a: 1"})
	r.ChangeOwner()
	_, err := runGit(t.Context(), command{dir: r.Dir, args: []string{"log", "-1"}})
	if err == nil {
		t.Fatal("git reads a repository of another user")
	}
	text := err.Error()
	if strings.Contains(text, "git config") || !strings.Contains(text, "belongs to another user") || !strings.Contains(text, "give the repository to that user") {
		t.Errorf("the error is %q", text)
	}
}

func TestFetch_MissingBranchNamesTheDefaultOne(t *testing.T) {
	t.Parallel()
	r := gittest.New(t)
	r.Commit("one", map[string]string{"a.yaml": "a: 1"})
	r.Run(nil, "branch", "--move", "trunk")
	for _, s := range []*gitsource.Source{r.Source(), r.SourceAt(r.Serve(gittest.ServeDirectly))} {
		if err := fetchError(t, newMirrors(t), s); err.Error() != `the remote has no branch "main"; its default branch is "trunk"` {
			t.Errorf("%s: %v", s.URL, err)
		}
	}
	empty := gittest.New(t)
	if err := fetchError(t, newMirrors(t), empty.Source()); !strings.Contains(err.Error(), "it is empty, or shows a web page") {
		t.Errorf("an empty repository: %v", err)
	}
}

func TestFetch_RedirectNamesWhereToAndIsNotFollowed(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"https://user:geheim@git.example.com/new/x.git/info/refs?service=git-upload-pack&token=geheim": "https://git.example.com/new/x.git",
		"/login": "/login",
	} {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusTemporaryRedirect} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			}))
			t.Cleanup(server.Close)
			s := &gitsource.Source{
				ID: "id", URL: server.URL + "/x.git", Branch: "main", Username: "ann", Secrets: gitsource.Secrets{Token: "geheim"},
			}
			if strings.HasPrefix(want, "/") {
				want = server.URL + want
			}
			err := fetchError(t, newMirrors(t), s).Error()
			if !strings.Contains(err, "/x.git redirects to "+want+", and redirects are not followed") || strings.Contains(err, "geheim") {
				t.Errorf("%d: %s", status, err)
			}
			want = strings.TrimPrefix(want, server.URL)
		}
	}
}
