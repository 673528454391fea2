package api

import (
	"context"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/httpkit"
	"rollcall/internal/api/types"
	"rollcall/internal/authz"
	"rollcall/internal/nullable"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy"
)

// CreateDeployment stores a deployment as pending. A key that was used before is looked up first, so that the response stays
// the same whatever has changed since.
func (s *server) CreateDeployment(
	ctx context.Context, in gen.CreateDeploymentRequestObject,
) (gen.CreateDeploymentResponseObject, error) {
	if err := s.checkPermission(ctx, authz.PermissionDeploy, in.Body.Service, valueOr(in.Body.Environment, defaultEnvironment)); err != nil {
		return nil, err
	}
	key, err := idempotencyKey(ctx, in.Params.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	if valueOr(in.Params.DryRun, false) {
		return s.dryRun(ctx, in.Body)
	}
	if key.Value != "" {
		created, replayed, err := s.creation.CreatedUnderKey(ctx, key)
		if err != nil {
			return nil, err
		}
		if replayed {
			created.Replayed = true
			return createdResponse(&created), nil
		}
	}
	n, err := s.prepareDeployment(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	n.Key, n.QueueLimit = key, s.queueLimit
	created, err := s.storeDeployment(ctx, n)
	if err != nil {
		return nil, err
	}
	return createdResponse(&created), nil
}

// storeDeployment stores a deployment, which may take longer for each target. It may wait for another creation under the
// same key.
func (s *server) storeDeployment(ctx context.Context, n storage.NewDeployment) (storage.Created, error) {
	defer httpkit.ExtendBudget(ctx, time.Duration(len(n.Targets))*createPerTarget)()
	return s.creation.CreateDeployment(ctx, n)
}

// dryRun returns the plan of a deployment, and stores nothing.
func (s *server) dryRun(ctx context.Context, body *types.DeploymentRequest) (gen.CreateDeploymentResponseObject, error) {
	n, err := s.prepareDeployment(ctx, body)
	if err != nil {
		return nil, err
	}
	plan := planJSON(&n)
	plan.Router = s.previewRouter(ctx, &n)
	return gen.CreateDeployment200JSONResponse(plan), nil
}

// prepareDeployment makes a deployment of the body and of the definition, where there is one. What is wrong with the body
// alone is reported before the store is queried.
func (s *server) prepareDeployment(ctx context.Context, body *types.DeploymentRequest) (storage.NewDeployment, error) {
	q := s.newRequest(body)
	if q.parseBody(ctx); q.err() != nil {
		return storage.NewDeployment{}, q.err()
	}
	defined, err := s.storedDefinition(ctx, q.deployment.Service, q.deployment.Environment)
	if err != nil {
		return storage.NewDeployment{}, err
	}
	if defined == nil {
		return s.completeDeployment(ctx, q, nil)
	}
	n, err := s.completeDeployment(ctx, q, defined)
	n.Deployment.Spec.FromDefinition = body.Targets == nil
	return n, attributeToDefinition(err, body)
}

// newRequest returns a body that is to be parsed.
func (s *server) newRequest(body *types.DeploymentRequest) *request {
	q := &request{checkAddress: s.checkAddress, checkTrust: s.checkTrust, checkCommand: s.checkCommand}
	expanded := *body
	expanded.Deploy = q.expandPreset(body.Deploy)
	q.body = &expanded
	return q
}

// completeDeployment makes a deployment of a parsed body and the definition, which is nil when there is none.
func (s *server) completeDeployment(ctx context.Context, q *request, defined *definition) (storage.NewDeployment, error) {
	if err := q.finishWithDefinition(defined); err != nil {
		return storage.NewDeployment{}, err
	}
	d := q.deployment
	d.ID = s.newID()
	remembered, err := s.creation.TargetRecords(ctx, d.Service, d.Environment)
	if err != nil {
		return storage.NewDeployment{}, err
	}
	d.Spec.ActiveSlot, err = s.creation.ActiveSlot(ctx, d.Service, d.Environment)
	if err != nil {
		return storage.NewDeployment{}, err
	}
	return strategy.Prepare(d, q.targets, valueOr(q.body.Strategy, nil), remembered)
}

func createdResponse(c *storage.Created) gen.CreateDeployment202JSONResponse {
	answer := gen.CreateDeployment202JSONResponse{Body: deploymentJSON(&c.Deployment)}
	answer.Headers.Location = deploymentPath(c.Deployment.ID)
	if c.Replayed {
		replayed := "true"
		answer.Headers.IdempotencyReplayed = &replayed
	}
	return answer
}

const (
	// maxWait bounds a long poll.
	maxWait = time.Minute
	// pollEvery is how often a long poll reads the deployment even without a notification that it has changed.
	pollEvery = 500 * time.Millisecond
)

// GetDeployment reads a deployment, at once or as soon as it is newer than the caller's revision.
func (s *server) GetDeployment(
	ctx context.Context, in gen.GetDeploymentRequestObject,
) (gen.GetDeploymentResponseObject, error) {
	var f findings
	wait := f.parseDuration(in.Params.Wait, "/wait", bounds{0, 0, maxWait})
	if err := f.err(); err != nil {
		return nil, err
	}
	d, err := s.waitForRevision(ctx, in.ID, valueOr(in.Params.After, 0), wait.Std())
	if err != nil {
		return nil, err
	}
	tag := httpkit.ETag(d.Revision)
	if in.Params.IfNoneMatch != nil && httpkit.MatchesETag(*in.Params.IfNoneMatch, tag) {
		return gen.GetDeployment304Response{Headers: gen.GetDeployment304ResponseHeaders{ETag: tag}}, nil
	}
	ctx, stop := httpkit.WithQueryBudget(ctx, s.queryBudget) // a long poll has none
	defer stop()
	body, err := s.presentDeployment(ctx, &d)
	if err != nil {
		return nil, err
	}
	return gen.GetDeployment200JSONResponse{Body: body, Headers: gen.GetDeployment200ResponseHeaders{ETag: tag}}, nil
}

// waitForRevision reads the deployment until its revision is not the one after which it is wanted, the wait is over, or the
// caller has gone. A lower revision is news, too: the database has lost the one that the caller saw.
func (s *server) waitForRevision(ctx context.Context, id string, after int64, wait time.Duration) (rollout.Deployment, error) {
	if wait <= 0 {
		return s.deployments.Deployment(ctx, id)
	}
	changed, stop := s.changes.SubscribeChanges(id) // before the first read, so that no change falls in between
	defer stop()
	over := time.NewTimer(wait)
	defer over.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		d, err := s.readOnce(ctx, id)
		if err != nil || d.Revision != after {
			return d, err
		}
		select {
		case _, open := <-changed:
			if !open {
				changed = nil // the store hints no more; the poll continues
			}
		case <-poll.C:
		case <-over.C:
			return d, nil
		case <-ctx.Done():
			return d, nil
		}
	}
}

// readOnce reads the deployment within a budget of its own.
func (s *server) readOnce(ctx context.Context, id string) (rollout.Deployment, error) {
	ctx, stop := httpkit.WithQueryBudget(ctx, s.queryBudget)
	defer stop()
	return s.deployments.Deployment(ctx, id)
}

// ListDeployments lists deployments, newest first.
func (s *server) ListDeployments(
	ctx context.Context, in gen.ListDeploymentsRequestObject,
) (gen.ListDeploymentsResponseObject, error) {
	p := in.Params
	filter := storage.Filter{
		Service: valueOr(p.Service, ""), Environment: valueOr(p.Environment, ""), Version: valueOr(p.Version, ""),
		State: rollout.State(valueOr(p.State, "")), Since: valueOr(p.Since, time.Time{}), Until: valueOr(p.Until, time.Time{}),
	}
	list, err := s.deployments.Deployments(ctx, principalOf(ctx).Scopes, filter, pageOf(p.Limit, p.Cursor))
	if err != nil {
		return nil, err
	}
	items, err := s.presentDeployments(ctx, list.Items)
	if err != nil {
		return nil, err
	}
	return gen.ListDeployments200JSONResponse{Items: items, NextCursor: nullable.Of(list.NextCursor)}, nil
}

// ListTargets lists the targets of a deployment.
func (s *server) ListTargets(
	ctx context.Context, in gen.ListTargetsRequestObject,
) (gen.ListTargetsResponseObject, error) {
	list, err := s.deployments.Targets(ctx, in.ID, pageOf(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListTargets200JSONResponse{
		Items: encodeAll(list.Items, targetJSON), NextCursor: nullable.Of(list.NextCursor),
	}, nil
}

// presentDeployment returns a deployment as the API shows it, with the deployment that rolled it back.
func (s *server) presentDeployment(ctx context.Context, d *rollout.Deployment) (types.Deployment, error) {
	all, err := s.presentDeployments(ctx, []rollout.Deployment{*d})
	if err != nil {
		return types.Deployment{}, err
	}
	return all[0], nil
}

// presentDeployments presents a list with one look-up for all. Only finished deployments can have been rolled back by another.
func (s *server) presentDeployments(ctx context.Context, list []rollout.Deployment) ([]types.Deployment, error) {
	var ended []string
	for i := range list {
		if list[i].State.Terminal() {
			ended = append(ended, list[i].ID)
		}
	}
	encoded := encodeAll(list, deploymentJSON)
	if len(ended) == 0 {
		return encoded, nil
	}
	by, err := s.deployments.RolledBackBy(ctx, ended)
	if err != nil {
		return nil, err
	}
	for i := range encoded {
		encoded[i].RolledBackBy = nullable.Of(by[encoded[i].ID])
	}
	return encoded, nil
}
