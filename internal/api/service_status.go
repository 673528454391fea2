package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/catalog"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// GetServiceStatus says what runs on the targets of a service in an environment.
func (s *server) GetServiceStatus(
	ctx context.Context, in gen.GetServiceStatusRequestObject,
) (gen.GetServiceStatusResponseObject, error) {
	newest, err := s.store.Deployments(ctx, asker(ctx).Scopes,
		rollout.Filter{Service: in.Service, Environment: in.Environment}, rollout.Page{Limit: 1})
	if err != nil {
		return nil, err
	}
	defined, err := s.definition(ctx, in.Service, in.Environment)
	if err != nil {
		return nil, err
	}
	if defined == nil && len(newest.Items) == 0 {
		return nil, notFound("nothing is known of " + in.Service + " in " + in.Environment)
	}
	running, err := s.running(ctx, in.Service, in.Environment, defined)
	if err != nil {
		return nil, err
	}
	status := gen.GetServiceStatus200JSONResponse{
		Service: in.Service, Environment: in.Environment, Targets: encodeAll(running, runningJSON),
	}
	status.Version, status.Mixed = sharedVersion(running)
	active, err := s.store.ActiveSlot(ctx, in.Service, in.Environment)
	if err != nil {
		return nil, err
	}
	status.ActiveSlot = known(active)
	if len(newest.Items) > 0 {
		if status.Traffic, err = s.trafficStatus(ctx, &newest.Items[0]); err != nil {
			return nil, err
		}
		last, err := s.shown(ctx, &newest.Items[0])
		if err != nil {
			return nil, err
		}
		status.LastDeployment = &last
	}
	return status, nil
}

// running is what is known of the targets of the definition, or of the newest deployment when there is none.
func (s *server) running(
	ctx context.Context, service, environment string, defined *definition,
) ([]catalog.RunningTarget, error) {
	if defined == nil {
		return s.store.Running(ctx, service, environment)
	}
	remembered, err := s.store.Remembered(ctx, service, environment)
	if err != nil {
		return nil, err
	}
	targets := or(defined.request.Targets, nil)
	running := make([]catalog.RunningTarget, len(targets))
	for i := range targets {
		known, seen := remembered[targets[i].ID]
		if !seen || !rollout.SameAddress(known.Address, targets[i].Address) {
			known = rollout.TargetRecord{Version: or(targets[i].Version, ""), Health: healthcheck.Unknown}
		}
		running[i] = catalog.RunningTarget{Target: targets[i].ID, Version: known.Version, Health: known.Health}
	}
	return running, nil
}

// sharedVersion is the version that all targets run. It is null when nobody knows any, and when they do not all run the
// same as far as known; only the latter is mixed.
func sharedVersion(running []catalog.RunningTarget) (version *string, mixed bool) {
	for i := range running {
		if running[i].Version != running[0].Version {
			return nil, true
		}
	}
	if len(running) == 0 {
		return nil, false
	}
	return known(running[0].Version), false
}

func runningJSON(r *catalog.RunningTarget) gen.RunningTarget {
	return gen.RunningTarget{ID: r.Target, Version: known(r.Version), Health: gen.Health(r.Health)}
}

// trafficStatus says what is known of a deployment's router, and of how it was found since; nil when it has none.
func (s *server) trafficStatus(ctx context.Context, d *rollout.Deployment) (*gen.TrafficStatus, error) {
	if d.Spec.Traffic == nil {
		return nil, nil //nolint:nilnil // as the comment says
	}
	if d.FinishedAt.IsZero() {
		return trafficStatusJSON(d.Spec.Traffic.Type, d.Progress.Router, ""), nil
	}
	resting, err := s.store.RestingRouter(ctx, d.Service, d.Environment)
	if err != nil {
		return nil, err
	}
	if resting == nil {
		return trafficStatusJSON(d.Spec.Traffic.Type, d.Progress.Router, ""), nil
	}
	return trafficStatusJSON(d.Spec.Traffic.Type, &resting.Router, resting.Error), nil
}

func trafficStatusJSON(kind string, r *routing.State, unread string) *gen.TrafficStatus {
	status := gen.TrafficStatus{Type: kind, Held: []gen.HeldTarget{}, Error: known(unread)}
	if r != nil {
		status.SeenAt, status.Differs = moment(r.SeenAt), known(r.Differs)
		for _, h := range r.Held {
			status.Held = append(status.Held, gen.HeldTarget{Target: h.Target, By: h.By})
		}
	}
	return &status
}
