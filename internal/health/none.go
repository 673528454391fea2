package health

import (
	"context"

	"rollcall/internal/healthcheck"
)

// noneKind probes nothing: the deploy webhook's response is enough, and the health stays unknown.
type noneKind struct{}

func (noneKind) probeTarget(context.Context, *healthcheck.Check, string, connection) healthcheck.ProbeResult {
	return unknown("no check is configured, so the health is unknown")
}
