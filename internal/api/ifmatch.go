package api

import (
	"fmt"
	"regexp"
	"slices"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// entityTag is an entity tag as it stands in a list (RFC 9110, section 8.8.3); W/ makes it a weak one.
const entityTag = `(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"`

// revisionDemand is what If-Match demands of a deployment's revision (RFC 9110, section 13.1.1).
type revisionDemand struct {
	// tags are the ETags of which the present one must be one; nil demands nothing.
	tags []string
}

// readIfMatch reads the header; nil, and "*", demand nothing of a deployment that is there. One that is not a list of
// ETags is malformed.
func readIfMatch(header *string) (revisionDemand, error) {
	if header == nil || *header == "*" {
		return revisionDemand{}, nil
	}
	whole := regexp.MustCompile(`^[ \t]*` + entityTag + `(?:[ \t]*,[ \t]*` + entityTag + `)*[ \t]*$`)
	if !whole.MatchString(*header) {
		return revisionDemand{}, malformed(`the header If-Match must be "*" or a list of ETags, such as "17" in its quotes`)
	}
	return revisionDemand{tags: regexp.MustCompile(entityTag).FindAllString(*header, -1)}, nil
}

// met is a CodeStale error unless the deployment is at a revision that was demanded. A weak tag never matches.
func (r revisionDemand) met(d *rollout.Deployment) error {
	if r.tags == nil || slices.Contains(r.tags, etag(d.Revision)) {
		return nil
	}
	return &problem.Error{
		Code: problem.CodeStale, ID: d.ID,
		Message: fmt.Sprintf("deployment %s is at revision %d, which If-Match does not name", d.ID, d.Revision),
	}
}
