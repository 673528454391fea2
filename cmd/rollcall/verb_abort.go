package main

import "context"

// abortCmd stops a deployment for good.
type abortCmd struct {
	verbFlags `embed:""`
}

// Run asks for it.
func (c *abortCmd) Run(ctx context.Context, s *session) error {
	return c.ask(ctx, s, "abort", c.said())
}
