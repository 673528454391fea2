package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/httpkit"
	"rollcall/internal/api/types"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/strategy/command"
)

// latestTries bounds how often the latest deployment of a service in an environment is looked for when another one came in
// between.
const latestTries = 3

// RollbackDeployment rolls a running deployment back in place, or a finished one by a new deployment.
func (s *server) RollbackDeployment(
	ctx context.Context, in gen.RollbackDeploymentRequestObject,
) (gen.RollbackDeploymentResponseObject, error) {
	demand, err := httpkit.NewPrecondition(in.Params.IfMatch, nil)
	if err != nil {
		return nil, err
	}
	d, created, err := s.rollBack(ctx, in.ID, demand, reasonOf(in.Body))
	if err != nil {
		return nil, err
	}
	if created {
		answer, err := s.followUpResponse(ctx, &d)
		return gen.RollbackDeployment202JSONResponse{FollowUpCreatedJSONResponse: answer}, err
	}
	answer, err := s.commandResponse(ctx, &d)
	return gen.RollbackDeployment200JSONResponse{CommandAcceptedJSONResponse: answer}, err
}

// RollbackLatest rolls back the deployment that touched the targets of a service in an environment last. A running rollback is
// returned unchanged: a repeated request does not mean to undo the first.
func (s *server) RollbackLatest(
	ctx context.Context, in gen.RollbackLatestRequestObject,
) (gen.RollbackLatestResponseObject, error) {
	d, created, err := s.rollBackLatest(ctx, in.Service, in.Environment, reasonOf(in.Body))
	if err != nil {
		return nil, err
	}
	if created {
		answer, err := s.followUpResponse(ctx, &d)
		return gen.RollbackLatest202JSONResponse{FollowUpCreatedJSONResponse: answer}, err
	}
	answer, err := s.commandResponse(ctx, &d)
	return gen.RollbackLatest200JSONResponse{CommandAcceptedJSONResponse: answer}, err
}

func (s *server) rollBackLatest(
	ctx context.Context, service, environment, reason string,
) (d rollout.Deployment, created bool, err error) {
	for range latestTries {
		latest, err := s.commands.LatestDeployment(ctx, service, environment)
		if err != nil {
			return latest, false, err
		}
		if latest.Kind == rollout.KindRollback && latest.Direction == rollout.Forward && !latest.State.Terminal() {
			return latest, true, nil
		}
		d, created, err = s.rollBack(ctx, latest.ID, httpkit.Precondition{}, reason)
		if e, ok := errors.AsType[*problem.Error](err); !ok || e.ID == "" || e.ID == latest.ID {
			return d, created, err
		}
	}
	return d, created, err
}

// rollBack rolls a running deployment back in place, or returns the new one that was created to roll a finished one back.
func (s *server) rollBack(
	ctx context.Context, id string, demand httpkit.Precondition, reason string,
) (d rollout.Deployment, created bool, err error) {
	r := command.Command{Kind: command.Rollback, Actor: principalName(ctx), Reason: reason}
	d, err = s.commands.UpdateDeployment(ctx, id, 0, func(d *rollout.Deployment, now time.Time) ([]rollout.Event, error) {
		if err := checkDeployment(demand, d); err != nil || d.State.Terminal() {
			return nil, err
		}
		return applyCommand(d, r, now)
	})
	if err != nil || !d.State.Terminal() {
		return d, false, err
	}
	defined, err := s.storedDefinition(ctx, d.Service, d.Environment)
	if err != nil {
		return d, false, err
	}
	defer httpkit.ExtendBudget(ctx, time.Duration(d.Counts.Total)*createPerTarget)()
	made, err := s.commands.CreateRollback(ctx, d.ID, s.newFollowUp(ctx, command.NewRollback, reason, defined))
	return made.Deployment, true, err
}

// newFollowUp returns a function that makes a new deployment of a finished one for the caller. Targets that the finished one
// had from the definition, and that have left it since, are left out, which is reported.
func (s *server) newFollowUp(
	ctx context.Context, build func(*rollout.Snapshot) (storage.NewDeployment, error), reason string, defined *definition,
) func(*rollout.Snapshot) (storage.NewDeployment, error) {
	return func(ended *rollout.Snapshot) (storage.NewDeployment, error) {
		present, gone := dropRemovedTargets(ended, defined)
		if len(gone) > 0 && len(present.Targets) == 0 {
			return storage.NewDeployment{}, &problem.Error{
				Code: problem.CodeConflict, ID: ended.Deployment.ID, Message: "all targets of the deployment were removed from the definition",
			}
		}
		n, err := build(&present)
		n.Deployment.ID, n.Deployment.RequestedBy, n.Reason = s.newID(), principalName(ctx), reason
		if n.Deployment.Spec.LeftOut = gone; len(gone) > 0 {
			n.Reason = strings.TrimPrefix(reason+"; "+rollout.LeftOutText(gone), "; ")
		}
		return n, err
	}
}

// dropRemovedTargets returns the snapshot without the targets that came from the definition and are no longer in it, and
// their ids.
func dropRemovedTargets(ended *rollout.Snapshot, defined *definition) (present rollout.Snapshot, gone []string) {
	present = *ended
	if defined == nil || defined.request.Targets == nil || !ended.Deployment.Spec.FromDefinition {
		return present, nil
	}
	present.Targets = nil
	for i := range ended.Targets {
		id := ended.Targets[i].ID
		if slices.ContainsFunc(*defined.request.Targets, func(t types.TargetRequest) bool { return t.ID == id }) {
			present.Targets = append(present.Targets, ended.Targets[i])
		} else {
			gone = append(gone, id)
		}
	}
	return present, gone
}

// followUpResponse returns the deployment that a command created, now or before.
func (s *server) followUpResponse(ctx context.Context, d *rollout.Deployment) (gen.FollowUpCreatedJSONResponse, error) {
	body, err := s.presentDeployment(ctx, d)
	return gen.FollowUpCreatedJSONResponse{Body: body, Headers: gen.FollowUpCreatedResponseHeaders{Location: deploymentPath(d.ID)}}, err
}

// RetryDeployment creates a deployment for the targets that a finished one did not update.
func (s *server) RetryDeployment(
	ctx context.Context, in gen.RetryDeploymentRequestObject,
) (gen.RetryDeploymentResponseObject, error) {
	demand, err := httpkit.NewPrecondition(in.Params.IfMatch, nil)
	if err != nil {
		return nil, err
	}
	d, err := s.deployments.Deployment(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := checkDeployment(demand, &d); err != nil { // a finished one's revision never changes
		return nil, err
	}
	defined, err := s.storedDefinition(ctx, d.Service, d.Environment)
	if err != nil {
		return nil, err
	}
	again := func(ended *rollout.Snapshot) (storage.NewDeployment, error) {
		now := *ended
		now.Deployment.Spec.Protected = defined != nil && defined.protected // as it is now, and not as it was
		return command.NewRetry(&now)
	}
	defer httpkit.ExtendBudget(ctx, time.Duration(d.Counts.Total)*createPerTarget)()
	made, err := s.commands.CreateRetry(ctx, d.ID, s.newFollowUp(ctx, again, reasonOf(in.Body), defined))
	if err != nil {
		return nil, err
	}
	answer, err := s.followUpResponse(ctx, &made.Deployment)
	return gen.RetryDeployment202JSONResponse{FollowUpCreatedJSONResponse: answer}, err
}
