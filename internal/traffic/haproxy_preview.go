package traffic

import (
	"context"
	"errors"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// Preview looks at the deployment's router and says what it finds; nil where the kind of router has nothing to show. It is
// bounded like SetWeights.
func (m *Client) Preview(ctx context.Context, d *rollout.Deployment, targets []rollout.Target) *routing.Preview {
	to, err := m.routerOf(d)
	if err != nil {
		return nil
	}
	shows, ok := to.(interface {
		preview(ctx context.Context, p splitRequest) routing.Preview
	})
	if !ok {
		return nil
	}
	ctx, cancel := withTimeout(ctx, d)
	defer cancel()
	found := shows.preview(ctx, splitRequest{deployment: d, targets: targets})
	return &found
}

func (h haproxy) preview(ctx context.Context, p splitRequest) routing.Preview {
	began := time.Now()
	p.setting.Backends = make([]routing.Backend, len(p.targets))
	for i := range p.targets {
		p.setting.Backends[i].Target = p.targets[i].ID
	}
	shares, views, err := h.viewAll(ctx, p)
	if final, ok := errors.AsType[routing.Refusal](err); ok {
		return routing.Preview{Refused: final.Error()}
	}
	if err != nil {
		return routing.Preview{Error: "no answer: " + egress.ErrorText(ctx, err, began) + errorContext(err)}
	}
	var found routing.Preview
	for _, v := range views {
		if why := v.unsupportedReason(p, shares, routing.Call{}); why != "" {
			return routing.Preview{Refused: why}
		}
		if state, why := v.takeOut(p.routerConfig()); found.TakeOut == "" || state == maintState {
			found.TakeOut, found.Why = state, why
		}
	}
	return found
}
