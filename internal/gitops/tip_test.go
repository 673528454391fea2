package gitops

import (
	"errors"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/gitsource"
)

// served is the repository's URL at a real git-http-backend; front sees each request before it.
func (r *repo) served(front func(http.ResponseWriter, *http.Request, http.Handler)) string {
	r.t.Helper()
	backend := &cgi.Handler{
		Path: filepath.Join(r.run(nil, "--exec-path"), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { front(w, req, backend) }))
	r.t.Cleanup(server.Close)
	return server.URL + "/" + filepath.Base(r.dir) + "/.git"
}

func direct(w http.ResponseWriter, req *http.Request, backend http.Handler) {
	backend.ServeHTTP(w, req)
}

// at is the repository's source at another URL.
func (r *repo) at(url string) *gitsource.Source {
	s := r.source()
	s.URL = url
	return s
}

func TestFetch_HostThatPacksForLongIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	want := r.commit("one", map[string]string{"a.yaml": "a: 1"})
	url := r.served(func(w http.ResponseWriter, req *http.Request, backend http.Handler) {
		if req.Method == http.MethodPost && req.ContentLength > 200 { // the fetch itself, and not the question for branches
			select { // a host that packs sends nothing
			case <-time.After(tipTime + 2*time.Second):
			case <-req.Context().Done():
			}
		}
		backend.ServeHTTP(w, req)
	})
	m := newMirrors(t)
	m.fetchTime = time.Minute
	began := time.Now()
	if _, got := fetched(t, m, r.at(url)); got != want {
		t.Errorf("fetched %s, not %s", got, want)
	}
	if took := time.Since(began); took < tipTime {
		t.Errorf("the host was asked for nothing that takes long: %s", took)
	}
}

func TestFetch_SHA256RepositoryIsRead(t *testing.T) {
	t.Parallel()
	r := &repo{t: t, dir: filepath.Join(t.TempDir(), "repo")}
	r.run(nil, "init", "--quiet", "--object-format=sha256", "--initial-branch=main", r.dir)
	want := r.commit("one", map[string]string{"a.yaml": checkout})
	for _, s := range []*gitsource.Source{r.source(), r.at(r.served(direct))} {
		m := newMirrors(t)
		mi, got := fetched(t, m, s)
		if got != want || len(got) != 64 {
			t.Fatalf("%s: fetched %q, not %q", s.URL, got, want)
		}
		if entries, err := mi.ListFiles(t.Context(), got, ""); err != nil || len(entries) != 1 {
			t.Errorf("%s: %d files, %v", s.URL, len(entries), err)
		}
	}
	if report := steppedAt(t, r); report.Status.DesiredRevision != want || len(report.Files) != 1 || report.Files[0].Want.Commit.SHA != want {
		t.Errorf("the source is at %q: %+v", report.Status.DesiredRevision, report.Files)
	}
}

// A repository may be made anew in the other format under the same URL.
func TestFetch_FollowsAChangeOfTheObjectFormat(t *testing.T) {
	t.Parallel()
	r, m := newRepo(t), newMirrors(t)
	r.commit("one", map[string]string{"a.yaml": "a: 1"})
	fetched(t, m, r.source())
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	r.run(nil, "init", "--quiet", "--object-format=sha256", "--initial-branch=main", r.dir)
	want := r.commit("one", map[string]string{"a.yaml": "a: 1"})
	if _, got := fetched(t, m, r.source()); got != want {
		t.Errorf("fetched %q, not %q", got, want)
	}
}

// foreign gives the repository to another user, which only root can.
func (r *repo) foreign() {
	r.t.Helper()
	if os.Geteuid() != 0 {
		r.t.Skip("only root can give a file to another user")
	}
	if out, err := exec.CommandContext(r.t.Context(), "chown", "-R", "12345:12345", r.dir).CombinedOutput(); err != nil {
		r.t.Fatalf("chown: %v %s", err, out)
	}
}

func TestFetch_RepositoryOfAnotherOwnerIsRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain", `with "quotes" and \`} {
		r := &repo{t: t, dir: filepath.Join(t.TempDir(), name)}
		r.run(nil, "init", "--quiet", "--initial-branch=main", r.dir)
		want := r.commit("one", map[string]string{"a.yaml": "a: 1"})
		bare, link := filepath.Join(t.TempDir(), "bare.git"), filepath.Join(t.TempDir(), "link")
		r.run(nil, "clone", "--quiet", "--bare", r.dir, bare)
		if err := os.Symlink(r.dir, link); err != nil {
			t.Fatal(err)
		}
		r.foreign()
		(&repo{t: t, dir: bare}).foreign()
		for _, path := range []string{r.dir, r.dir + "/.git", link, bare, strings.TrimSuffix(bare, ".git")} {
			if _, got := fetched(t, newMirrors(t), r.at("file://"+path)); got != want {
				t.Errorf("%s: fetched %q, not %q", path, got, want)
			}
		}
	}
}

func TestGit_DubiousOwnershipSaysWhatHelps(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.commit("one", map[string]string{"a.yaml": "a: 1"})
	r.foreign()
	_, err := runGit(t.Context(), command{dir: r.dir, args: []string{"log", "-1"}})
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
	r := newRepo(t)
	r.commit("one", map[string]string{"a.yaml": "a: 1"})
	r.run(nil, "branch", "--move", "trunk")
	for _, s := range []*gitsource.Source{r.source(), r.at(r.served(direct))} {
		if err := refused(t, newMirrors(t), s); err.Error() != `the remote has no branch "main"; its default branch is "trunk"` {
			t.Errorf("%s: %v", s.URL, err)
		}
	}
	empty := newRepo(t)
	if err := refused(t, newMirrors(t), empty.source()); !strings.Contains(err.Error(), "it is empty, or shows a web page") {
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
			err := refused(t, newMirrors(t), s).Error()
			if !strings.Contains(err, "/x.git redirects to "+want+", and redirects are not followed") || strings.Contains(err, "geheim") {
				t.Errorf("%d: %s", status, err)
			}
			want = strings.TrimPrefix(want, server.URL)
		}
	}
}

func TestTip_UnchangedBranchIsNotFetchedAgain(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.commit("one", map[string]string{"a.yaml": checkout})
	l, s := following(t, r)
	if err := newSyncRun(l, claim(t, s, "a")).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := s.Source(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	mirror := l.mirrors.pathOf(report.Source.ID)
	if err := os.RemoveAll(mirror); err != nil {
		t.Fatal(err)
	}
	polled := newSyncRun(l, claim(t, s, "a"))
	polled.claimed.Requests = nil
	polled.status.NextSyncAt = time.Time{}
	if err := polled.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mirror); !errors.Is(err, os.ErrNotExist) || polled.status.Error != "" {
		t.Errorf("the mirror is %v, and the error %q", err, polled.status.Error)
	}
}
