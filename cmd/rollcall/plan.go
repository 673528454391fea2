package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"rollcall/internal/api/gen"
	"rollcall/internal/client"
)

// planCmd says what a deployment would do.
type planCmd struct {
	requestFlags `embed:""`
}

// Run asks for the plan; nothing is stored.
func (c *planCmd) Run(ctx context.Context, s *session) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	answer, err := s.client.Do(ctx, client.Request{
		Method: http.MethodPost, Path: "/deployments", Query: url.Values{"dry_run": {"true"}}, Body: body,
	})
	if err != nil {
		return err
	}
	var plan gen.DeploymentPlan
	if err := json.Unmarshal(answer, &plan); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	return s.print(answer, func() { showPlan(s, &plan) })
}

func showPlan(s *session, plan *gen.DeploymentPlan) {
	t := newTable("WAVE", "TARGETS", "TRAFFIC", "GATE", "BAKE", "IDS")
	for _, wave := range plan.Waves {
		t.row(wave.Wave, len(wave.Targets), fmt.Sprintf("%d%%", wave.TrafficWeight), orDash(wave.Gate), wave.Bake, few(wave.Targets))
	}
	t.write(s.out)
	fmt.Fprintf(s.out, "%s; at least %d%% of the targets stay in service; it takes %s or longer\n",
		plan.Strategy.Type, plan.LeastCapacity, plan.ShortestDuration)
	if r := plan.Router; r != nil {
		fmt.Fprintln(s.out, routerLine(r))
	}
}

// routerLine says what a look at the router has found.
func routerLine(r *gen.PlannedRouter) string {
	switch {
	case r.Refused != nil:
		return "the router would refuse: " + *r.Refused
	case r.Error != nil:
		return "the router could not be looked at: " + *r.Error
	case r.Why != nil:
		return "servers are taken out by " + orDash(r.TakeOut) + " " + *r.Why
	default:
		return "servers are taken out by " + orDash(r.TakeOut)
	}
}

// few names the first of many.
func few(ids []string) string {
	const most = 6
	if len(ids) <= most {
		return strings.Join(ids, " ")
	}
	return fmt.Sprintf("%s … %d more", strings.Join(ids[:most], " "), len(ids)-most)
}
