package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"rollcall/internal/api/types"
	"rollcall/internal/client"
)

// planCmd shows what a deployment would do.
type planCmd struct {
	requestFlags `embed:""`
}

// Run prints the plan; the server stores nothing.
func (c *planCmd) Run(ctx context.Context, a *app) error {
	body, err := c.requestBody()
	if err != nil {
		return err
	}
	response, err := a.client.Do(ctx, client.Request{
		Method: http.MethodPost, Path: "/deployments", Query: url.Values{"dry_run": {"true"}}, Body: body,
	})
	if err != nil {
		return err
	}
	var plan types.DeploymentPlan
	if err := json.Unmarshal(response, &plan); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	return a.printResponse(response, func() { showPlan(a, &plan) })
}

func showPlan(a *app, plan *types.DeploymentPlan) {
	t := newTable("WAVE", "TARGETS", "TRAFFIC", "GATE", "BAKE", "IDS")
	for _, wave := range plan.Waves {
		t.addRow(wave.Wave, len(wave.Targets), fmt.Sprintf("%d%%", wave.TrafficWeight), orDash(wave.Gate), wave.Bake, firstIDs(wave.Targets))
	}
	t.writeTo(a.out)
	fmt.Fprintf(a.out, "%s; at least %d%% of the targets stay in service; takes at least %s\n",
		plan.Strategy.Type, plan.LeastCapacity, plan.ShortestDuration)
	if r := plan.Router; r != nil {
		fmt.Fprintln(a.out, routerLine(r))
	}
	for i := range plan.Requests {
		showRequest(a, &plan.Requests[i])
	}
}

// showRequest prints the first call as it is rendered.
func showRequest(a *app, r *types.PlannedRequest) {
	fmt.Fprintf(a.out, "first call, of %s:\n  %s %s\n", r.Target, r.Method, r.URL)
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		fmt.Fprintf(a.out, "  %s: %s\n", name, r.Headers[name])
	}
	if r.Body != "" {
		fmt.Fprintf(a.out, "  %s\n", r.Body)
	}
}

// routerLine returns what the server found at the router.
func routerLine(r *types.PlannedRouter) string {
	switch {
	case r.Refused != nil:
		return "the router would reject the deployment: " + *r.Refused
	case r.Error != nil:
		return "the router could not be read: " + *r.Error
	case r.Why != nil:
		return "servers are taken out by " + orDash(r.TakeOut) + " " + *r.Why
	default:
		return "servers are taken out by " + orDash(r.TakeOut)
	}
}

// firstIDs joins the first few of many ids.
func firstIDs(ids []string) string {
	const maxIDs = 6
	if len(ids) <= maxIDs {
		return strings.Join(ids, " ")
	}
	return fmt.Sprintf("%s … %d more", strings.Join(ids[:maxIDs], " "), len(ids)-maxIDs)
}
