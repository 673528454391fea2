package api

import (
	"context"
	"errors"

	"rollcall/internal/api/gen"
)

// TakeHook takes a push notification of a Git host, which signs it over the bytes that it sent.
func (s *server) TakeHook(ctx context.Context, in gen.TakeHookRequestObject) (gen.TakeHookResponseObject, error) {
	if s.gitOps == nil {
		return nil, errNoGitOps()
	}
	got, ok := ctx.Value(keyReceived).(*received)
	if !ok {
		return nil, errors.New("the request was not kept as it came")
	}
	taken, why, err := s.gitOps.Hook(ctx, in.Name, got.header, got.body, got.form)
	if err != nil {
		return nil, err
	}
	return gen.TakeHook200JSONResponse{Sync: taken, Reason: known(why)}, nil
}
