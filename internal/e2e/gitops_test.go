package e2e

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/keyring"
	"rollcall/internal/slowtest"
	"rollcall/internal/testtarget"
)

// source is what the tests read of a source.
type source struct {
	State   string
	Reason  string
	Desired *string `json:"desired_revision"`
	Actual  *string `json:"actual_revision"`
	Rewrite *struct{ From, To string }
	// Failures are the syncs that failed since the last good one.
	Failures int
	LastSync time.Time               `json:"last_sync_at"`
	NextSync time.Time               `json:"next_sync_at"`
	Removed  []struct{ Path string } `json:"removed_files"`
	Files    []struct {
		Path     string
		State    string
		Version  *string
		Problems []struct {
			Commit, Pointer, Detail string
			Line                    int
		}
		Attempt *struct {
			Kind, State, Commit, Reason string
			Deployment                  *string `json:"deployment_id"`
		}
	}
}

func (s *source) at(commit string) bool { return s.Desired != nil && *s.Desired == commit }

func (s *source) synced(commit string) bool {
	return s.State == "synced" && s.at(commit) && s.Actual != nil && *s.Actual == commit
}

// made is a deployment that a source asked for.
type made struct {
	ID          string
	Service     string
	Version     string
	State       string
	RequestedBy string `json:"requested_by"`
	Labels      map[string]string
}

// awaitSource waits for a source to be as it should.
func (p *process) awaitSource(what string, is func(*source) bool) source {
	p.t.Helper()
	return p.awaitNamed("main", what, is)
}

func (p *process) awaitNamed(name, what string, is func(*source) bool) source {
	p.t.Helper()
	var s source
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for began := time.Now(); time.Since(began) < time.Minute; <-look.C {
		s = source{}
		call(p.t, http.MethodGet, p.url+"/gitops/sources/"+name, nil, &s)
		if is(&s) {
			return s
		}
	}
	p.t.Fatalf("source %s is never %s: %+v", name, what, s)
	return s
}

// follows makes the source of these tests.
func (p *process) follows(body object) {
	p.t.Helper()
	if res, data := call(p.t, http.MethodPut, p.url+"/gitops/sources/main", body, nil); res.StatusCode != http.StatusCreated {
		p.t.Fatalf("PUT answered %d %s", res.StatusCode, data)
	}
}

func (p *process) sync(body object) {
	p.t.Helper()
	if res, data := call(p.t, http.MethodPost, p.url+"/gitops/sources/main/sync", body, nil); res.StatusCode != http.StatusAccepted {
		p.t.Fatalf("sync answered %d %s", res.StatusCode, data)
	}
}

// ofGit lists the deployments that sources asked for, the oldest first, as "service version commit".
func (p *process) ofGit() []string {
	p.t.Helper()
	var wanted []string
	for _, d := range list[made](p, "/deployments") {
		if d.RequestedBy == "gitops:main" {
			wanted = append([]string{fmt.Sprintf("%s %s %.8s", d.Service, d.Version, d.Labels["commit"])}, wanted...)
		}
	}
	return wanted
}

func TestGitops_TenCommitsOverHTTP(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	r := newRepository(t)
	const token = "a-token-that-must-not-leak"
	url, _ := r.overHTTP(token)
	tenCommits(t, r, object{"url": url, "token": token, "path": "deploy", "interval": "1s"}, token)
}

func TestGitops_TenCommitsInFolder(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	tenCommits(t, r, object{"url": "file://" + r.bare, "path": "deploy", "interval": "1s"}, "")
}

// tenCommits pushes ten commits under the eyes of two servers.
func tenCommits(t *testing.T, r *repository, body object, secret string) {
	shop, search := newFleet(t, 3, "v1"), newFleet(t, 1, "v1")
	file := func(version string) string { return definition("checkout", version, shop) }
	other := func(version string) string { return definition("search", version, search) }
	const a, b = "deploy/checkout.yaml", "deploy/nested/search.yml"
	database, key := dbtest.New(t), "--secret-key="+keyring.NewKey(time.Now()).Text()
	first := serve(t, database, key, "--allow-file-remotes")
	second := serve(t, database, key, "--allow-file-remotes")
	var want []string
	expect := func(service, version, commit string) {
		want = append(want, fmt.Sprintf("%s %s %.8s", service, version, commit))
	}

	c1 := r.push("begin", map[string]string{a: file("v1"), b: other("v1"), "deploy/README.md": "not for Rollcall"})
	first.follows(body)
	second.awaitSource("synced at the first commit", func(s *source) bool { return s.synced(c1) })
	expect("checkout", "v1", c1)
	expect("search", "v1", c1)

	c2 := r.push("v2", map[string]string{a: file("v2")})
	first.awaitSource("synced at v2", func(s *source) bool { return s.synced(c2) })
	expect("checkout", "v2", c2)

	c3 := r.push("broken", map[string]string{a: strings.SplitAfter(file("v3"), "targets:")[0] + " 7\n", b: other("v2")})
	broken := first.awaitSource("in error for the broken file", func(s *source) bool {
		return s.at(c3) && s.State == "error" && s.Files[1].State == "synced"
	})
	if p := broken.Files[0].Problems; len(p) != 1 || p[0].Line != 3 || p[0].Commit != c3 || p[0].Pointer != "/targets" {
		t.Errorf("the broken file is reported as %+v", p)
	}
	expect("search", "v2", c3)

	c4 := r.push("fixed", map[string]string{a: file("v3")})
	first.awaitSource("synced at v3", func(s *source) bool { return s.synced(c4) })
	expect("checkout", "v3", c4)

	c5 := r.push("only words", map[string]string{"README.md": "hello", a: "# a comment\n" + file("v3")})
	second.awaitSource("synced at the comment", func(s *source) bool { return s.synced(c5) })

	c6 := r.push("v4", map[string]string{a: file("v4")})
	c7 := r.push("v5", map[string]string{a: file("v5")})
	first.awaitSource("synced at v5", func(s *source) bool { return s.synced(c7) })
	for _, d := range first.ofGit() { // a poll may have come between the two
		if d == fmt.Sprintf("checkout v4 %.8s", c6) {
			expect("checkout", "v4", c6)
		}
	}
	expect("checkout", "v5", c7)

	c8 := r.push("another history", map[string]string{a: file("v6")}, "--amend")
	rewritten := first.awaitSource("synced at v6", func(s *source) bool { return s.synced(c8) })
	if rewritten.Rewrite == nil || rewritten.Rewrite.From != c7 || rewritten.Rewrite.To != c8 {
		t.Errorf("the rewrite is recorded as %+v", rewritten.Rewrite)
	}
	expect("checkout", "v6", c8)
	first.kill() // the other one takes over its work

	for _, target := range shop.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Status = http.StatusInternalServerError })
	}
	c9 := r.push("v7", map[string]string{a: file("v7")})
	failed := func(kind string) func(s *source) bool {
		return func(s *source) bool {
			f := s.Files[0].Attempt
			return s.at(c9) && f != nil && f.Kind == kind && f.State == "failed" && s.State == "drifted"
		}
	}
	second.awaitSource("drifted after a failure", failed("sync"))
	expect("checkout", "v7", c9)
	second.sync(object{}) // without retry
	second.sync(object{"retry": true})
	second.awaitSource("drifted after a second failure", failed("retry"))
	expect("checkout", "v7", c9)
	for _, target := range shop.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Status = http.StatusOK })
	}

	r.git(r.work, "revert", "--no-edit", "HEAD")
	r.git(r.work, "push", "--quiet", r.bare, "HEAD:refs/heads/main")
	c10 := r.git(r.work, "rev-parse", "HEAD")
	second.awaitSource("synced after the revert", func(s *source) bool { return s.synced(c10) })
	expect("checkout", "v6", c10)

	if got := second.ofGit(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the deployments are\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, v := range shop.Versions() {
		if v != "v6" {
			t.Errorf("a target runs %s", v)
		}
	}
	c11 := r.push("v8", map[string]string{a: file("v8")})
	second.awaitSource("synced at v8", func(s *source) bool { return s.synced(c11) })
	heldAndReleased(t, r, second, map[string]string{a: file("v9"), b: ""})
	assertSecretless(t, second, secret)
}

// heldAndReleased rolls the newest deployment back, and sees the version of Git deployed again only after a release.
func heldAndReleased(t *testing.T, r *repository, p *process, next map[string]string) {
	before := len(p.ofGit())
	res, data := call(t, http.MethodPost, p.url+"/services/checkout/environments/production/rollback", object{}, nil)
	if res.StatusCode >= 300 {
		t.Fatalf("rollback answered %d %s", res.StatusCode, data)
	}
	p.sync(object{"retry": true})
	held := p.awaitSource("held", func(s *source) bool {
		f := s.Files[0].Attempt
		return f != nil && f.State == "held" && s.State == "drifted"
	})
	if n := len(p.ofGit()); n != before {
		t.Errorf("the version that was rolled back was deployed again: %s", held.Reason)
	}
	p.sync(object{"release": true, "service": "checkout"})
	p.awaitSource("synced after the release", func(s *source) bool { return s.State == "synced" })
	commit := r.push("v9, and no more search", next)
	last := p.awaitSource("synced at v9", func(s *source) bool { return s.synced(commit) })
	if len(last.Files) != 1 {
		t.Errorf("a file that was removed is still managed: %+v", last.Files)
	}
	if n := len(p.ofGit()); n != before+2 {
		t.Errorf("%d deployments followed, not 2", n-before)
	}
}

// assertSecretless looks for the secret in what the server says and writes.
func assertSecretless(t *testing.T, p *process, secret string) {
	if secret == "" {
		return
	}
	said := ""
	for _, path := range []string{"/gitops/sources/main", "/gitops/sources", "/metrics"} {
		_, data := call(t, http.MethodGet, p.url+path, nil, nil)
		said += string(data)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.Contains(said+strings.Join(p.lines, "\n"), secret) {
		t.Error("the token is shown")
	}
}

func TestGitops_SourceIsPolledByOneServer(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 1, "v1")
	url, polls := r.overHTTP("a-token")
	database, key := dbtest.New(t), "--secret-key="+keyring.NewKey(time.Now()).Text()
	servers := []*process{serve(t, database, key), serve(t, database, key), serve(t, database, key)}
	commit := r.push("begin", map[string]string{"a.yaml": definition("checkout", "v1", f)})
	servers[0].follows(object{"url": url, "token": "a-token", "interval": "1s"})
	servers[1].awaitSource("synced", func(s *source) bool { return s.synced(commit) })
	for len(polls) > 0 { // those until now do not count
		<-polls
	}
	began := time.Now()
	for range 4 {
		select {
		case <-polls:
		case <-time.After(30 * time.Second):
			t.Fatal("no server polls")
		}
	}
	if took := time.Since(began); took < 2700*time.Millisecond {
		t.Errorf("four polls of a source took %s, which is less than its interval allows", took)
	}
}

func TestGitops_TakeoverOfKilledServersSource(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 2, "v1")
	database := dbtest.New(t)
	first := serve(t, database, "--allow-file-remotes")
	commit := r.push("begin", map[string]string{"a.yaml": definition("checkout", "v1", f)})
	first.follows(object{"url": "file://" + r.bare, "interval": "1s"})
	first.awaitSource("synced", func(s *source) bool { return s.synced(commit) })
	for i := range 3 {
		next := serve(t, database, "--allow-file-remotes")
		version := fmt.Sprintf("v%d", i+2)
		commit = r.push(version, map[string]string{"a.yaml": definition("checkout", version, f)})
		first.kill()
		next.awaitSource("synced at "+version, func(s *source) bool { return s.synced(commit) })
		first = next
	}
	if n := len(first.ofGit()); n != 4 {
		t.Errorf("%d deployments for four commits", n)
	}
}

func TestGitops_DriftIsHealedOnlyOnRequest(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 2, "v1")
	p := serve(t, dbtest.New(t), "--allow-file-remotes")
	commit := r.push("begin", map[string]string{"a.yaml": definition("checkout", "v1", f)})
	p.follows(object{"url": "file://" + r.bare, "interval": "1s"})
	p.awaitSource("synced", func(s *source) bool { return s.synced(commit) })
	f.Targets[1].SetVersion("by-hand")
	p.awaitSource("drifted", func(s *source) bool { return s.State == "drifted" })
	assertMetric(t, p, `rollcall_gitops_drifted_targets{source="main"} 1`)
	if n := len(p.ofGit()); n != 1 {
		t.Fatalf("%d deployments, although heal is off", n)
	}
	if res, data := call(t, http.MethodPut, p.url+"/gitops/sources/main",
		object{"url": "file://" + r.bare, "interval": "1s", "heal": true}, nil); res.StatusCode != http.StatusOK {
		t.Fatalf("PUT answered %d %s", res.StatusCode, data)
	}
	healed := p.awaitSource("healed", func(s *source) bool { return s.synced(commit) })
	if a := healed.Files[0].Attempt; a.Kind != "heal" || a.State != "done" || f.Targets[1].Version() != "v1" {
		t.Errorf("healed as %+v, and the target runs %s", a, f.Targets[1].Version())
	}
	if calls := f.Calls(); len(calls) != 1 {
		t.Errorf("%d targets were called to heal one", len(calls))
	}
}

func TestGitops_NewerCommitEndsStuckDeployment(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 2, "v1")
	p := serve(t, dbtest.New(t), "--allow-file-remotes")
	file := func(version string) map[string]string {
		return map[string]string{"a.yaml": definition("checkout", version, f) + "strategy: {type: rolling, on_failure: pause}\n"}
	}
	commit := r.push("begin", file("v1"))
	p.follows(object{"url": "file://" + r.bare, "interval": "1s"})
	p.awaitSource("synced", func(s *source) bool { return s.synced(commit) })
	f.Targets[0].QueueBehaviours(testtarget.Behaviour{Status: http.StatusInternalServerError})
	bad := r.push("v2", file("v2"))
	stuck := p.awaitSource("under way at v2", func(s *source) bool {
		return s.at(bad) && s.Files[0].Attempt.Deployment != nil && s.Files[0].Attempt.State == "running"
	}).Files[0].Attempt.Deployment
	p.await(*stuck, "paused by its failure", func(d *deployment) bool { return d.State == "paused" })
	good := r.push("v3", file("v3"))
	p.awaitSource("synced at v3", func(s *source) bool { return s.synced(good) })
	if d := p.awaitEnd(*stuck); d.State != "aborted" {
		t.Errorf("the deployment that waited is %s", d.State)
	}
}

func TestGitops_RejectedAttemptFollowsOther(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 2, "v1")
	p := serve(t, dbtest.New(t), "--allow-file-remotes")
	file := func(version string) map[string]string {
		return map[string]string{"a.yaml": definition("checkout", version, f) + "on_conflict: reject\n"}
	}
	first := r.push("begin", file("v1"))
	p.follows(object{"url": "file://" + r.bare, "interval": "1s"})
	p.awaitSource("synced", func(s *source) bool { return s.synced(first) })

	var targets []object
	for _, target := range f.Targets {
		targets = append(targets, object{"id": target.ID, "address": target.URL()})
	}
	var hand struct{ ID string }
	call(t, http.MethodPost, p.url+"/deployments", object{
		"service": "checkout", "version": "v2", "targets": targets, "healthy_deadline": "3s",
		"strategy":      object{"type": "rolling", "batch_size": 2, "bake": "4s"},
		"health_checks": []object{{"type": "http", "path": "/health", "version_pointer": "/version", "interval": "50ms"}},
	}, &hand)
	p.await(hand.ID, "in progress", func(d *deployment) bool { return d.State == "in_progress" })
	commit := r.push("v3", file("v3"))
	waiting := p.awaitSource("waiting", func(s *source) bool {
		return s.at(commit) && s.State == "drifted" && s.Files[0].Attempt.State == "planned" && strings.Contains(s.Reason, hand.ID)
	})
	if *waiting.Actual != first {
		t.Errorf("while it waits the actual revision is %s", *waiting.Actual)
	}
	p.awaitSource("synced at v3", func(s *source) bool {
		if s.Actual != nil && *s.Actual == commit && f.Targets[0].Version() != "v3" {
			t.Errorf("the actual revision is that of v3, and a target runs %s", f.Targets[0].Version())
		}
		return s.synced(commit)
	})
	if d := p.awaitEnd(hand.ID); d.State != "completed" {
		t.Errorf("the deployment made by hand ended %s", d.State)
	}
	if n := len(p.ofGit()); n != 2 {
		t.Errorf("%d deployments of Git", n)
	}
}

func TestGitops_RenamedFolderIsAnError(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t), "--allow-file-remotes")
	good := r.push("begin", map[string]string{"production/a.yaml": definition("checkout", "v1", f)})
	body := object{"url": "file://" + r.bare, "interval": "1s", "path": "production"}
	p.follows(body)
	p.awaitSource("synced", func(s *source) bool { return s.synced(good) })
	commit := r.push("rename", map[string]string{"production/a.yaml": "", "prod/a.yaml": definition("checkout", "v2", f)})
	for range 2 {
		at := p.awaitSource("in error", func(s *source) bool { return s.State == "error" && strings.Contains(s.Reason, commit) })
		if !at.at(good) || len(at.Files) != 1 || !strings.Contains(at.Reason, `"production"`) {
			t.Errorf("the source is %+v", at)
		}
		assertMetric(t, p, `rollcall_gitops_source_state{source="main",state="error"} 1`)
		assertMetric(t, p, `rollcall_gitops_source_state{source="main",state="synced"} 0`)
		commit = r.push("further", map[string]string{"README.md": "about " + commit})
	}
	body["allow_empty"] = true
	if res, data := call(t, http.MethodPut, p.url+"/gitops/sources/main", body, nil); res.StatusCode != http.StatusOK {
		t.Fatalf("PUT answered %d %s", res.StatusCode, data)
	}
	empty := p.awaitSource("synced and empty", func(s *source) bool { return s.synced(commit) && len(s.Files) == 0 })
	if len(empty.Removed) != 1 || empty.Removed[0].Path != "production/a.yaml" || !strings.Contains(empty.Reason, "unchanged") {
		t.Errorf("the removed files are %+v: %s", empty.Removed, empty.Reason)
	}
	p.rollcall(t, "gitops", "status", "main").want(0, "removed", "production/a.yaml", "its deployment is unchanged")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: plainTransport()}
	_, shown := page(t, client, http.MethodGet, p.url+"/ui/sign-in", nil)
	page(t, client, http.MethodPost, p.url+"/ui/sign-in", url.Values{"proof": {proofIn(t, shown)}, "token": {adminToken}})
	res, shown := page(t, client, http.MethodGet, p.url+"/ui/gitops/main", nil)
	if res.StatusCode != http.StatusOK || !strings.Contains(shown, "Removed files") || !strings.Contains(shown, "production/a.yaml") || !strings.Contains(shown, "No managed files") {
		t.Errorf("the page is %d %s", res.StatusCode, shown)
	}
	if f.Targets[0].Version() != "v1" || len(p.ofGit()) != 1 {
		t.Errorf("the target runs %s after %d deployments", f.Targets[0].Version(), len(p.ofGit()))
	}
}

func TestGitops_LostRemoteKeepsLastGoodState(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t), "--allow-file-remotes")
	commit := r.push("begin", map[string]string{"a.yaml": definition("checkout", "v1", f)})
	p.follows(object{"url": "file://" + r.bare, "interval": "1s"})
	p.awaitSource("synced", func(s *source) bool { return s.synced(commit) })
	if err := os.Rename(r.bare, r.bare+".away"); err != nil {
		t.Fatal(err)
	}
	gone := p.awaitSource("in error", func(s *source) bool { return s.State == "error" })
	if !gone.at(commit) || len(gone.Files) != 1 || gone.Files[0].State != "synced" {
		t.Errorf("the last good state is gone: %+v", gone)
	}
	if err := os.Rename(r.bare+".away", r.bare); err != nil {
		t.Fatal(err)
	}
	p.sync(object{})
	p.awaitSource("synced again", func(s *source) bool { return s.synced(commit) })
}

func TestGitops_SourceFromFlagsExistsAtStart(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 1, "v1")
	const token = "a-token-in-a-file"
	url, _ := r.overHTTP(token)
	commit := r.push("begin", map[string]string{"a.yaml": definition("checkout", "v2", f)})
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--secret-key=" + keyring.NewKey(time.Now()).Text(), "--gitops-url=" + url, "--gitops-name=main", "--gitops-token-file=" + file,
		"--gitops-interval=1s",
	}
	database := dbtest.New(t)
	p := serve(t, database, args...)
	p.awaitSource("synced", func(s *source) bool { return s.synced(commit) })
	var before, after struct{ Revision int }
	call(t, http.MethodGet, p.url+"/gitops/sources/main", nil, &before)
	again := serve(t, database, args...)
	call(t, http.MethodGet, again.url+"/gitops/sources/main", nil, &after)
	if before.Revision != 1 || after.Revision != 1 {
		t.Errorf("revisions %d and %d: a start changed what was so already", before.Revision, after.Revision)
	}
}

func TestGitops_PushBeatsPollAndDryRunPredicts(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t), "--allow-file-remotes", "--secret-key="+keyring.NewKey(time.Now()).Text())
	commit := r.push("begin", map[string]string{"a.yaml": definition("checkout", "v1", f)})
	const secret = "a-hook-secret-of-some-length"
	p.follows(object{"url": "file://" + r.bare, "interval": "1h", "hook_secret": secret})
	p.awaitSource("synced", func(s *source) bool { return s.synced(commit) })

	commit = r.push("v2", map[string]string{"a.yaml": definition("checkout", "v2", f)})
	var plan struct {
		Desired     string `json:"desired_revision"`
		Deployments []struct{ Path, Service, Version, Kind string }
	}
	call(t, http.MethodPost, p.url+"/gitops/sources/main/sync?dry_run=true", nil, &plan)
	if plan.Desired != commit || len(plan.Deployments) != 1 || plan.Deployments[0].Version != "v2" || plan.Deployments[0].Kind != "sync" {
		t.Errorf("the dry run says %+v", plan)
	}
	if n := len(p.ofGit()); n != 1 {
		t.Errorf("%d deployments after a dry run", n)
	}
	if status := p.notify("a-wrong-secret"); status != http.StatusUnauthorized {
		t.Errorf("a wrong signature is answered with %d", status)
	}
	if status := p.notify(secret); status != http.StatusOK {
		t.Fatalf("the notification is answered with %d", status)
	}
	p.awaitSource("synced at v2", func(s *source) bool { return s.synced(commit) })

	commit = r.push("v3", map[string]string{"a.yaml": definition("checkout", "v3", f)})
	form := url.Values{"payload": {`{"ref": "refs/heads/main", "commits": "` + strings.Repeat("x", 9<<20) + `"}`}}.Encode()
	if status := p.notifyWith(secret, form, "application/x-www-form-urlencoded"); status != http.StatusOK {
		t.Fatalf("a large form is answered with %d", status)
	}
	p.awaitSource("synced at v3", func(s *source) bool { return s.synced(commit) })
}
