package localpg

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// letsIn reports whether the database takes who asks at the URL.
func letsIn(t *testing.T, address string) bool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		if !strings.Contains(err.Error(), "password authentication failed") && !strings.Contains(err.Error(), "no password") {
			t.Errorf("refused for another reason: %v", err)
		}
		return false
	}
	must(t, conn.Close(context.Background()))
	return true
}

// as is a URL with another name and password.
func as(t *testing.T, address string, who *url.Userinfo) string {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	u.User = who
	return u.String()
}

func wantProtected(t *testing.T, s *Server) {
	t.Helper()
	if !letsIn(t, s.URL()) {
		t.Error("the owner is not let in")
	}
	for name, who := range map[string]*url.Userinfo{
		"no password": url.User(role), "a wrong one": url.UserPassword(role, "wrong"),
		"the server's":            url.UserPassword(role, s.ServerPassword()),
		"a role that is not made": url.UserPassword(ServerRole, s.ServerPassword()),
	} {
		if letsIn(t, as(t, s.URL(), who)) {
			t.Errorf("with %s a client is let in as %s", name, who.Username())
		}
	}
}

func TestPasswords_AreRequired(t *testing.T) {
	t.Parallel()
	s := start(t, folder(t))
	wantProtected(t, s)
	for _, file := range []string{passwordFile, accessFile} {
		st, err := os.Stat(filepath.Join(s.dataDir.dataPath(), file))
		must(t, err)
		if st.Mode().Perm() != 0o600 || ownerUID(st) != s.who.uid {
			t.Errorf("%s is %v and belongs to uid %d", file, st.Mode(), ownerUID(st))
		}
	}
	log, err := os.ReadFile(s.dataDir.logPath())
	must(t, err)
	for name, password := range s.passwords {
		if len(password) < 20 || strings.Contains(string(log), password) {
			t.Errorf("the password of %s is %q, or in the log", name, password)
		}
	}
}

// As a version before passwords left it, and as a start that died after it had set one.
func TestPasswords_AreSetOnOldData(t *testing.T) {
	t.Parallel()
	for _, left := range []string{"", "*:*:*:rollcall:x\n"} {
		dir := seeded(t)
		s := start(t, dir)
		write(t, s.URL())
		must(t, s.Stop())
		must(t, os.Remove(filepath.Join(s.dataDir.dataPath(), accessFile)))
		must(t, os.Remove(filepath.Join(s.dataDir.dataPath(), passwordFile)))
		if left != "" {
			must(t, os.WriteFile(filepath.Join(s.dataDir.dataPath(), passwordFile), []byte(left), 0o600))
		}
		must(t, os.WriteFile(filepath.Join(s.dataDir.dataPath(), "pg_hba.conf"), []byte("local all all trust\n"), 0o600))
		again := start(t, dir)
		wantKept(t, again.URL())
		wantProtected(t, again)
		if again.URL() == s.URL() {
			t.Error("the password is the one from before")
		}
	}
}

// The account that runs PostgreSQL owns the folder, and may be less than the one that starts it.
func TestPasswords_LinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	dir := seeded(t)
	s := start(t, dir)
	must(t, s.Stop())
	bystander := filepath.Join(filepath.Dir(dir), "bystander")
	must(t, os.WriteFile(bystander, []byte("mine"), 0o600))
	path := filepath.Join(s.dataDir.dataPath(), accessFile)
	must(t, os.Remove(path))
	must(t, os.Symlink(bystander, path))
	start(t, dir)
	if text, err := os.ReadFile(bystander); err != nil || string(text) != "mine" {
		t.Errorf("it was written through the link: %q, %v", text, err)
	}
}
