package health

import (
	"context"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// noneKind probes nothing: the deploy webhook's response is enough, and the health stays unknown.
type noneKind struct{}

func (noneKind) probeTarget(context.Context, *healthcheck.Check, string, *rollout.TLS) healthcheck.ProbeResult {
	return unknown("no check is configured, so the health is unknown")
}
