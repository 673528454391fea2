package main

import (
	"context"
	"net/url"
	"time"

	"rollcall/internal/api/types"
)

// historyCmd lists deployments, newest first.
type historyCmd struct {
	Service     string `arg:"" optional:"" help:"Only this service."`
	Environment string `short:"e" help:"Only this environment."`
	State       string `help:"Only deployments in this state, such as failed."`
	ToVersion   string `name:"to" help:"Only deployments of this version."`
	Limit       int    `short:"n" help:"Maximum number to list; 0 lists all." default:"20"`
}

// Run lists the deployments.
func (c *historyCmd) Run(ctx context.Context, a *app) error {
	query := url.Values{}
	for name, value := range map[string]string{
		"service": c.Service, "environment": c.Environment, "state": c.State, "version": c.ToVersion,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return printList(ctx, a, "/deployments", query, c.Limit, func(list []types.Deployment) {
		t := newTable("DEPLOYMENT", "CREATED", "SERVICE", "ENVIRONMENT", "VERSION", "STRATEGY", "STATE", "TOOK", "BY")
		for i := range list {
			d := &list[i]
			t.addRow(d.ID, formatTime(d.CreatedAt), d.Service, d.Environment, orDash(d.Version), d.Strategy.Type, d.State,
				elapsedTime(d, time.Now()), orDash(&d.RequestedBy))
		}
		t.writeTo(a.out)
	})
}
