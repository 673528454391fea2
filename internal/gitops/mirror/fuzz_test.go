package mirror

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"rollcall/internal/gitops"
	"rollcall/internal/gitops/gittest"
	"rollcall/internal/gitsource"
)

// FuzzRemote: a stored url becomes a call of one of the four kinds, or none; nothing of it becomes an option.
func FuzzRemote(f *testing.F) {
	for _, seed := range []string{
		"https://h/x", "ssh://git@h:22/x", "file:///x", "ext::sh -c x", "https://[::1%25eth0]/x", "https://h:0x1/x", "--upload-pack=x", "ssh://-oProxyCommand=x/y", "HTTPS://h",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		to, err := prepareRemote(context.Background(), &gitsource.Source{URL: address, KnownHosts: "h ssh-ed25519 AAAA"}, gittest.Anywhere{}, t.TempDir())
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
		if len([]rune(shown)) > gitops.MaxErrorText || err == nil && (u.User != nil || u.RawQuery != "" || u.Fragment != "") {
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
