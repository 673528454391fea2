package api

import (
	"strings"

	"rollcall/internal/rollout"
)

// precondition is what a request demands of the present revision before it changes anything (RFC 9110, section 13.1).
type precondition struct {
	ifMatch, ifNoneMatch *string
}

// met is a CodeStale error unless the revision is as demanded; 0 means that there is nothing yet.
func (p precondition) met(revision int64) error {
	if p.ifMatch != nil && !matchesStrongly(*p.ifMatch, revision) {
		return &rollout.Error{Code: rollout.CodeStale, Message: "the present revision is not one that If-Match names"}
	}
	if p.ifNoneMatch != nil && revision != 0 && matches(*p.ifNoneMatch, etag(revision)) {
		return &rollout.Error{Code: rollout.CodeStale, Message: "the present revision is one that If-None-Match excludes"}
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
