package target

import (
	"context"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/rollout"
)

// Config is what a Client needs. The zero Config is usable.
type Config = egress.Config

// Client calls deploy webhooks. It is safe for concurrent use and keeps no connection open between calls.
type Client struct{ out *egress.Client }

// New returns a client. A Key that is not valid shows in the answer of each call.
func New(c Config) *Client { return &Client{out: egress.New(c)} }

// Deploy makes the call of a target once and says what came of it. It ends with ctx, which should carry the
// deadline call.Until, or after the deployment's deploy timeout (0: none), whichever is first. All that goes wrong is
// in the answer: ResultNotSent when no byte of the request can have left, ResultUnknown if that is unknown.
func (c *Client) Deploy(ctx context.Context, d *rollout.Deployment, t *rollout.Target, call rollout.Call) rollout.CallResult {
	began := time.Now()
	if timeout := d.Spec.Deploy.Timeout.Std(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	answer := c.send(ctx, d, t, &call)
	answer.Latency = time.Since(began)
	return answer
}
