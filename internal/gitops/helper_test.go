package gitops

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/gitsource"
)

// repo is a real repository that tests commit to.
type repo struct {
	t   testing.TB
	dir string
}

func newRepo(t testing.TB) *repo {
	t.Helper()
	r := &repo{t: t, dir: filepath.Join(t.TempDir(), "repo")}
	r.run(nil, "init", "--quiet", "--initial-branch=main", r.dir)
	return r
}

// run runs git in the repository with standard input, and gives what it says.
func (r *repo) run(stdin []byte, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	if _, err := os.Stat(r.dir); err == nil {
		cmd.Dir = r.dir
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

// commit writes a tree of blobs, whatever their names, and gives the commit. A mode stands before a text: "120000 target".
func (r *repo) commit(message string, files map[string]string, args ...string) string {
	r.t.Helper()
	r.run(nil, "read-tree", "--empty")
	for name, text := range files {
		mode := "100644"
		if link, ok := strings.CutPrefix(text, "120000 "); ok {
			mode, text = "120000", link
		}
		object := r.run([]byte(text), "hash-object", "-w", "--stdin")
		r.run(nil, "update-index", "--add", "--cacheinfo", mode+","+object+","+name)
	}
	r.run(nil, append([]string{"commit", "--quiet", "--allow-empty", "--message", message}, args...)...)
	return r.run(nil, "rev-parse", "HEAD")
}

func (r *repo) source() *gitsource.Source {
	return &gitsource.Source{ID: "id", Name: "main", URL: "file://" + r.dir, Branch: "main", Username: "x-access-token"}
}

// anywhere resolves each host to this machine.
type anywhere struct{}

func (anywhere) Resolve(context.Context, string, uint16) (netip.Addr, error) {
	return netip.MustParseAddr("127.0.0.1"), nil
}

func newMirrors(t testing.TB) *Cache {
	t.Helper()
	return &Cache{folder: t.TempDir(), fetchTime: 30 * time.Second, fetchBytes: 32 << 20}
}

// fetched is the mirror after a fetch that must succeed, and the commit.
func fetched(t testing.TB, m *Cache, s *gitsource.Source) (*Mirror, string) {
	t.Helper()
	var kept *Mirror
	var revision string
	err := m.WithMirror(t.Context(), s, func(mi *Mirror) (err error) {
		kept = mi
		revision, err = mi.FetchBranch(t.Context(), s, anywhere{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return kept, revision
}

// refused is the error of a fetch that must fail.
func refused(t testing.TB, m *Cache, s *gitsource.Source) error {
	t.Helper()
	err := m.WithMirror(t.Context(), s, func(mi *Mirror) error {
		_, err := mi.FetchBranch(t.Context(), s, anywhere{})
		return err
	})
	if err == nil {
		t.Fatalf("the fetch of %s went well", s.URL)
	}
	return err
}
