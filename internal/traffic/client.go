package traffic

import (
	"context"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// Config configures a Client. The zero Config is usable. Dial is called for "tcp" and, when a deployment names HAProxy's
// socket by its path, for "unix".
type Config = egress.Config

// Client writes and reads traffic weights. It is safe for concurrent use and keeps no connection open between calls.
type Client struct{ out *egress.Client }

// New returns a Client. An invalid Key fails each write that it should sign.
func New(c Config) *Client { return &Client{out: egress.New(c)} }

// SetWeights writes call.Setting to the deployment's router once and returns the result: ResultDone means that the router took
// it, not that it does it; Read shows that. It ends with ctx, which should carry the deadline call.Until, or after the
// deployment's traffic timeout (0: none), whichever is first. All that goes wrong is in the answer: ResultNotSent when
// certainly nothing was changed, ResultUnknown if that is unknown.
func (m *Client) SetWeights(
	ctx context.Context, d *rollout.Deployment, targets []rollout.Target, call routing.Call,
) rollout.CallResult {
	began := time.Now()
	answer := m.setWeights(ctx, splitRequest{d, targets, call.Setting}, call)
	answer.Latency = time.Since(began)
	return answer
}

func (m *Client) setWeights(ctx context.Context, p splitRequest, call routing.Call) rollout.CallResult {
	to, err := m.routerOf(p.deployment)
	if err != nil {
		return refusedResult(err.Error())
	}
	ctx, cancel := withTimeout(ctx, p.deployment)
	defer cancel()
	return to.writeSplit(ctx, p, call)
}

// Read asks the deployment's router what it does now. It is bounded like SetWeights. The error says in one line, fit for people,
// why there is no reading: the router cannot be read back, or did not answer; a routing.Refusal will not pass.
func (m *Client) Read(ctx context.Context, d *rollout.Deployment, targets []rollout.Target) (routing.Reading, error) {
	to, err := m.routerOf(d)
	if err != nil {
		return routing.Reading{}, routing.Refusal(err.Error())
	}
	ctx, cancel := withTimeout(ctx, d)
	defer cancel()
	return to.readState(ctx, splitRequest{deployment: d, targets: targets})
}

func withTimeout(ctx context.Context, d *rollout.Deployment) (context.Context, context.CancelFunc) {
	if timeout := d.Spec.Traffic.Timeout.Std(); timeout > 0 {
		return context.WithTimeout(ctx, timeout)
	}
	return context.WithCancel(ctx)
}

func refusedResult(message string) rollout.CallResult {
	return rollout.CallResult{Kind: rollout.ResultRefused, Message: message}
}
