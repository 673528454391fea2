package gitops

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/gitsource"
)

// FuzzNotification: whatever is sent, only what is signed with the secret counts as signed, and a push to another branch
// leads to nothing.
func FuzzNotification(f *testing.F) {
	for _, seed := range []string{`{"ref":"refs/heads/main"}`, `{"ref":7}`, `{`, ``, "\xff", `{"ref":"refs/heads/x","ref":"refs/heads/main"}`} {
		f.Add([]byte(seed), "sha256=00", "push")
	}
	f.Fuzz(func(t *testing.T, body []byte, signature, event string) {
		for _, s := range proofSchemes() {
			n := Notification{header: http.Header{http.CanonicalHeaderKey(s.header): {signature}}, body: body, content: formPayload(body)}
			_, password, _ := (&http.Request{Header: n.header}).BasicAuth()
			if n.IsSigned(hookSecret, time.Now()) && signature != hookSecret && password != hookSecret &&
				!strings.HasSuffix(strings.ToLower(signature), mac(hookSecret, string(body))) &&
				!strings.HasSuffix(strings.ToLower(signature), mac(hookSecret, string(n.content))) {
				t.Fatalf("%q in %s signs %q", signature, s.header, body)
			}
			if why := SignatureError(n.header).Error(); strings.Contains(why, hookSecret) {
				t.Fatalf("the refusal repeats the secret: %s", why)
			}
		}
		n := Notification{header: http.Header{"X-Github-Event": {event}}, content: body}
		e, err := n.ParseEvent()
		if err != nil {
			return
		}
		if why := e.IrrelevantReason("main"); why == "" && len(e.refs) > 0 && !slices.Contains(e.refs, "refs/heads/main") {
			t.Fatalf("a push to %q leads to a sync", e.refs)
		}
	})
}

// FuzzRemote: a url, whoever stored it, becomes a call of one of the four kinds, or none; nothing of it becomes an option.
func FuzzRemote(f *testing.F) {
	for _, seed := range []string{
		"https://h/x", "ssh://git@h:22/x", "file:///x", "ext::sh -c x", "https://[::1%25eth0]/x", "https://h:0x1/x", "--upload-pack=x", "ssh://-oProxyCommand=x/y", "HTTPS://h",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		to, err := prepareRemote(context.Background(), &gitsource.Source{URL: address, KnownHosts: "h ssh-ed25519 AAAA"}, anywhere{}, t.TempDir())
		if err != nil {
			return
		}
		scheme, _, found := strings.Cut(address, "://")
		if !found || to.url != address || to.env[0] != "GIT_ALLOW_PROTOCOL="+scheme || strings.HasPrefix(address, "-") {
			t.Fatalf("%q became %+v", address, to)
		}
		for _, env := range to.env {
			if strings.HasPrefix(env, "GIT_SSH_COMMAND=") && strings.Contains(env, address) {
				t.Fatalf("%q is part of a command: %s", address, env)
			}
		}
	})
}

// FuzzRedirect: wherever a remote sends a caller to, what is shown of that has no user, password, query or fragment.
func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{
		"https://git.example.com/new/x.git/info/refs?service=git-upload-pack", "/login", "//h", "https://u:p@h/x?t=1#f", "%zz", "", "mailto:a@b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, location string) {
		shown := redirectTarget("https://git.example.com/x.git", location)
		u, err := url.Parse(strings.TrimSuffix(shown, "…"))
		if len([]rune(shown)) > MaxErrorText || err == nil && (u.User != nil || u.RawQuery != "" || u.Fragment != "") {
			t.Fatalf("%q is shown as %q", location, shown)
		}
	})
}

// FuzzTree: names of a repository, as git lists them, never become a path outside it, nor text that is not text.
func FuzzTree(f *testing.F) {
	for _, seed := range []string{"100644 blob aa 12\ta.yaml", "120000 blob aa 1\tx.yml", "160000 commit aa -\tx.yaml", "\t", "100644 blob aa 99999999999999999999\ta.yaml", "100644 blob aa 1\t\xff.yaml", "100644 blob aa 1\ta/../b.yaml"} {
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, line, below string) {
		e, size, ok := readEntry(line, below)
		if !ok {
			return
		}
		if size < 0 && e.Refused == "" || e.Refused == "" && !isPlainPath(e.Path) || len(e.Path) > maxPathBytes+100 {
			t.Fatalf("%q became %+v of %d bytes", line, e, size)
		}
	})
}
