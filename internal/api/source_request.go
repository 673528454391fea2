package api

import (
	"encoding/json"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
	"unicode"

	"rollcall/internal/api/types"
	"rollcall/internal/gitsource"
	"rollcall/internal/secret"
)

// Defaults and bounds of a source.
const (
	defaultBranch      = "main"
	defaultGitUsername = "x-access-token"
	minHookSecret      = 16
)

// Remotes are the kinds of Git remotes that the operator allows.
type Remotes struct {
	// AllowFile allows file:// remotes, AllowHTTP plain http to this machine.
	AllowFile, AllowHTTP bool
}

// sourceRequest reads the body of PUT /gitops/sources/{name}, whose schema has been checked.
type sourceRequest struct {
	findings
	body         *types.GitSourceRequest
	remotes      Remotes
	checkAddress func(address string) error
}

// readFields returns the source without its secrets.
func (q *sourceRequest) readFields() gitsource.Source {
	b := q.body
	s := gitsource.Source{
		URL: q.readURL(b.URL), Branch: strings.TrimPrefix(valueOr(b.Branch, defaultBranch), "refs/heads/"), Path: valueOr(b.Path, ""),
		Interval: q.parseDuration(b.Interval, "/interval", bounds{time.Minute, time.Second, 24 * time.Hour}),
		Heal:     valueOr(b.Heal, false), AllowEmpty: valueOr(b.AllowEmpty, false), Username: valueOr(b.Username, defaultGitUsername),
		KnownHosts: valueOr(b.KnownHosts, ""), AllowedSigners: valueOr(b.AllowedSigners, ""),
	}
	switch {
	case strings.HasPrefix(s.Branch, "refs/"):
		q.add("/branch", "must be a branch name: tags and other refs are not supported")
	case !validBranch(s.Branch):
		q.add("/branch", "must be a valid branch name")
	}
	if !validFolder(s.Path) {
		q.add("/path", `must be a path within the repository, such as "deploy/production", without ".." and without "/" at either end`)
	}
	if strings.HasPrefix(s.URL, "ssh:") && strings.TrimSpace(s.KnownHosts) == "" {
		q.add("/known_hosts", "is required with ssh; get it with ssh-keyscan")
	}
	for pointer, text := range map[string]string{"/known_hosts": s.KnownHosts, "/allowed_signers": s.AllowedSigners} {
		if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }) {
			q.add(pointer, "must not have control characters")
		}
	}
	return s
}

// readURL checks a remote's URL and returns it in the form that git accepts. Its problems never quote the URL.
func (q *sourceRequest) readURL(raw string) string {
	if scp := shortSSH.FindStringSubmatch(raw); scp != nil {
		raw = "ssh://" + scp[1] + "/" + strings.TrimPrefix(scp[2], "/")
	}
	u, detail := q.parseRemote(raw)
	if detail != "" {
		q.add("/url", "%s", detail)
		return ""
	}
	if u.Scheme != "file" {
		if err := q.checkAddress(guardedAddress(u)); err != nil {
			q.add("/url", "%v", err)
		}
	}
	return u.String()
}

var (
	shortSSH  = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*):([^:].*)$`)
	plainHost = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9][A-Za-z0-9-]*)*$`)
	plainUser = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
)

func (q *sourceRequest) parseRemote(raw string) (u *url.URL, detail string) {
	u, err := url.Parse(raw)
	if err != nil || strings.ContainsFunc(raw, isUnprintable) {
		return nil, "must be a URL"
	}
	if strings.ContainsAny(raw, "?#") || u.Opaque != "" {
		return nil, "must not have a query string or fragment"
	}
	if strings.Trim(u.Path, "/") == "" {
		return nil, "must name a repository"
	}
	switch u.Scheme {
	case "https", "http":
		return u, q.checkWebRemote(u)
	case "ssh":
		return u, checkSSHRemote(u)
	case "file":
		return u, q.checkFileRemote(u)
	default:
		return nil, "must begin with https:// or ssh://, or be user@host:path"
	}
}

func (q *sourceRequest) checkWebRemote(u *url.URL) string {
	ip, err := netip.ParseAddr(u.Hostname())
	switch {
	case u.User != nil:
		return "must not have a user or password: username and token are fields of their own"
	case err != nil && !plainHost.MatchString(u.Hostname()) || !validPort(u):
		return "must have a host, and a port from 1 to 65535 if any"
	case u.Scheme == "http" && (!q.remotes.AllowHTTP || u.Hostname() != "localhost" && !ip.IsLoopback()):
		return "must be https: plain http is only for this machine, with --dev"
	}
	return ""
}

func checkSSHRemote(u *url.URL) string {
	_, password := u.User.Password()
	_, err := netip.ParseAddr(u.Hostname())
	switch {
	case password || u.User != nil && !plainUser.MatchString(u.User.Username()):
		return "must have a plain user name and no password"
	case err != nil && !plainHost.MatchString(u.Hostname()) || !validPort(u):
		return "must have a host, and a port from 1 to 65535 if any"
	}
	return ""
}

func (q *sourceRequest) checkFileRemote(u *url.URL) string {
	switch {
	case !q.remotes.AllowFile:
		return "must not be a file: the operator can allow that with --allow-file-remotes"
	case u.Host != "" || u.User != nil || path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/"):
		return "must be file:// and an absolute path"
	}
	return ""
}

func isUnprintable(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }

// validBranch follows git check-ref-format for refs/heads/ and the name.
func validBranch(name string) bool {
	if strings.ContainsFunc(name, isUnprintable) || strings.ContainsAny(name, "~^:?*[\\") || name == "@" || strings.HasPrefix(name, "-") {
		return false
	}
	for _, never := range []string{"..", "@{", "./"} {
		if strings.Contains(name+"/", never) {
			return false
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}

func validFolder(name string) bool {
	if name == "" {
		return true
	}
	return path.Clean(name) == name && !path.IsAbs(name) && name != "." && name != ".." && !strings.HasPrefix(name, "../") &&
		!strings.HasPrefix(name, "-") && !strings.ContainsFunc(name, unicode.IsControl)
}

// readSecret returns one of a source's secrets after a request that may leave it out (kept), or give null (removed).
func (q *sourceRequest) readSecret(given json.RawMessage, pointer string, present secret.Secret) secret.Secret {
	if len(given) == 0 {
		return present
	}
	var text *string
	if err := json.Unmarshal(given, &text); err != nil {
		q.add(pointer, "must be a string")
	}
	switch {
	case text == nil:
		return ""
	case *text == "" || strings.ContainsFunc(*text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' }):
		q.add(pointer, "must be text without control characters")
	case pointer == "/hook_secret" && len(*text) < minHookSecret:
		q.add(pointer, "must have at least %d characters", minHookSecret)
	}
	return secret.Secret(*text)
}

// guardedAddress returns the address that is checked against the allowed ones. SSH's default port is left out.
func guardedAddress(u *url.URL) string {
	if u.Port() == "" || u.Scheme == "ssh" && u.Port() == "22" {
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}
