package traffic

import (
	"context"
	"errors"
	"time"

	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

// Preview looks at the deployment's router and says what it finds; nil where the kind of router has nothing to show. It is
// bounded like Set.
func (m *Mover) Preview(ctx context.Context, d *rollout.Deployment, targets []rollout.Target) *rollout.RouterPreview {
	to, err := m.router(d)
	if err != nil {
		return nil
	}
	shows, ok := to.(interface {
		preview(ctx context.Context, p position) rollout.RouterPreview
	})
	if !ok {
		return nil
	}
	ctx, cancel := bounded(ctx, d)
	defer cancel()
	found := shows.preview(ctx, position{deployment: d, targets: targets})
	return &found
}

func (h haproxy) preview(ctx context.Context, p position) rollout.RouterPreview {
	began := time.Now()
	p.setting.Backends = make([]rollout.Backend, len(p.targets))
	for i := range p.targets {
		p.setting.Backends[i].Target = p.targets[i].ID
	}
	shares, views, err := h.lookAll(ctx, p)
	if final, ok := errors.AsType[rollout.RouterRefusal](err); ok {
		return rollout.RouterPreview{Refused: final.Error()}
	}
	if err != nil {
		return rollout.RouterPreview{Error: "no answer: " + outbound.Why(ctx, err, began) + more(err)}
	}
	var found rollout.RouterPreview
	for _, v := range views {
		if why := v.never(p, shares, rollout.RouterCall{}); why != "" {
			return rollout.RouterPreview{Refused: why}
		}
		if state, why := v.takeOut(p.traffic()); found.TakeOut == "" || state == maintState {
			found.TakeOut, found.Why = state, why
		}
	}
	return found
}
