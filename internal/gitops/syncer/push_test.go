package syncer

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/duration"
	"rollcall/internal/gitsource"
	"rollcall/internal/keyring"
	"rollcall/internal/problem"
	"rollcall/internal/secret"
	"rollcall/internal/store"
)

const hookSecret = "sixteen characters"

func hexMAC(secret, body string) string {
	return hex.EncodeToString(macOf([]byte(secret), []byte(body)))
}

func macOf(key []byte, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	for _, part := range parts {
		m.Write(part)
	}
	return m.Sum(nil)
}

// newHookSyncer returns a syncer whose source has a hook_secret, on a database of its own, and its context.
func newHookSyncer(t *testing.T) (*Syncer, context.Context) {
	t.Helper()
	box, err := keyring.New(keyring.NewKey(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), dbtest.New(t), store.SealedBy(box))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for name, secret := range map[string]secret.Secret{"main": hookSecret, "standard": signingToken, "deaf": ""} {
		_, err = s.UpdateSource(t.Context(), name, func(*gitsource.Source) (*gitsource.Source, error) {
			return &gitsource.Source{URL: "https://git.example.com/x", Branch: "main", Interval: duration.Duration(time.Hour), Secrets: gitsource.Secrets{HookSecret: secret}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return New(Config{Store: s}), t.Context()
}

func header(fields ...string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(fields); i += 2 {
		h.Set(fields[i], fields[i+1])
	}
	return h
}

func TestHook_SignedPushStartsSync(t *testing.T) {
	t.Parallel()
	l, ctx := newHookSyncer(t)
	push := func(host string) string { return `{"ref": "refs/heads/main", "host": "` + host + `"}` }
	for name, c := range map[string]struct {
		source string
		header http.Header
		body   string
		sync   bool
		code   problem.Code
	}{
		"GitHub":  {"main", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+hexMAC(hookSecret, push("github"))), push("github"), true, ""},
		"Gitea":   {"main", header("X-Gitea-Event", "push", "X-Gitea-Signature", hexMAC(hookSecret, push("gitea"))), push("gitea"), true, ""},
		"Forgejo": {"main", header("X-Forgejo-Event", "push", "X-Forgejo-Signature", hexMAC(hookSecret, push("forgejo"))), push("forgejo"), true, ""},
		"GitLab":  {"main", header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", hookSecret), push("gitlab"), true, ""},

		"a ping":          {"main", header("X-GitHub-Event", "ping", "X-Hub-Signature-256", "sha256="+hexMAC(hookSecret, "{}")), "{}", false, ""},
		"another branch":  {"main", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+hexMAC(hookSecret, `{"ref":"refs/heads/x"}`)), `{"ref":"refs/heads/x"}`, false, ""},
		"another secret":  {"main", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+hexMAC("other", "{}")), "{}", false, problem.CodeBadSignature},
		"another body":    {"main", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+hexMAC(hookSecret, "{}")), "{ }", false, problem.CodeBadSignature},
		"no signature":    {"main", header("X-GitHub-Event", "push"), "{}", false, problem.CodeBadSignature},
		"an empty one":    {"main", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="), "{}", false, problem.CodeBadSignature},
		"no hexadecimals": {"main", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256=zz"), "{}", false, problem.CodeBadSignature},
		"a wrong token":   {"main", header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", "wrong"), "{}", false, problem.CodeBadSignature},
		"no hook_secret":  {"deaf", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+hexMAC("", "{}")), "{}", false, problem.CodeBadSignature},
		"no source":       {"none", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+hexMAC("", "{}")), "{}", false, problem.CodeBadSignature},
	} {
		sync, why, err := l.ReceivePush(ctx, c.source, c.header, []byte(c.body), false)
		if sync != c.sync || problem.CodeOf(err) != c.code || err == nil && sync == (why != "") {
			t.Errorf("%s: sync %v (%s), error %v", name, sync, why, err)
		}
	}
}

// countingStore is a store that counts how often all files of a source are read.
type countingStore struct {
	Store
	times atomic.Int32
}

func (f *countingStore) Source(ctx context.Context, name string) (gitsource.Report, error) {
	f.times.Add(1)
	return f.Store.Source(ctx, name)
}

// A source may have thousands of files, and anyone may send notifications.
func TestHook_ReadsOnlyTheSourceRow(t *testing.T) {
	t.Parallel()
	l, ctx := newHookSyncer(t)
	files := &countingStore{Store: l.Store}
	l.Store = files
	for _, secret := range []string{"other", hookSecret} {
		h := header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+hexMAC(secret, "{}"))
		if _, _, err := l.ReceivePush(ctx, "main", h, []byte("{}"), false); (err == nil) != (secret == hookSecret) {
			t.Errorf("signed with %q: %v", secret, err)
		}
	}
	if n := files.times.Load(); n > 0 {
		t.Errorf("all files were read %d times", n)
	}
}
