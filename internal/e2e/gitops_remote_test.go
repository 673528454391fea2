package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/slowtest"
)

// faultyRemote is a remote that answers as its fault says while broken is set.
func faultyRemote(t *testing.T, remote string, fault http.HandlerFunc) (address string, broken *atomic.Bool) {
	t.Helper()
	u, err := url.Parse(remote)
	if err != nil {
		t.Fatal(err)
	}
	well := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: u.Scheme, Host: u.Host})
	broken = &atomic.Bool{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			fault(w, r)
			return
		}
		well.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL + u.Path, broken
}

// faults are the ways in which remotes break, and what is then reported.
func faults() map[string]struct {
	says  string
	fault http.HandlerFunc
} {
	advertisement := "application/x-git-upload-pack-advertisement"
	return map[string]struct {
		says  string
		fault http.HandlerFunc
	}{
		"refuses": {"git ls-remote failed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
		}},
		"fails": {"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
		"hangs": {"git ls-remote failed", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		"drips": {"git ls-remote failed", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", advertisement)
			ticker := time.NewTicker(200 * time.Millisecond)
			defer ticker.Stop()
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte("0")) // the caller leaves in the middle
				_ = http.NewResponseController(w).Flush()
				<-ticker.C
			}
		}},
		"shows a page": {"shows a web page instead of a repository", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Please log in</html>")) }},
	}
}

func TestGitops_FaultyRemoteAffectsNoOtherSource(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	p := serve(t, dbtest.New(t), "--allow-file-remotes")
	f := newFleet(t, 1, "v0")
	follow := func(name string, body object) {
		if res, data := call(t, http.MethodPut, p.url+"/gitops/sources/"+name, body, nil); res.StatusCode != http.StatusCreated {
			t.Fatalf("PUT answered %d %s", res.StatusCode, data)
		}
	}
	const token = "planted-token-of-a-broken-remote"
	type breakable struct {
		good   string
		broken *atomic.Bool
	}
	remotes := map[string]breakable{}
	for way, c := range faults() {
		name := strings.ReplaceAll(way, " ", "-")
		r := newRepository(t)
		good := r.push("v1", map[string]string{"a.yaml": definition(name, "v1", newFleet(t, 1, "v0"))})
		remote, _ := r.overHTTP(token)
		address, broken := faultyRemote(t, remote, c.fault)
		follow(name, object{"url": address, "token": token, "interval": "2s"})
		remotes[way] = breakable{good: good, broken: broken}
		p.awaitNamed(name, "synced", func(s *source) bool { return s.synced(good) })
	}
	for _, c := range remotes {
		c.broken.Store(true)
	}
	r := newRepository(t)
	for _, version := range []string{"v1", "v2"} {
		commit := r.push(version, map[string]string{"a.yaml": definition("checkout", version, f)})
		if version == "v1" {
			follow("main", object{"url": "file://" + r.bare, "interval": "1s"})
		}
		p.awaitSource("synced at "+version+" beside the broken ones", func(s *source) bool { return s.synced(commit) })
	}
	for way, c := range remotes {
		name := strings.ReplaceAll(way, " ", "-")
		broken := p.awaitNamed(name, "in error", func(s *source) bool { return s.State == "error" })
		if !broken.at(c.good) || len(broken.Files) != 1 || broken.Files[0].State != "synced" || !strings.Contains(broken.Reason, faults()[way].says) {
			t.Errorf("the source whose remote %s is %+v", way, broken)
		}
	}
	for way, c := range remotes {
		c.broken.Store(false)
		name := strings.ReplaceAll(way, " ", "-")
		if res, data := call(t, http.MethodPost, p.url+"/gitops/sources/"+name+"/sync", object{}, nil); res.StatusCode != http.StatusAccepted {
			t.Errorf("sync answered %d %s", res.StatusCode, data)
		}
		p.awaitNamed(name, "repaired", func(s *source) bool { return s.synced(c.good) })
	}
	if n := len(list[made](p, "/deployments")); n != len(remotes)+2 {
		t.Errorf("%d deployments", n)
	}
	if p.says(token) {
		t.Error("the token is in the log")
	}
}

func TestGitops_KillDuringFetchKeepsMirror(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 1, "v0")
	url, polls := r.overHTTP("a-token")
	database, state := dbtest.New(t), "--state-dir="+privateFolder(t)
	p := serve(t, database, state)
	commit := r.push("v0", map[string]string{"a.yaml": definition("checkout", "v0", f)})
	p.follows(object{"url": url, "token": "a-token", "interval": "1s"})
	p.awaitSource("synced", func(s *source) bool { return s.synced(commit) })
	known := map[string]bool{fmt.Sprintf("checkout v0 %.8s", commit): true}
	for i := range 6 {
		version := fmt.Sprintf("v%d", i+1)
		commit = r.push(version, map[string]string{"a.yaml": definition("checkout", version, f), path.Join("noise", version): strings.Repeat(version, 1<<16)})
		known[fmt.Sprintf("checkout %s %.8s", version, commit)] = true
		for len(polls) > 0 {
			<-polls
		}
		select {
		case <-polls:
		case <-time.After(30 * time.Second):
			t.Fatal("no server polls")
		}
		p.kill()
		p = serve(t, database, state)
	}
	p.awaitSource("synced at the end", func(s *source) bool { return s.synced(commit) })
	seen := map[string]bool{}
	for _, d := range p.ofGit() {
		if seen[d] || !known[d] {
			t.Errorf("%s was deployed twice, or never pushed", d)
		}
		seen[d] = true
	}
	if f.Targets[0].Version() != "v6" {
		t.Errorf("the target runs %s", f.Targets[0].Version())
	}
}
