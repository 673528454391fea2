package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"rollcall/internal/client"
)

// keyFlag names a request, so that the command can be repeated when its answer was lost.
type keyFlag struct {
	Key string `help:"Name of this very request: repeated with the same key and the same words it is carried out once. Without it each run is a new one."`
}

// change sends what changes something, under its key. When the answer is lost for good it says with which words to repeat
// the command; repeat is that command, or empty where it is the same one as before.
func (k *keyFlag) change(ctx context.Context, s *session, r client.Request, repeat string) ([]byte, error) {
	r.Key = cmp.Or(k.Key, uuid.NewString())
	answer, err := s.client.Do(ctx, r)
	lost := ""
	if gone, ok := errors.AsType[*client.Unreachable](err); ok && gone.Sent {
		lost = "the request was sent and may have been carried out"
	}
	if errors.Is(err, context.Canceled) {
		lost = "interrupted before the server had answered"
	}
	if lost != "" {
		fmt.Fprintf(s.notes, "rollcall: %s; to find out, repeat %s --key=%s\n", lost, cmp.Or(repeat, "this with"), r.Key)
	}
	return answer, err //nolint:wrapcheck // it says all there is to say
}
