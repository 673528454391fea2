package main

import (
	"context"
	"fmt"
)

// promoteCmd lets a deployment go on past a gate.
type promoteCmd struct {
	verbFlags `embed:""`

	Wave int  `help:"The wave whose gate is meant (default: the one that it waits at)." xor:"what"`
	Full bool `help:"Skip all gates and bakes from now on." xor:"what"`
}

// Run always names the gate: asked again because an answer was lost, the next one stays closed.
func (c *promoteCmd) Run(ctx context.Context, s *session) error {
	body := c.said()
	if c.Full {
		body["full"] = true
		return c.ask(ctx, s, "promote", body, "--full")
	}
	if c.Wave == 0 {
		d, err := c.find(ctx, s)
		if err != nil {
			return err
		}
		c.Deployment, c.Wave = d.ID, max(1, d.Progress.Wave)
	}
	body["wave"] = c.Wave
	return c.ask(ctx, s, "promote", body, fmt.Sprintf("--wave=%d", c.Wave))
}
