package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/authz"
	"rollcall/internal/rollout"
	"rollcall/internal/strategy"
)

// CreateDeployment stores a deployment as pending. A key that was used before is answered before anything else is
// looked at, so that the answer stays the same whatever has changed since.
func (s *server) CreateDeployment(
	ctx context.Context, in gen.CreateDeploymentRequestObject,
) (gen.CreateDeploymentResponseObject, error) {
	if err := s.may(ctx, authz.PermissionDeploy, in.Body.Service, or(in.Body.Environment, defaultEnvironment)); err != nil {
		return nil, err
	}
	key, err := idempotencyKey(ctx, in.Params.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	if or(in.Params.DryRun, false) {
		return s.planned(ctx, in.Body)
	}
	if key.Value != "" {
		created, replayed, err := s.store.Replay(ctx, key)
		if err != nil {
			return nil, err
		}
		if replayed {
			created.Replayed = true
			return accepted(&created), nil
		}
	}
	n, err := s.prepare(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	n.Key, n.QueueLimit = key, s.queueLimit
	created, err := s.store.Create(ctx, n)
	if err != nil {
		return nil, err
	}
	return accepted(&created), nil
}

// planned answers with what would be done, and stores nothing.
func (s *server) planned(ctx context.Context, body *gen.DeploymentRequest) (gen.CreateDeploymentResponseObject, error) {
	n, err := s.prepare(ctx, body)
	if err != nil {
		return nil, err
	}
	plan := planJSON(&n)
	plan.Router = s.plannedRouter(ctx, &n)
	return gen.CreateDeployment200JSONResponse(plan), nil
}

// prepare makes a deployment of the body and of the definition, where there is one. What is wrong with the body alone is
// said before the store is asked.
func (s *server) prepare(ctx context.Context, body *gen.DeploymentRequest) (rollout.NewDeployment, error) {
	q := request{body: body, checkAddress: s.checkAddress, checkTrust: s.checkTrust, checkCommand: s.checkCommand, partial: true}
	d, _, err := q.read(ctx)
	if err != nil {
		return rollout.NewDeployment{}, err
	}
	defined, err := s.definition(ctx, d.Service, d.Environment)
	if err != nil {
		return rollout.NewDeployment{}, err
	}
	if defined == nil {
		return s.complete(ctx, body, nil)
	}
	whole := underlay(*body, &defined.request)
	n, err := s.complete(ctx, &whole, defined)
	n.Deployment.Spec.FromDefinition = body.Targets == nil
	return n, blame(err, body)
}

// complete makes a deployment of a body that has all that it will ever have; only its secret may be the definition's.
func (s *server) complete(
	ctx context.Context, body *gen.DeploymentRequest, defined *definition,
) (rollout.NewDeployment, error) {
	q := request{body: body, checkAddress: s.checkAddress, checkTrust: s.checkTrust, checkCommand: s.checkCommand}
	d, targets, err := q.read(ctx)
	if err != nil {
		return rollout.NewDeployment{}, err
	}
	if defined != nil {
		if err := lendSecrets(&d, targets, body, defined); err != nil {
			return rollout.NewDeployment{}, err
		}
		d.Spec.Protected = defined.protected
	}
	d.ID = s.newID()
	remembered, err := s.store.Remembered(ctx, d.Service, d.Environment)
	if err != nil {
		return rollout.NewDeployment{}, err
	}
	d.Spec.ActiveSlot, err = s.store.ActiveSlot(ctx, d.Service, d.Environment)
	if err != nil {
		return rollout.NewDeployment{}, err
	}
	return strategy.Prepare(d, targets, or(body.Strategy, nil), remembered)
}

func accepted(c *rollout.Created) gen.CreateDeployment202JSONResponse {
	answer := gen.CreateDeployment202JSONResponse{Body: deploymentJSON(&c.Deployment)}
	answer.Headers.Location = location(c.Deployment.ID)
	if c.Replayed {
		replayed := "true"
		answer.Headers.IdempotencyReplayed = &replayed
	}
	return answer
}
