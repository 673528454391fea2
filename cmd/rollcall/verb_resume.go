package main

import "context"

// resumeCmd lets a paused deployment go on.
type resumeCmd struct {
	verbFlags `embed:""`
}

// Run asks for it.
func (c *resumeCmd) Run(ctx context.Context, s *session) error {
	return c.ask(ctx, s, "resume", c.said())
}
