package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/httpkit"
	"rollcall/internal/nullable"
	"rollcall/internal/problem"
)

// ReceivePush processes a push notification of a Git host, which signs the bytes of the body.
func (s *server) ReceivePush(ctx context.Context, in gen.ReceivePushRequestObject) (gen.ReceivePushResponseObject, error) {
	if s.gitOps == nil {
		return nil, errNoGitOps()
	}
	got, ok := ctx.Value(keyReceived).(*received)
	if !ok {
		return nil, errors.New("the raw request is missing")
	}
	taken, why, err := s.gitOps.ReceivePush(httpkit.WithoutBudget(ctx), in.Name, got.header, got.body, got.form)
	if err != nil {
		return nil, err
	}
	return gen.ReceivePush200JSONResponse{Sync: taken, Reason: nullable.Of(why)}, nil
}

// Bounds of push notifications: GitHub sends up to 25 MB, and anybody may send something to the same path.
const (
	maxHookBody   = 26 << 20
	largeHook     = 1 << 20
	maxLargeHooks = 4
	hookWait      = 10 * time.Second
)

// readHook reads a push notification. GitOps decodes it after it has verified the signature, so the generated code gets an
// empty body to decode.
func (c *contract) readHook(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	mediaType, err := httpkit.MediaType(r.Header)
	form := mediaType == "application/x-www-form-urlencoded"
	switch {
	case err != nil:
		return r, err
	case !form && mediaType != "application/json":
		return r, httpkit.UnsupportedTypeError("Content-Type must be application/json or application/x-www-form-urlencoded")
	}
	if r.ContentLength < 0 || r.ContentLength > largeHook {
		if err := c.enterLargeHook(r.Context()); err != nil {
			return r, err
		}
		context.AfterFunc(r.Context(), func() { <-c.largeHooks }) // it ends with the answer
	}
	body, err := httpkit.ReadBody(w, r, maxHookBody)
	if err != nil {
		return r, err
	}
	seen := &received{header: r.Header.Clone(), body: body, form: form}
	r = r.WithContext(context.WithValue(r.Context(), keyReceived, seen))
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), 2
	r.Header.Set("Content-Type", "application/json")
	return r, nil
}

// enterLargeHook waits for a slot of the large notifications; CodeRateLimited after hookWait.
func (c *contract) enterLargeHook(ctx context.Context) error {
	limit := time.NewTimer(hookWait)
	defer limit.Stop()
	select {
	case c.largeHooks <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller is gone
	case <-limit.C:
		return &problem.Error{Code: problem.CodeRateLimited, Message: "too many large pushes at once", RetryAfter: hookWait}
	}
}
