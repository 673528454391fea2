package main

import (
	"context"

	"rollcall/internal/api/gen"
)

// targetsCmd lists what became of each target of a deployment.
type targetsCmd struct {
	ref   `embed:""`
	State string `help:"Only those in this state, such as failed."`
}

// Run lists the targets in the order of the request.
func (c *targetsCmd) Run(ctx context.Context, s *session) error {
	id, err := c.id(ctx, s)
	if err != nil {
		return err
	}
	return listed(ctx, s, "/deployments/"+id+"/targets", nil, 0, func(targets []gen.Target) {
		t := newTable("TARGET", "STATE", "WAVE", "VERSION", "BEFORE", "HEALTH", "CALLS", "ERROR")
		for _, target := range targets {
			if c.State == "" || c.State == string(target.State) {
				t.row(target.ID, target.State, target.Wave, orDash(target.Version), orDash(target.PreviousVersion),
					target.Health, target.Attempts, orDash(target.Error))
			}
		}
		t.write(s.out)
	})
}
