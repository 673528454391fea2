package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/httpkit"
	"rollcall/internal/api/types"
	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/nullable"
	"rollcall/internal/rollout"
)

// maxProbeTime bounds POST /checks, whatever the timeouts of its checks say.
const maxProbeTime = 30 * time.Second

// Prober runs one check of one address, for at most the check's timeout. Errors are part of the result.
type Prober interface {
	Probe(ctx context.Context, check healthcheck.Check, address string, trust *rollout.TLS) healthcheck.ProbeResult
}

// ProbeOnce runs each check once and returns the results. There are at most 20 (openapi.yaml), so all run
// at the same time.
func (s *server) ProbeOnce(ctx context.Context, in gen.ProbeOnceRequestObject) (gen.ProbeOnceResponseObject, error) {
	q := s.newRequest(&types.DeploymentRequest{HealthChecks: in.Body.HealthChecks})
	q.readAddress(in.Body.Address, "/address")
	checks, trust := q.readChecks(), q.readTLS(in.Body.TLS)
	if err := q.err(); err != nil {
		return nil, err
	}
	if s.prober == nil {
		return nil, &httpkit.Refusal{
			Status: http.StatusNotImplemented, Kind: "not-offered", Title: "Not enabled",
			Detail: "health checks are not enabled on this server",
		}
	}
	seen := s.probeAll(ctx, checks, in.Body.Address, trust)
	return probeResultsJSON(checks, seen), nil
}

// probeAll runs the checks concurrently.
func (s *server) probeAll(
	ctx context.Context, checks []healthcheck.Check, address string, trust *rollout.TLS,
) []healthcheck.ProbeResult {
	ctx, cancel := context.WithTimeout(httpkit.WithoutBudget(ctx), maxProbeTime)
	defer cancel()
	seen := make([]healthcheck.ProbeResult, len(checks))
	var all sync.WaitGroup
	for i := range checks {
		checks[i].Timeout = min(checks[i].Timeout, duration.Duration(maxProbeTime))
		all.Go(func() { seen[i] = s.prober.Probe(ctx, checks[i], address, trust) })
	}
	all.Wait()
	return seen
}

func probeResultsJSON(checks []healthcheck.Check, seen []healthcheck.ProbeResult) gen.ProbeOnce200JSONResponse {
	states := make([]healthcheck.State, len(checks))
	answer := gen.ProbeOnce200JSONResponse{Checks: make([]types.CheckResult, len(checks))}
	for i, o := range seen {
		states[i].Status = o.Status
		answer.Checks[i] = types.CheckResult{
			Name: checks[i].Name, Type: checks[i].Type, Status: types.Health(o.Status), LatencyMs: toMilliseconds(o.Latency),
			Message: o.Message, Version: nullable.Of(o.Version),
		}
	}
	answer.Status = types.Health(healthcheck.AggregateHealth(checks, states))
	return answer
}
