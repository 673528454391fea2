package main

import (
	"context"

	"rollcall/internal/api/types"
)

// targetsCmd lists the targets of a deployment.
type targetsCmd struct {
	ref   `embed:""`
	State string `help:"Only targets in this state, such as failed."`
}

// Run lists the targets, in the order of the request.
func (c *targetsCmd) Run(ctx context.Context, a *app) error {
	id, err := c.resolveID(ctx, a)
	if err != nil {
		return err
	}
	return printList(ctx, a, "/deployments/"+id+"/targets", nil, 0, func(targets []types.Target) {
		t := newTable("TARGET", "STATE", "WAVE", "VERSION", "BEFORE", "HEALTH", "CALLS", "ERROR")
		for _, target := range targets {
			if c.State == "" || c.State == string(target.State) {
				t.addRow(target.ID, target.State, target.Wave, orDash(target.Version), orDash(target.PreviousVersion),
					target.Health, target.Attempts, orDash(target.Error))
			}
		}
		t.writeTo(a.out)
	})
}
