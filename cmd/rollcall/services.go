package main

import (
	"context"

	"rollcall/internal/api/types"
)

// servicesCmd lists services and their last deployments.
type servicesCmd struct{}

// Run lists the services, ordered by name.
func (c *servicesCmd) Run(ctx context.Context, a *app) error {
	return printList(ctx, a, "/services", nil, 0, func(list []types.Service) {
		t := newTable("SERVICE", "ENVIRONMENT", "LAST VERSION", "STATE", "DEPLOYED", "DEPLOYMENT")
		for _, service := range list {
			last := service.LastDeployment
			if last == nil {
				t.addRow(service.Service, service.Environment, "-", "-", "-", "-")
				continue
			}
			t.addRow(service.Service, service.Environment, orDash(last.Version), last.State, formatTime(last.CreatedAt), last.ID)
		}
		t.writeTo(a.out)
	})
}
