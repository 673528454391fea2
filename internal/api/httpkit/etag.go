package httpkit

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"rollcall/internal/problem"
)

// entityTag is an entity tag as it appears in a list (RFC 9110, section 8.8.3); W/ makes it a weak one.
const entityTag = `(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"`

var (
	oneTag  = regexp.MustCompile(entityTag)
	tagList = regexp.MustCompile(`^[ \t]*(?:\*|` + entityTag + `(?:[ \t]*,[ \t]*` + entityTag + `)*)[ \t]*$`)
)

// ETag returns the strong validator (RFC 9110, section 8.8.3) of a revision.
func ETag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// Precondition is what a request demands of the current revision before it changes anything (RFC 9110, section 13.1).
type Precondition struct {
	ifMatch, ifNoneMatch *string
}

// NewPrecondition returns a malformed Refusal when a header is neither "*" nor a list of ETags.
func NewPrecondition(ifMatch, ifNoneMatch *string) (Precondition, error) {
	for name, value := range map[string]*string{"If-Match": ifMatch, "If-None-Match": ifNoneMatch} {
		if value != nil && !tagList.MatchString(*value) {
			return Precondition{}, MalformedError("the header " + name + ` must be "*" or a list of ETags, such as "17" in its quotes`)
		}
	}
	return Precondition{ifMatch: ifMatch, ifNoneMatch: ifNoneMatch}, nil
}

// CheckRevision returns a CodeStale error unless the revision is as demanded; 0 means that there is nothing yet.
func (p Precondition) CheckRevision(revision int64) error {
	if p.ifMatch != nil && (revision == 0 || !matchesStrongly(*p.ifMatch, ETag(revision))) {
		return &problem.Error{
			Code: problem.CodeStale, Message: fmt.Sprintf("the current revision is %d, which If-Match does not name", revision),
		}
	}
	if p.ifNoneMatch != nil && revision != 0 && MatchesETag(*p.ifNoneMatch, ETag(revision)) {
		return &problem.Error{
			Code: problem.CodeStale, Message: fmt.Sprintf("the current revision is %d, which If-None-Match excludes", revision),
		}
	}
	return nil
}

// matchesStrongly compares with If-Match (RFC 9110, section 13.1.1): a weak tag never matches.
func matchesStrongly(header, tag string) bool {
	return strings.Trim(header, " \t") == "*" || slices.Contains(oneTag.FindAllString(header, -1), tag)
}

// MatchesETag compares with If-None-Match (RFC 9110, section 13.1.2): any of a list, weakly, or "*".
func MatchesETag(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
			return true
		}
	}
	return false
}
