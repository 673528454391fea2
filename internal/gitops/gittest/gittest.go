// Package gittest has real Git repositories for tests, and hosts that serve them.
package gittest

import (
	"context"
	"net/http"
	"net/http/cgi" //nolint:gosec // git-http-backend speaks nothing else, and the tests are its only client
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/gitsource"
)

// Repo is a real repository that tests commit to.
type Repo struct {
	Dir string
	t   testing.TB
}

// New creates an empty repository whose branch is main.
func New(t testing.TB) *Repo {
	t.Helper()
	return Init(t, filepath.Join(t.TempDir(), "repo"))
}

// Init creates an empty repository in a folder, with further arguments for git init.
func Init(t testing.TB, dir string, args ...string) *Repo {
	t.Helper()
	r := Open(t, dir)
	r.Run(nil, append(append([]string{"init", "--quiet", "--initial-branch=main"}, args...), r.Dir)...)
	return r
}

// Open returns the repository in a folder.
func Open(t testing.TB, dir string) *Repo {
	t.Helper()
	return &Repo{t: t, Dir: dir}
}

// Run runs git in the repository with standard input, and returns its output.
func (r *Repo) Run(stdin []byte, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	if _, err := os.Stat(r.Dir); err == nil {
		cmd.Dir = r.Dir
	}
	cmd.Stdin = strings.NewReader(string(stdin))
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_AUTHOR_NAME=Ann",
		"GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Commit writes a tree of blobs, whatever their names, and returns the commit. A mode may precede a text: "120000 target".
func (r *Repo) Commit(message string, files map[string]string, args ...string) string {
	r.t.Helper()
	r.Run(nil, "read-tree", "--empty")
	for name, text := range files {
		mode := "100644"
		if link, ok := strings.CutPrefix(text, "120000 "); ok {
			mode, text = "120000", link
		}
		object := r.Run([]byte(text), "hash-object", "-w", "--stdin")
		r.Run(nil, "update-index", "--add", "--cacheinfo", mode+","+object+","+name)
	}
	r.Run(nil, append([]string{"commit", "--quiet", "--allow-empty", "--message", message}, args...)...)
	return r.Run(nil, "rev-parse", "HEAD")
}

// Source returns a source of the repository's branch main.
func (r *Repo) Source() *gitsource.Source { return r.SourceAt("file://" + r.Dir) }

// SourceAt returns the repository's source at another URL.
func (r *Repo) SourceAt(url string) *gitsource.Source {
	return &gitsource.Source{ID: "id", Name: "main", URL: url, Branch: "main", Username: "x-access-token"}
}

// Serve serves the repository with a real git-http-backend, and returns its URL; front sees each request before it.
func (r *Repo) Serve(front func(http.ResponseWriter, *http.Request, http.Handler)) string {
	r.t.Helper()
	backend := &cgi.Handler{
		Path: filepath.Join(r.Run(nil, "--exec-path"), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.Dir), "GIT_HTTP_EXPORT_ALL=1"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { front(w, req, backend) }))
	r.t.Cleanup(server.Close)
	return server.URL + "/" + filepath.Base(r.Dir) + "/.git"
}

// ServeDirectly is a front that changes nothing.
func ServeDirectly(w http.ResponseWriter, req *http.Request, backend http.Handler) {
	backend.ServeHTTP(w, req)
}

// ChangeOwner makes another user the owner of the repository, which only root can.
func (r *Repo) ChangeOwner() {
	r.t.Helper()
	if os.Geteuid() != 0 {
		r.t.Skip("only root can change the owner of a file")
	}
	if out, err := exec.CommandContext(r.t.Context(), "chown", "-R", "12345:12345", r.Dir).CombinedOutput(); err != nil {
		r.t.Fatalf("chown: %v %s", err, out)
	}
}

// Anywhere resolves each host to this machine.
type Anywhere struct{}

// Resolve returns the loopback address.
func (Anywhere) Resolve(context.Context, string, uint16) (netip.Addr, error) {
	return netip.MustParseAddr("127.0.0.1"), nil
}
