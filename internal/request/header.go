package request

import (
	"errors"
	"slices"
	"strings"
)

var (
	errHeaderName      = errors.New("is not the name of a header")
	errHeaderForbidden = errors.New("cannot be set: it belongs to the connection, or Rollcall sets it itself")
	errHeaderValue     = errors.New("must not have line breaks or other control characters")
	errHeaderTwice     = errors.New("is already set: names of headers are compared without regard to case")
)

// checkHeaderName returns what is wrong with the name of a header.
func checkHeaderName(name string) error {
	lower := strings.ToLower(name)
	switch {
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isTokenChar(r) }):
		return errHeaderName
	case slices.Contains(forbiddenHeaders(), lower), strings.HasPrefix(lower, "rollcall-"), strings.HasPrefix(lower, "webhook-"):
		return errHeaderForbidden
	default:
		return nil
	}
}

// forbiddenHeaders are those of one connection (RFC 9110, section 7.6.1), and those that say where a call goes or ends.
func forbiddenHeaders() []string {
	return []string{
		"connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization",
		"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	}
}

func isTokenChar(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// validHeaderValue reports whether a text can be the value of a header (RFC 9110, section 5.5).
func validHeaderValue(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
