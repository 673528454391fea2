package main

import "context"

// retryCmd does what a finished deployment left undone, in a new one.
type retryCmd struct {
	verbFlags `embed:""`
}

// Run asks for it.
func (c *retryCmd) Run(ctx context.Context, s *session) error {
	return c.ask(ctx, s, "retry", c.said())
}
