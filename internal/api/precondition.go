package api

import (
	"regexp"
	"strings"

	"rollcall/internal/problem"
)

// precondition is what a request demands of the present revision before it changes anything (RFC 9110, section 13.1).
type precondition struct {
	ifMatch, ifNoneMatch *string
}

// check is a malformed refusal when a header is neither "*" nor a list of ETags.
func (p precondition) check() error {
	const tag = `(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"`
	list := regexp.MustCompile(`^[ \t]*(?:\*|` + tag + `(?:[ \t]*,[ \t]*` + tag + `)*)[ \t]*$`)
	for _, h := range []struct {
		name  string
		value *string
	}{{"If-Match", p.ifMatch}, {"If-None-Match", p.ifNoneMatch}} {
		if h.value != nil && !list.MatchString(*h.value) {
			return malformed("the header " + h.name + ` must be "*" or a list of ETags, such as "17" in its quotes`)
		}
	}
	return nil
}

// met is a CodeStale error unless the revision is as demanded; 0 means that there is nothing yet.
func (p precondition) met(revision int64) error {
	if p.ifMatch != nil && !matchesStrongly(*p.ifMatch, revision) {
		return &problem.Error{Code: problem.CodeStale, Message: "the present revision is not one that If-Match names"}
	}
	if p.ifNoneMatch != nil && revision != 0 && matches(*p.ifNoneMatch, etag(revision)) {
		return &problem.Error{Code: problem.CodeStale, Message: "the present revision is one that If-None-Match excludes"}
	}
	return nil
}

// matchesStrongly compares with If-Match (RFC 9110, section 13.1.1): a weak tag never matches.
func matchesStrongly(header string, revision int64) bool {
	if revision == 0 {
		return false
	}
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || candidate == etag(revision) {
			return true
		}
	}
	return false
}
