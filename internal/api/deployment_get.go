package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/rollout"
)

const (
	// maxWait bounds a long poll.
	maxWait = time.Minute
	// pollEvery is how often a long poll reads the deployment even when nobody says that it has changed.
	pollEvery = 500 * time.Millisecond
)

// GetDeployment reads a deployment, at once or as soon as it is newer than what the caller knows.
func (s *server) GetDeployment(
	ctx context.Context, in gen.GetDeploymentRequestObject,
) (gen.GetDeploymentResponseObject, error) {
	var f findings
	wait := f.duration(in.Params.Wait, "/wait", bounds{0, 0, maxWait})
	if err := f.err(); err != nil {
		return nil, err
	}
	d, err := s.newer(ctx, in.ID, or(in.Params.After, 0), wait.Std())
	if err != nil {
		return nil, err
	}
	tag := etag(d.Revision)
	if in.Params.IfNoneMatch != nil && matches(*in.Params.IfNoneMatch, tag) {
		return gen.GetDeployment304Response{Headers: gen.GetDeployment304ResponseHeaders{ETag: tag}}, nil
	}
	body, err := s.shown(ctx, &d)
	if err != nil {
		return nil, err
	}
	return gen.GetDeployment200JSONResponse{Body: body, Headers: gen.GetDeployment200ResponseHeaders{ETag: tag}}, nil
}

// newer reads the deployment until its revision is not the one after which it is wanted, the wait is over, or the caller has
// gone. A lower revision is news, too: the database has lost the one that the caller saw.
func (s *server) newer(ctx context.Context, id string, after int64, wait time.Duration) (rollout.Deployment, error) {
	if wait <= 0 {
		return s.store.Deployment(ctx, id)
	}
	changed, stop := s.store.Changed(id) // before the first read, so that no change falls in between
	defer stop()
	over := time.NewTimer(wait)
	defer over.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		d, err := s.store.Deployment(ctx, id)
		if err != nil || d.Revision != after {
			return d, err
		}
		select {
		case _, open := <-changed:
			if !open {
				changed = nil // the store hints no more; the poll goes on
			}
		case <-poll.C:
		case <-over.C:
			return d, nil
		case <-ctx.Done():
			return d, nil
		}
	}
}

// etag is the strong validator (RFC 9110, section 8.8.3) of a revision.
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// matches compares with If-None-Match (RFC 9110, section 13.1.2): any of a list, weakly, or "*".
func matches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
			return true
		}
	}
	return false
}
