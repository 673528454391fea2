package main

import "context"

// pauseCmd stops a deployment until resume.
type pauseCmd struct {
	verbFlags `embed:""`
}

// Run asks for it.
func (c *pauseCmd) Run(ctx context.Context, s *session) error {
	return c.ask(ctx, s, "pause", c.said())
}
