package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"rollcall/internal/api/types"
	"rollcall/internal/client"
)

// statusCmd shows what a service runs, or the state of a deployment.
type statusCmd struct {
	Subject     string `arg:"" name:"service" help:"A service, or a deployment's id."`
	Environment string `short:"e" help:"The service's environment." default:"production"`
}

// Run prints the status.
func (c *statusCmd) Run(ctx context.Context, a *app) error {
	path := fmt.Sprintf("/services/%s/environments/%s/status", url.PathEscape(c.Subject), url.PathEscape(c.Environment))
	show := func(response []byte) error { return a.printStatus(response) }
	if isID(c.Subject) {
		path, show = "/deployments/"+c.Subject, a.printDeployment
	}
	response, err := a.client.Do(ctx, client.Get(path, nil))
	if err != nil {
		return err
	}
	return show(response)
}

func (a *app) printStatus(response []byte) error {
	var status types.ServiceStatus
	if err := json.Unmarshal(response, &status); err != nil {
		return fmt.Errorf("read the status: %w", err)
	}
	return a.printResponse(response, func() { a.showStatus(&status) })
}

func (a *app) showStatus(status *types.ServiceStatus) {
	version := "an unknown version"
	switch {
	case status.Version != nil:
		version = replaceControls(*status.Version)
	case status.Mixed:
		version = "more than one version"
	}
	fmt.Fprintf(a.out, "%s in %s runs %s", status.Service, status.Environment, version)
	if status.ActiveSlot != nil {
		fmt.Fprintf(a.out, ", slot %s serves", *status.ActiveSlot)
	}
	fmt.Fprintln(a.out)
	t := newTable("TARGET", "VERSION", "HEALTH")
	for _, target := range status.Targets {
		t.addRow(target.ID, orDash(target.Version), target.Health)
	}
	t.writeTo(a.out)
	if status.LastDeployment != nil {
		fmt.Fprint(a.out, "last deployment: ")
		printSummary(a.out, status.LastDeployment)
	}
}

func (a *app) printDeployment(response []byte) error {
	var d types.Deployment
	if err := json.Unmarshal(response, &d); err != nil {
		return fmt.Errorf("read the deployment: %w", err)
	}
	return a.printResponse(response, func() {
		printSummary(a.out, &d)
		fmt.Fprintf(a.out, "  %s, %s; requested by %s at %s\n", d.Strategy.Type, progressText(&d), orDash(&d.RequestedBy), formatTime(d.CreatedAt))
		if d.Result != nil {
			fmt.Fprint(a.out, "  ")
			a.showResult(&d)
		}
	})
}
