package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"rollcall/internal/client"
)

// keyFlag is the idempotency key of a request, for repeating a command after a lost response.
type keyFlag struct {
	Key string `help:"Idempotency key. Repeating the command with the same key has no further effect; without one, each run is a new request."`
}

// sendOnce sends a request under its idempotency key. If the response is lost, it prints how to repeat the command; repeat
// is that command line, or empty if it is the same as before.
func (k *keyFlag) sendOnce(ctx context.Context, a *app, r client.Request, repeat string) ([]byte, error) {
	r.Key = cmp.Or(k.Key, uuid.NewString())
	response, err := a.client.Do(ctx, r)
	lost := ""
	if unreachable, ok := errors.AsType[*client.UnreachableError](err); ok && unreachable.Sent {
		lost = "the request was sent and may have been carried out"
	}
	if errors.Is(err, context.Canceled) {
		lost = "interrupted before the server responded"
	}
	if lost != "" {
		fmt.Fprintf(a.stderr, "rollcall: %s; to find out, repeat %s --key=%s\n", lost, cmp.Or(repeat, "this with"), r.Key)
	}
	return response, err //nolint:wrapcheck // complete for the user
}
