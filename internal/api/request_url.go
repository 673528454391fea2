package api

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"rollcall/internal/rollout"
)

// address checks a target's base URL and answers with it in the form in which equal addresses are equal strings, or
// with nothing when it is wrong.
func (q *request) address(raw, pointer string) string {
	u := q.url(raw, pointer)
	if u == nil {
		return ""
	}
	if u.RawQuery != "" || u.ForceQuery {
		q.add(pointer, "must not have a query: paths are appended to it")
		return ""
	}
	return rollout.CanonicalAddress(raw)
}

// url checks the URL of something that will be called; nil when it is wrong. Nothing that it says repeats the URL,
// which may hold a password.
func (q *request) url(raw, pointer string) *url.URL {
	u, detail := parseURL(raw)
	if detail != "" {
		q.add(pointer, "%s", detail)
		return nil
	}
	if err := q.checkAddress(raw); err != nil {
		q.add(pointer, "%v", err)
		return nil
	}
	return u
}

func parseURL(raw string) (u *url.URL, detail string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return nil, "is not a URL"
	case !strings.EqualFold(u.Scheme, "http") && !strings.EqualFold(u.Scheme, "https"):
		return nil, "must be an absolute http or https URL"
	case u.Hostname() == "":
		return nil, "must have a host"
	case u.User != nil:
		return nil, "must not have a user or password"
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, "must not have a fragment"
	case !validPort(u):
		return nil, "must have a port from 1 to 65535"
	}
	return u, ""
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}
