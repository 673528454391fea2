package health

import (
	"context"

	"rollcall/internal/rollout"
)

// tcpKind sees whether a port opens.
type tcpKind struct{ dial Dial }

func (k tcpKind) probe(ctx context.Context, check *rollout.Check, address string) rollout.Observation {
	to, err := hostPort(address, check.Port)
	if err != nil {
		return unknown(err.Error())
	}
	conn, err := k.dial(ctx, "tcp", to)
	if err != nil {
		return unhealthy(to + ": " + explain(ctx, err))
	}
	if err := conn.Close(); err != nil {
		return unhealthy(to + ": " + explain(ctx, err))
	}
	return healthy(to + " is open")
}
