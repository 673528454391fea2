package e2e

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/testtarget"
)

// repository is a bare Git repository, and a working copy that pushes to it.
type repository struct {
	t    testing.TB
	bare string
	work string
}

func newRepository(t testing.TB) *repository {
	t.Helper()
	r := &repository{t: t, bare: filepath.Join(t.TempDir(), "deployments.git"), work: t.TempDir()}
	r.git(r.work, "init", "--quiet", "--bare", "--initial-branch=main", r.bare)
	r.git(r.work, "init", "--quiet", "--initial-branch=main")
	return r
}

// git runs git in a folder and gives what it says.
func (r *repository) git(dir string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// write puts files into the working copy; one without text is removed.
func (r *repository) write(files map[string]string) {
	r.t.Helper()
	for name, text := range files {
		path := filepath.Join(r.work, name)
		if text == "" {
			if err := os.Remove(path); err != nil {
				r.t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
}

// push commits files and pushes them; the answer is the commit.
func (r *repository) push(message string, files map[string]string, commitArgs ...string) string {
	r.t.Helper()
	r.write(files)
	r.git(r.work, "add", "--all")
	r.git(r.work, append([]string{"commit", "--quiet", "--message", message}, commitArgs...)...)
	r.git(r.work, "push", "--quiet", "--force", r.bare, "HEAD:refs/heads/main")
	return r.git(r.work, "rev-parse", "HEAD")
}

// overHTTP serves the repository to clients with the token, and reports each poll while there is a reader.
func (r *repository) overHTTP(token string) (url string, polls chan struct{}) {
	r.t.Helper()
	programs := r.git(r.work, "--exec-path")
	backend := &cgi.Handler{
		Path: filepath.Join(programs, "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.bare), "GIT_HTTP_EXPORT_ALL=1"},
	}
	polls = make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, given, _ := req.BasicAuth()
		if subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if strings.HasSuffix(req.URL.Path, "/info/refs") {
			select {
			case polls <- struct{}{}:
			default:
			}
		}
		backend.ServeHTTP(w, req)
	}))
	r.t.Cleanup(server.Close)
	return server.URL + "/" + filepath.Base(r.bare), polls
}

// definition is a file that wants a version of a service on targets.
func definition(service, version string, f *testtarget.Fleet) string {
	var b strings.Builder
	fmt.Fprintf(&b, "service: %s\nversion: %s\ntargets:\n", service, version)
	for _, target := range f.Targets {
		fmt.Fprintf(&b, "  - {id: %s, address: \"%s\"}\n", target.ID, target.URL())
	}
	b.WriteString("deploy: {timeout: 5s, retries: 0}\nhealthy_deadline: 3s\nhealth_checks:\n" +
		"  - {type: http, path: /health, version_pointer: /version, interval: 50ms}\n")
	return b.String()
}
