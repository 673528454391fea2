package mirror

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/gitops/gittest"
	"rollcall/internal/gitsource"
)

func TestMirror_UnneededIsRemovedUnlessInUse(t *testing.T) {
	t.Parallel()
	m := newMirrors(t)
	for _, id := range []string{"kept", "used", "left"} {
		if err := os.MkdirAll(m.pathOf(id), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	err := m.WithMirror(t.Context(), &gitsource.Source{ID: "used"}, func(*Mirror) error { return m.KeepOnly([]string{"kept"}) })
	if there := folderNames(t, m.Folder); err != nil || !slices.Equal(there, []string{"kept.git", "used.git"}) {
		t.Errorf("%v: while one is used there are %q", err, there)
	}
	err = m.KeepOnly([]string{"kept"})
	if there := folderNames(t, m.Folder); err != nil || !slices.Equal(there, []string{"kept.git"}) {
		t.Errorf("%v: afterwards there are %q", err, there)
	}
}

func folderNames(t *testing.T, folder string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

func TestMirror_FollowsBranchThroughRewrites(t *testing.T) {
	t.Parallel()
	r, m := gittest.New(t), newMirrors(t)
	first := r.Commit("one", map[string]string{"a.yaml": "a: 1"})
	mi, got := fetchMirror(t, m, r.Source())
	if got != first {
		t.Fatalf("fetched %s, not %s", got, first)
	}
	second := r.Commit("two", map[string]string{"a.yaml": "a: 2"})
	if _, got = fetchMirror(t, m, r.Source()); got != second {
		t.Fatalf("fetched %s, not %s", got, second)
	}
	if down, err := mi.DescendsFrom(t.Context(), second, first); err != nil || !down {
		t.Errorf("the second commit does not descend from the first: %v", err)
	}
	other := r.Commit("another two", map[string]string{"a.yaml": "a: 3"}, "--amend")
	if _, got = fetchMirror(t, m, r.Source()); got != other {
		t.Fatalf("fetched %s, not %s", got, other)
	}
	for _, before := range []string{second, strings.Repeat("ab", 20)} {
		if down, err := mi.DescendsFrom(t.Context(), other, before); err != nil || down {
			t.Errorf("the rewritten commit descends from %s: %v", before, err)
		}
	}
	if err := os.WriteFile(filepath.Join(mi.path, "config"), []byte("rubbish ["), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, got = fetchMirror(t, m, r.Source()); got != other {
		t.Errorf("a damaged mirror has %s", got)
	}
}

func TestTree_OnlyYAMLBelowPathIsRead(t *testing.T) {
	t.Parallel()
	r, m := gittest.New(t), newMirrors(t)
	commit := r.Commit("all kinds", map[string]string{
		"deploy/a.yaml": "a: 1", "deploy/b.YML": "b: 1", "deploy/README.md": "no", "deploy/.hidden/x.yaml": "no",
		"deploy/.ci.yml": "no", "elsewhere.yaml": "no", "deployment/x.yaml": "no",
		"deploy/link.yaml": "120000 ../../../etc/passwd", "deploy/large.yaml": strings.Repeat("x", 10<<20),
		"deploy/--upload-pack=touch.yaml": "a: 2", "deploy/new\nline.yaml": "a: 3", "deploy/*.yaml": "a: 4",
	})
	mi, _ := fetchMirror(t, m, r.Source())
	entries, err := mi.ListFiles(t.Context(), commit, "deploy")
	if err != nil {
		t.Fatal(err)
	}
	contents, err := mi.ReadFiles(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		text := string(contents[e.Object])
		if e.Refused != "" {
			text = e.Refused
		}
		got = append(got, e.Path+": "+text)
	}
	want := []string{
		"deploy/*.yaml: a: 4", "deploy/--upload-pack=touch.yaml: a: 2", "deploy/a.yaml: a: 1", "deploy/b.YML: b: 1",
		"deploy/large.yaml: is larger than 1024 KiB", "deploy/link.yaml: is a symbolic link, and links are not followed",
		`"deploy/new\nline.yaml": has a name that is not plain text`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("read\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, below := range []string{"nowhere", "../..", "deploy/link.yaml/x", "-r"} {
		if _, err := mi.ListFiles(t.Context(), commit, below); !errors.Is(err, ErrNoDefinitions) && !strings.Contains(fmt.Sprint(err), "outside") {
			t.Errorf("%s: %v", below, err)
		}
	}
	c, err := mi.LastCommit(t.Context(), commit, "deploy/--upload-pack=touch.yaml")
	if err != nil || c.SHA != commit || c.Author != "Ann <ann@example.com>" || c.Message != "all kinds" || c.Time.IsZero() || c.Time.Location() != time.UTC {
		t.Errorf("the commit of a file is %+v: %v", c, err)
	}
}

func TestTree_PathMayBeFileOrRoot(t *testing.T) {
	t.Parallel()
	r, m := gittest.New(t), newMirrors(t)
	commit := r.Commit("two", map[string]string{"a.yaml": "a: 1", "b/c.yaml": "c: 1"})
	mi, _ := fetchMirror(t, m, r.Source())
	for below, n := range map[string]int{"": 2, "b/c.yaml": 1, "b": 1} {
		if entries, err := mi.ListFiles(t.Context(), commit, below); err != nil || len(entries) != n {
			t.Errorf("%q has %d files (%v), want %d", below, len(entries), err, n)
		}
	}
}

func TestRemote_DisguisedCommandIsNotRun(t *testing.T) {
	t.Parallel()
	m := newMirrors(t)
	trap := filepath.Join(t.TempDir(), "trap")
	for _, url := range []string{
		"ext::sh -c touch% " + trap, "--upload-pack=touch " + trap, "-u" + trap, "fd::17", "file::ext::touch " + trap,
	} {
		err := fetchError(t, m, &gitsource.Source{ID: "id", URL: url, Branch: "main"})
		if _, statErr := os.Stat(trap); statErr == nil {
			t.Fatalf("%s was run: %v", url, err)
		}
	}
	r := gittest.New(t)
	r.Commit("one", map[string]string{"a.yaml": "a: 1"})
	s := r.Source()
	s.Branch = "--upload-pack=touch " + trap
	_ = fetchError(t, m, s) // any error will do, as long as the trap is not sprung
	if _, err := os.Stat(trap); err == nil {
		t.Fatal("a branch was run")
	}
}

func TestFetch_TimeAndSizeAreBounded(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	m := newMirrors(t)
	m.FetchTime = 500 * time.Millisecond
	began := time.Now()
	err = fetchError(t, m, &gitsource.Source{ID: "slow", URL: "http://" + silent.Addr().String() + "/x.git", Branch: "main"})
	if !strings.Contains(err.Error(), "longer than 500ms") || time.Since(began) > 10*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}

	r := gittest.New(t)
	noise := make([]byte, 4<<20)
	for i := range noise {
		noise[i] = byte(i*i>>7 ^ i*2654435761>>13)
	}
	r.Commit("large", map[string]string{"noise": string(noise)})
	m = newMirrors(t)
	m.FetchBytes = 200 << 10
	if err := fetchError(t, m, r.Source()); !errors.Is(err, errTooLarge) {
		t.Errorf("a large repository: %v", err)
	}
	if size := sizeOf(m.Folder); size > m.FetchBytes {
		t.Errorf("%d bytes are left of it", size)
	}
}

func TestGit_TokenGoesToItsHostOnly(t *testing.T) {
	t.Parallel()
	const token = "geheim-4711"
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	seen := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		processes, _ := exec.CommandContext(t.Context(), "sh", "-c", "cat /proc/[0-9]*/cmdline").Output()
		select {
		case seen <- fmt.Sprintf("%v %v", given == token, strings.Contains(string(processes), token)):
		default:
		}
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
	}))
	t.Cleanup(server.Close)
	s := &gitsource.Source{
		ID: "id", URL: server.URL + "/x.git", Branch: "main", Username: "ann", Secrets: gitsource.Secrets{Token: token},
	}
	err := fetchError(t, newMirrors(t), s)
	if got := <-seen; got != "true false" {
		t.Errorf("token given, and seen among the processes: %s", got)
	}
	if asked.Load() != 0 {
		t.Error("a redirect was followed")
	}
	if strings.Contains(err.Error(), token) {
		t.Errorf("the error shows the token: %v", err)
	}
}

func TestGit_WrongTokenDoesNotPrompt(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(server.Close)
	s := &gitsource.Source{ID: "id", URL: server.URL + "/x.git", Branch: "main", Username: "ann", Secrets: gitsource.Secrets{Token: "a-wrong-one"}}
	if err := fetchError(t, newMirrors(t), s); !strings.Contains(err.Error(), "Authentication failed") && !strings.Contains(err.Error(), "could not read") {
		t.Errorf("a wrong token: %v", err)
	}
}

func TestCommit_SignerMustBeAllowed(t *testing.T) {
	t.Parallel()
	keys := t.TempDir()
	for _, name := range []string{"ann", "bob"} {
		out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", filepath.Join(keys, name)).CombinedOutput()
		if err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	public, err := os.ReadFile(filepath.Join(keys, "ann.pub"))
	if err != nil {
		t.Fatal(err)
	}
	signers := "ann@example.com namespaces=\"git\" " + string(public)
	r, m := gittest.New(t), newMirrors(t)
	r.Run(nil, "config", "gpg.format", "ssh")
	signedBy := func(who string) string {
		r.Run(nil, "config", "user.signingKey", filepath.Join(keys, who))
		return r.Commit("signed by "+who, map[string]string{"a.yaml": "a: 1"}, "--gpg-sign")
	}
	ann := signedBy("ann")
	bob := signedBy("bob")
	unsigned := r.Commit("unsigned", map[string]string{"a.yaml": "a: 2"})
	mi, _ := fetchMirror(t, m, r.Source())
	if err := mi.VerifySignature(t.Context(), ann, signers); err != nil {
		t.Errorf("what Ann signed: %v", err)
	}
	for name, commit := range map[string]string{"what Bob signed": bob, "what is unsigned": unsigned} {
		if err := mi.VerifySignature(t.Context(), commit, signers); err == nil || !strings.Contains(err.Error(), "allowed signer") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := mi.VerifySignature(t.Context(), ann, "# none"); err == nil {
		t.Error("an empty list of signers allows a signature")
	}
	if err := mi.VerifySignature(t.Context(), unsigned, ""); err != nil {
		t.Errorf("without signers: %v", err)
	}
}

func TestFetch_LocksOfKilledOneDoNotBlock(t *testing.T) {
	t.Parallel()
	for _, lock := range []string{"refs/rollcall/head.lock", "packed-refs.lock", "shallow.lock", "config.lock", "HEAD.lock"} {
		r, m := gittest.New(t), newMirrors(t)
		r.Commit("one", map[string]string{"a.yaml": "a: 1"})
		mi, _ := fetchMirror(t, m, r.Source())
		if err := os.WriteFile(filepath.Join(mi.path, lock), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want := r.Commit("two", map[string]string{"a.yaml": "a: 2"})
		if _, got := fetchMirror(t, m, r.Source()); got != want {
			t.Errorf("with %s the mirror stays at %s", lock, got)
		}
	}
}
