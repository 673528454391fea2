package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"rollcall/internal/api/httpkit"
	"rollcall/internal/api/types"
	"rollcall/internal/healthcheck"
	"rollcall/internal/nullable"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/secret"
	"rollcall/internal/storage"
)

// planJSON returns the plan of a deployment in which no target fails.
func planJSON(n *storage.NewDeployment) types.DeploymentPlan {
	spec := &n.Deployment.Spec
	plan := types.DeploymentPlan{
		Strategy: spec.Strategy, Protected: spec.Protected, Waves: make([]types.PlannedWave, len(spec.Waves)),
		LeastCapacity: minCapacity(n), ShortestDuration: minDuration(spec).String(),
	}
	for i, w := range spec.Waves {
		plan.Waves[i] = types.PlannedWave{
			Wave: i + 1, Targets: []string{}, TrafficWeight: w.Weight, Gate: nullable.Of(w.Gate), Bake: w.Bake.String(),
		}
	}
	plan.Requests = plannedRequests(n)
	for i := range n.Targets {
		if wave := n.Targets[i].Wave; wave > 0 && wave <= len(plan.Waves) {
			plan.Waves[wave-1].Targets = append(plan.Waves[wave-1].Targets, n.Targets[i].ID)
		}
	}
	return plan
}

// plannedRequests returns the call of the first target that a wave takes.
func plannedRequests(n *storage.NewDeployment) []types.PlannedRequest {
	for i := range n.Targets {
		t := &n.Targets[i]
		if t.Wave != 1 {
			continue
		}
		rendered, err := n.Deployment.RenderCall(t, firstCall(&n.Deployment, t))
		if err != nil {
			break // it was rendered before
		}
		headers := map[string]string{}
		for name, value := range rendered.Headers {
			headers[http.CanonicalHeaderKey(name)] = shownHeader(&n.Deployment.Spec.Deploy, name, value)
		}
		return []types.PlannedRequest{{
			Target: t.ID, Method: rendered.Method, URL: rendered.URL, Headers: headers, Body: string(rendered.Body),
		}}
	}
	return []types.PlannedRequest{}
}

// shownHeader returns the value of a header, which is a secret when the request gives it.
func shownHeader(deploy *rollout.Deploy, name string, value secret.Secret) string {
	if deploy.Request != nil {
		for given := range deploy.Request.Headers {
			if strings.EqualFold(given, name) {
				return fmt.Sprint(value)
			}
		}
	}
	return value.Reveal()
}

// minCapacity returns the share of targets, in percent, that is in service while the most are being updated. Targets that
// no wave takes, such as those of the active slot, are never out of service; where there are such, the waves take only
// targets without traffic.
func minCapacity(n *storage.NewDeployment) int {
	total, taken, out := len(n.Targets), 0, 0
	for _, w := range n.Deployment.Spec.Waves {
		taken += w.Size
		out = max(out, w.Parallel)
	}
	if taken < total || total == 0 {
		return 100
	}
	return (total - min(out, total)) * 100 / total
}

// minDuration returns the sum of what certainly takes time: bakes, delays, and for each round of calls within a wave the
// checks until they can have passed.
func minDuration(spec *rollout.Spec) time.Duration {
	var sum time.Duration
	checks := minPassTime(spec.Checks)
	for _, w := range spec.Waves {
		parallel := max(w.Parallel, 1)
		rounds := (w.Size + parallel - 1) / parallel
		sum += time.Duration(rounds)*checks + w.Bake.Std() + w.Delay.Std()
	}
	return sum
}

// minPassTime returns the least time from a target's answer to its passing all checks.
func minPassTime(checks []healthcheck.Check) time.Duration {
	var longest time.Duration
	for i := range checks {
		if c := &checks[i]; c.Type != healthcheck.TypeNone {
			longest = max(longest, c.InitialDelay.Std()+time.Duration(c.HealthyThreshold-1)*c.Interval.Std())
		}
	}
	return longest
}

// RouterLooker reads a deployment's router without writing to it; nil when there is nothing to show.
type RouterLooker interface {
	Preview(ctx context.Context, d *rollout.Deployment, targets []rollout.Target) *routing.Preview
}

// routerTimeout bounds the read of a router for a dry run.
const routerTimeout = 3 * time.Second

func (s *server) previewRouter(ctx context.Context, n *storage.NewDeployment) *types.PlannedRouter {
	if s.router == nil || n.Deployment.Spec.Traffic == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(httpkit.WithoutBudget(ctx), routerTimeout)
	defer cancel()
	found := s.router.Preview(ctx, &n.Deployment, n.Targets)
	if found == nil {
		return nil
	}
	return &types.PlannedRouter{
		TakeOut: nullable.Of(found.TakeOut), Why: nullable.Of(found.Why), Refused: nullable.Of(found.Refused), Error: nullable.Of(found.Error),
	}
}
