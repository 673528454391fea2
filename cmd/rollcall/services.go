package main

import (
	"context"

	"rollcall/internal/api/gen"
)

// servicesCmd lists services and what was last deployed of them.
type servicesCmd struct{}

// Run lists them in the order of their names.
func (c *servicesCmd) Run(ctx context.Context, s *session) error {
	return listed(ctx, s, "/services", nil, 0, func(list []gen.Service) {
		t := newTable("SERVICE", "ENVIRONMENT", "LAST VERSION", "STATE", "DEPLOYED", "DEPLOYMENT")
		for _, service := range list {
			last := service.LastDeployment
			if last == nil {
				t.row(service.Service, service.Environment, "-", "-", "-", "-")
				continue
			}
			t.row(service.Service, service.Environment, orDash(last.Version), last.State, clock(last.CreatedAt), last.ID)
		}
		t.write(s.out)
	})
}
