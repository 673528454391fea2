package health

import (
	"context"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/healthcheck"
)

// tcpKind checks that a port accepts connections.
type tcpKind struct{ out *egress.Client }

func (k tcpKind) probeTarget(ctx context.Context, check *healthcheck.Check, address string, _ connection) healthcheck.ProbeResult {
	to, err := hostPort(address, check.Port)
	if err != nil {
		return unknown(err.Error())
	}
	began := time.Now()
	conn, err := k.out.Dial(ctx, "tcp", to)
	if err != nil {
		return unhealthy(to + ": " + egress.ErrorText(ctx, err, began))
	}
	if err := conn.Close(); err != nil {
		return unhealthy(to + ": " + egress.ErrorText(ctx, err, began))
	}
	return healthy(to + " is open")
}
