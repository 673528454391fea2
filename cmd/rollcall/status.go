package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"rollcall/internal/api/gen"
	"rollcall/internal/client"
)

// statusCmd shows what a service runs, or how a deployment stands.
type statusCmd struct {
	What        string `arg:"" name:"service" help:"A service, or a deployment's id."`
	Environment string `short:"e" help:"Where the service is." default:"production"`
}

// Run asks for the one or the other.
func (c *statusCmd) Run(ctx context.Context, s *session) error {
	path := fmt.Sprintf("/services/%s/environments/%s/status", url.PathEscape(c.What), url.PathEscape(c.Environment))
	show := func(answer []byte) error { return s.printStatus(answer) }
	if isID(c.What) {
		path, show = "/deployments/"+c.What, s.printDeployment
	}
	answer, err := s.client.Do(ctx, client.Get(path, nil))
	if err != nil {
		return err
	}
	return show(answer)
}

func (s *session) printStatus(answer []byte) error {
	var status gen.ServiceStatus
	if err := json.Unmarshal(answer, &status); err != nil {
		return fmt.Errorf("read the status: %w", err)
	}
	return s.print(answer, func() { s.showStatus(&status) })
}

func (s *session) showStatus(status *gen.ServiceStatus) {
	runs := "nobody knows what"
	switch {
	case status.Version != nil:
		runs = printable(*status.Version)
	case status.Mixed:
		runs = "more than one version"
	}
	fmt.Fprintf(s.out, "%s in %s runs %s", status.Service, status.Environment, runs)
	if status.ActiveSlot != nil {
		fmt.Fprintf(s.out, ", slot %s serves", *status.ActiveSlot)
	}
	fmt.Fprintln(s.out)
	t := newTable("TARGET", "VERSION", "HEALTH")
	for _, target := range status.Targets {
		t.row(target.ID, orDash(target.Version), target.Health)
	}
	t.write(s.out)
	if status.LastDeployment != nil {
		fmt.Fprint(s.out, "last deployment: ")
		shortly(s.out, status.LastDeployment)
	}
}

func (s *session) printDeployment(answer []byte) error {
	var d gen.Deployment
	if err := json.Unmarshal(answer, &d); err != nil {
		return fmt.Errorf("read the deployment: %w", err)
	}
	return s.print(answer, func() {
		shortly(s.out, &d)
		fmt.Fprintf(s.out, "  %s, %s; asked for by %s at %s\n", d.Strategy.Type, progress(&d), orDash(&d.RequestedBy), clock(d.CreatedAt))
		if d.Result != nil {
			fmt.Fprint(s.out, "  ")
			s.conclude(&d)
		}
	})
}
