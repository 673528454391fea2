package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/types"
	"rollcall/internal/catalog"
	"rollcall/internal/healthcheck"
	"rollcall/internal/nullable"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
)

// ListServices lists services by environment.
func (s *server) ListServices(
	ctx context.Context, in gen.ListServicesRequestObject,
) (gen.ListServicesResponseObject, error) {
	list, err := s.services.Services(ctx, principalOf(ctx).Scopes, pageOf(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListServices200JSONResponse{
		Items: encodeAll(list.Items, serviceJSON), NextCursor: nullable.Of(list.NextCursor),
	}, nil
}

func serviceJSON(s *catalog.Service) types.Service {
	return types.Service{
		Service: s.Service, Environment: s.Environment, Defined: s.Defined, LastDeployment: lastJSON(s.Last),
	}
}

// lastJSON returns nil when there was no deployment.
func lastJSON(d *rollout.Deployment) *types.LastDeployment {
	if d == nil {
		return nil
	}
	encoded := deploymentJSON(d)
	return &encoded
}

// GetServiceStatus returns the versions that the targets of a service in an environment run.
func (s *server) GetServiceStatus(
	ctx context.Context, in gen.GetServiceStatusRequestObject,
) (gen.GetServiceStatusResponseObject, error) {
	newest, err := s.deployments.Deployments(ctx, principalOf(ctx).Scopes,
		storage.Filter{Service: in.Service, Environment: in.Environment}, storage.Page{Limit: 1})
	if err != nil {
		return nil, err
	}
	defined, err := s.storedDefinition(ctx, in.Service, in.Environment)
	if err != nil {
		return nil, err
	}
	if defined == nil && len(newest.Items) == 0 {
		return nil, errNotFound("no service " + in.Service + " in " + in.Environment)
	}
	running, err := s.runningTargets(ctx, in.Service, in.Environment, defined)
	if err != nil {
		return nil, err
	}
	status := gen.GetServiceStatus200JSONResponse{
		Service: in.Service, Environment: in.Environment, Targets: encodeAll(running, runningJSON),
	}
	status.Version, status.Mixed = sharedVersion(running)
	active, err := s.creation.ActiveSlot(ctx, in.Service, in.Environment)
	if err != nil {
		return nil, err
	}
	status.ActiveSlot = nullable.Of(active)
	if len(newest.Items) > 0 {
		if status.Traffic, err = s.trafficStatus(ctx, &newest.Items[0]); err != nil {
			return nil, err
		}
		last, err := s.presentDeployment(ctx, &newest.Items[0])
		if err != nil {
			return nil, err
		}
		status.LastDeployment = &last
	}
	return status, nil
}

// runningTargets returns the recorded state of the targets of the definition, or of the newest deployment if there is none.
func (s *server) runningTargets(
	ctx context.Context, service, environment string, defined *definition,
) ([]catalog.RunningTarget, error) {
	if defined == nil {
		return s.services.RunningTargets(ctx, service, environment)
	}
	remembered, err := s.creation.TargetRecords(ctx, service, environment)
	if err != nil {
		return nil, err
	}
	targets := valueOr(defined.request.Targets, nil)
	running := make([]catalog.RunningTarget, len(targets))
	for i := range targets {
		known, seen := remembered[targets[i].ID]
		if !seen || !rollout.SameAddress(known.Address, targets[i].Address) {
			known = storage.TargetRecord{Version: valueOr(targets[i].Version, ""), Health: healthcheck.Unknown}
		}
		running[i] = catalog.RunningTarget{Target: targets[i].ID, Version: known.Version, Health: known.Health}
	}
	return running, nil
}

// sharedVersion returns the version that all targets run. It is null when none is known, and when they do not all run the
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
	return nullable.Of(running[0].Version), false
}

func runningJSON(r *catalog.RunningTarget) types.RunningTarget {
	return types.RunningTarget{ID: r.Target, Version: nullable.Of(r.Version), Health: types.Health(r.Health)}
}

// trafficStatus returns the last state of a deployment's router, as read during or after it; nil when it has none.
func (s *server) trafficStatus(ctx context.Context, d *rollout.Deployment) (*types.TrafficStatus, error) {
	if d.Spec.Traffic == nil {
		return nil, nil //nolint:nilnil // as the comment says
	}
	if d.FinishedAt.IsZero() {
		return trafficStatusJSON(d.Spec.Traffic.Type, d.Progress.Router, ""), nil
	}
	resting, err := s.services.RestingRouter(ctx, d.Service, d.Environment)
	if err != nil {
		return nil, err
	}
	if resting == nil {
		return trafficStatusJSON(d.Spec.Traffic.Type, d.Progress.Router, ""), nil
	}
	return trafficStatusJSON(d.Spec.Traffic.Type, &resting.Router, resting.Error), nil
}

func trafficStatusJSON(kind string, r *routing.State, unread string) *types.TrafficStatus {
	status := types.TrafficStatus{Type: kind, Held: []types.HeldTarget{}, Error: nullable.Of(unread)}
	if r != nil {
		status.SeenAt, status.Differs = nullable.Time(r.SeenAt), nullable.Of(r.Differs)
		for _, h := range r.Held {
			status.Held = append(status.Held, types.HeldTarget{Target: h.Target, By: h.By})
		}
	}
	return &status
}
