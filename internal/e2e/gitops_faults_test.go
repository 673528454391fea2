package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/dbtest"
)

// held puts a remote behind a door: the first fetch that knows what the branch is waits there for what it asks for, until
// the door opens.
func held(t *testing.T, remote string) (address string, waits <-chan struct{}, open func()) {
	t.Helper()
	u, err := url.Parse(remote)
	if err != nil {
		t.Fatal(err)
	}
	behind := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: u.Scheme, Host: u.Host})
	came, door := make(chan struct{}), make(chan struct{})
	posts := make(chan struct{}, 3)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost { // the first two ask for the branch, the third for what is new there
			select {
			case posts <- struct{}{}:
				if len(posts) == cap(posts) {
					close(came)
					<-door
				}
			default:
			}
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL + u.Path, came, func() { close(door) }
}

func TestGitops_ThawedServerDeploysNothingStale(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 2, "v0")
	remote, _ := r.overHTTP("a-token")
	address, waits, open := held(t, remote)
	file := func(version string) map[string]string {
		return map[string]string{"a.yaml": definition("checkout", version, f)}
	}
	r.push("v1", file("v1"))
	database := dbtest.New(t)
	first := serve(t, database)
	first.follows(object{"url": address, "token": "a-token", "interval": "1s"})
	<-waits
	first.signal(syscall.SIGSTOP)
	second := serve(t, database)
	var want []string
	for _, version := range []string{"v2", "v3"} {
		commit := r.push(version, file(version))
		second.awaitSource("synced at "+version, func(s *source) bool { return s.synced(commit) })
		want = append(want, fmt.Sprintf("checkout %s %.8s", version, commit))
	}
	open()
	first.signal(syscall.SIGCONT)
	first.awaitSaid("a source was changed or taken over")
	commit := r.push("v4", file("v4"))
	first.awaitSource("synced at v4", func(s *source) bool { return s.synced(commit) })
	want = append(want, fmt.Sprintf("checkout v4 %.8s", commit))
	if got := first.ofGit(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the deployments are\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if calls := f.Calls(); len(calls) != 2*len(want) {
		t.Errorf("%d calls for %d deployments of two targets", len(calls), len(want))
	}
}

// awaitSaid waits for a line in the log.
func (p *process) awaitSaid(text string) {
	p.t.Helper()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for began := time.Now(); !p.says(text); <-look.C {
		if time.Since(began) > time.Minute {
			p.t.Fatalf("the log never says %q:\n%s", text, p.tail())
		}
	}
}

// onSmallDisk starts a server whose state folder is a disk of its own of 4 MiB, gone with the process; folder is where
// others find it.
func onSmallDisk(t *testing.T, database string, args ...string) (p *process, folder string) {
	t.Helper()
	state := t.TempDir()
	script := "#!/bin/sh\nexec unshare --user --map-root-user --mount sh -c 'mount -t tmpfs -o size=4m,mode=700 none \"$0\" && exec \"$@\"' '" +
		state + "' '" + binary + "' \"$@\"\n"
	program := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	p = launchProgram(t, program, database, append(args, "--state-dir="+state)...)
	p.awaitReady()
	return p, fmt.Sprintf("/proc/%d/root%s", p.cmd.Process.Pid, state)
}

// fill writes until the disk is full, and gives the way back.
func fill(t *testing.T, folder string) (empty func()) {
	t.Helper()
	path := filepath.Join(folder, "filler")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = file.Write(make([]byte, 64<<10))
	}
	if !errors.Is(err, syscall.ENOSPC) || file.Close() != nil {
		t.Fatalf("the disk is not full: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGitops_FullDiskKeepsLastGoodState(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 1, "v0")
	p, folder := onSmallDisk(t, dbtest.New(t), "--allow-file-remotes")
	good := r.push("v1", map[string]string{"a.yaml": definition("checkout", "v1", f)})
	p.follows(object{"url": "file://" + r.bare, "interval": "1s"})
	p.awaitSource("synced at v1", func(s *source) bool { return s.synced(good) })

	empty := fill(t, folder)
	noise := rand.New(rand.NewPCG(1, 2))
	var large strings.Builder
	for large.Len() < 300<<10 {
		fmt.Fprintf(&large, "%x\n", noise.Uint64())
	}
	next := r.push("v2", map[string]string{"a.yaml": definition("checkout", "v2", f), "large.txt": large.String()})
	full := p.awaitSource("in error three times", func(s *source) bool { return s.State == "error" && s.Failures >= 3 })
	if !full.at(good) || len(full.Files) != 1 || full.Files[0].State != "synced" || *full.Files[0].Version != "v1" {
		t.Errorf("the last good state is gone: %+v", full)
	}
	if !strings.Contains(full.Reason, "No space left") && !strings.Contains(full.Reason, "no space left") {
		t.Errorf("the reason says nothing of the disk: %q", full.Reason)
	}
	if wait := full.NextSync.Sub(full.LastSync); wait < 3*time.Second {
		t.Errorf("after %d failures it is tried again after %s", full.Failures, wait)
	}
	if n := len(p.ofGit()); n != 1 {
		t.Errorf("%d deployments", n)
	}
	empty()
	p.sync(object{})
	p.awaitSource("synced at v2", func(s *source) bool { return s.synced(next) })
	if n := len(p.ofGit()); n != 2 {
		t.Errorf("%d deployments", n)
	}
}

func TestGitops_VanishedBranchKeepsLastGoodState(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 1, "v0")
	p := serve(t, dbtest.New(t), "--allow-file-remotes")
	good := r.push("v1", map[string]string{"a.yaml": definition("checkout", "v1", f)})
	p.follows(object{"url": "file://" + r.bare, "interval": "1s"})
	p.awaitSource("synced", func(s *source) bool { return s.synced(good) })
	r.git(r.bare, "update-ref", "-d", "refs/heads/main")
	gone := p.awaitSource("in error", func(s *source) bool { return s.State == "error" })
	if !gone.at(good) || gone.Files[0].State != "synced" || !strings.Contains(gone.Reason, "main") {
		t.Errorf("without its branch the source is %+v", gone)
	}
	r.git(r.bare, "update-ref", "refs/heads/main", good)
	p.sync(object{})
	p.awaitSource("synced again", func(s *source) bool { return s.synced(good) })
	if n := len(p.ofGit()); n != 1 {
		t.Errorf("%d deployments of one commit", n)
	}
}

// issued is a new token of the role, for everything.
func (p *process) issued(role string, scope object) string {
	p.t.Helper()
	var given struct{ Token string }
	request := object{"name": role, "role": role, "scopes": []object{scope}}
	if status := p.with(adminToken, http.MethodPost, "/tokens", request, &given); status != http.StatusCreated {
		p.t.Fatalf("a token is answered with %d", status)
	}
	return given.Token
}

func TestGitops_RolesAndSourcePrincipal(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 1, "v0")
	p := serve(t, dbtest.New(t), "--allow-file-remotes")
	commit := r.push("v1", map[string]string{"a.yaml": definition("checkout", "v1", f)})
	const path, secret = "/gitops/sources/main", "a-hook-secret-of-some-length"
	body := object{"url": "file://" + r.bare, "interval": "1h", "hook_secret": secret}
	tokens := map[string]string{"nobody": "", "bounded": p.issued("deployer", object{"service": "checkout"})}
	for _, role := range []string{"viewer", "deployer", "approver", "admin"} {
		tokens[role] = p.issued(role, object{})
	}
	const none, no, yes = http.StatusUnauthorized, http.StatusForbidden, http.StatusOK
	for _, c := range []struct {
		method, path string
		body         any
		want         map[string]int
	}{
		{"PUT", path, body, map[string]int{"nobody": none, "bounded": no, "viewer": no, "deployer": no, "approver": no, "admin": http.StatusCreated}},
		{"GET", path, nil, map[string]int{"nobody": none, "bounded": no, "viewer": yes, "deployer": yes, "approver": yes, "admin": yes}},
		{"GET", "/gitops/sources", nil, map[string]int{"nobody": none, "bounded": no, "viewer": yes, "deployer": yes, "approver": yes, "admin": yes}},
		{"POST", path + "/sync", object{}, map[string]int{"nobody": none, "bounded": no, "viewer": no, "deployer": http.StatusAccepted, "admin": http.StatusAccepted}},
		{"POST", path + "/sync?dry_run=true", object{}, map[string]int{"nobody": none, "viewer": no, "deployer": yes}},
		{"DELETE", path, nil, map[string]int{"nobody": none, "bounded": no, "viewer": no, "deployer": no, "approver": no}},
		{"POST", path + "/hook", object{"ref": "refs/heads/main"}, map[string]int{"nobody": none, "viewer": none, "admin": none}},
	} {
		for who, want := range c.want {
			if got := p.with(tokens[who], c.method, c.path, c.body, nil); got != want {
				t.Errorf("%s %s as %s: %d, want %d", c.method, c.path, who, got, want)
			}
		}
	}
	p.awaitSource("synced", func(s *source) bool { return s.synced(commit) })
	commit = r.push("v2", map[string]string{"a.yaml": definition("checkout", "v2", f)})
	if status := p.notify(secret); status != http.StatusOK {
		t.Errorf("a signed notification without a token is answered with %d", status)
	}
	p.awaitSource("synced at v2", func(s *source) bool { return s.synced(commit) })
	for _, d := range list[made](p, "/deployments") {
		if d.RequestedBy != "gitops:main" || d.Labels["source"] != "main" {
			t.Errorf("a deployment is requested by %q: %+v", d.RequestedBy, d.Labels)
		}
		if first := list[struct{ Type, Actor string }](p, "/deployments/"+d.ID+"/events")[0]; first.Actor != "gitops:main" {
			t.Errorf("%s is by %q", first.Type, first.Actor)
		}
	}
	if n := len(p.ofGit()); n != 2 {
		t.Errorf("%d deployments", n)
	}
	if status := p.with(tokens["admin"], http.MethodDelete, path, nil, nil); status != http.StatusNoContent {
		t.Errorf("an admin's DELETE is answered with %d", status)
	}
}

// notify sends a push notification as GitHub does, without any token.
func (p *process) notify(secret string) int {
	p.t.Helper()
	const body = `{"ref": "refs/heads/main", "repository": {"clone_url": "file:///etc"}}` // the source's own repository is read
	return p.notifyWith(secret, body, "application/json")
}

func (p *process) notifyWith(secret, body, mediaType string) int {
	p.t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write([]byte(body)) // a hash never fails
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+"/gitops/sources/main/hook", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": mediaType, "X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil)),
	} {
		req.Header.Set(name, value)
	}
	req.Header["Authorization"] = []string{}
	return send(p.t, req, nil)
}

// sshKey is a new private key, and a part of it that nothing else holds.
func sshKey(t *testing.T) (key, part string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v %s", err, out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), strings.Split(string(text), "\n")[3]
}

// silentHost takes connections, reports them, and answers nothing.
func silentHost(t *testing.T) (address string, came <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan struct{}, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			heard <- struct{}{}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String(), heard
}

// processList lists what every account of the machine sees of what runs.
func processList(t *testing.T) string {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range lines {
		text, err := os.ReadFile(path)
		if err == nil { // it has not ended meanwhile
			all.WriteString(strings.ReplaceAll(string(text), "\x00", " ") + "\n")
		}
	}
	return all.String()
}

func TestGitops_SourceSecretIsNowhereInPlain(t *testing.T) {
	t.Parallel()
	key, partOfKey := sshKey(t)
	secrets := map[string]string{
		"token": "planted-token-of-a-source", "token of the gossip": "planted-token-of-gossip", "hook secret": "planted-hook-secret-16",
		"ssh key": partOfKey, "header in a file": "planted-header-in-a-file", "signing key in a file": "cGxhbnRlZC1rZXktaW4tYS1maWxl",
		"authorization": base64.StdEncoding.EncodeToString([]byte("x-access-token:planted-token-of-a-source")),
		"gossip":        base64.StdEncoding.EncodeToString([]byte("x-access-token:planted-token-of-gossip")),
	}
	database := dbtest.New(t)
	p := serve(t, database, "--log-level=debug", "--allow-file-remotes")
	r, f := newRepository(t), newFleet(t, 1, "v0")
	good := definition("checkout", "v1", f)
	r.push("v1", map[string]string{
		"a.yaml": good,
		"b.yaml": strings.Replace(strings.ReplaceAll(good, "checkout", "headers"), "50ms}", "50ms, headers: {A: "+secrets["header in a file"]+"}}", 1),
		"c.yaml": strings.Replace(strings.ReplaceAll(good, "checkout", "signed"), "deploy: {", "deploy: {secret: whsec_"+secrets["signing key in a file"]+", ", 1),
	})
	web, webCame := silentHost(t)
	shell, shellCame := silentHost(t)
	gossip := gossip(t)
	var answers strings.Builder
	ask := func(method, path string, body object) {
		answer := p.call(method, path, body)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode >= 500 {
			t.Errorf("%s %s: %d %v", method, path, answer.StatusCode, err)
		}
		fmt.Fprintf(&answers, "%s %s\n%v\n%s\n", method, path, answer.Header, text)
	}
	for name, body := range map[string]object{
		"main":   {"url": "file://" + r.bare, "hook_secret": secrets["hook secret"]},
		"web":    {"url": "http://" + web + "/x.git", "token": secrets["token"]},
		"shell":  {"url": "ssh://git@" + shell + "/x.git", "ssh_key": key, "known_hosts": "[127.0.0.1] ssh-ed25519 AAAA"},
		"gossip": {"url": gossip + "/x.git", "token": secrets["token of the gossip"]},
	} {
		ask("PUT", "/gitops/sources/"+name, body)
	}
	<-webCame
	<-shellCame
	processes := processList(t)
	p.awaitSource("read", func(s *source) bool { return len(s.Files) == 3 && s.Files[0].State == "synced" })
	p.awaitSaid(`"source":"gossip"`)
	for _, path := range []string{
		"/gitops/sources", "/gitops/sources/main", "/gitops/sources/web", "/gitops/sources/shell", "/gitops/sources/gossip", "/metrics",
		"/deployments",
	} {
		ask("GET", path, nil)
	}
	for _, d := range list[made](p, "/deployments") {
		ask("GET", "/deployments/"+d.ID, nil)
		ask("GET", "/deployments/"+d.ID+"/events", nil)
	}
	ask("POST", "/gitops/sources/main/sync?dry_run=true", object{})
	ask("POST", "/gitops/sources/gossip/sync?dry_run=true", object{})
	places := map[string]string{
		"an answer": answers.String(), "the log": p.log(), "the list of processes": processes, "the rows of the database": dump(t, database),
		"pg_dump": pgDump(t, database),
	}
	for name, secret := range secrets {
		for place, text := range places {
			if shows(text, secret) {
				t.Errorf("the %s is in %s", name, place)
			}
		}
	}
	for place, seen := range map[string]string{
		"the list of processes": web, "an answer": "/health_checks/0/headers", "the log": "could not be synced",
	} {
		if !strings.Contains(places[place], seen) {
			t.Errorf("%s was not really looked at: no %q", place, seen)
		}
	}
}
