package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/google/uuid"

	"rollcall/internal/api/types"
	"rollcall/internal/client"
)

// ref names a deployment: by its id, or as the newest of a service.
type ref struct {
	Deployment  string `arg:"" help:"A deployment's id, or a service for its newest one."`
	Environment string `short:"e" help:"The service's environment." default:"production"`
}

// resolveID returns the deployment's id.
func (r *ref) resolveID(ctx context.Context, a *app) (string, error) {
	if isID(r.Deployment) {
		return r.Deployment, nil
	}
	d, err := a.newestDeployment(ctx, r.Deployment, r.Environment)
	return d.ID, err
}

// findDeployment returns the deployment.
func (r *ref) findDeployment(ctx context.Context, a *app) (types.Deployment, error) {
	if isID(r.Deployment) {
		return client.Call[types.Deployment](ctx, a.client, client.Get("/deployments/"+r.Deployment, nil))
	}
	return a.newestDeployment(ctx, r.Deployment, r.Environment)
}

func isID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}

func (a *app) newestDeployment(ctx context.Context, service, environment string) (types.Deployment, error) {
	query := url.Values{"service": {service}, "environment": {environment}}
	list, err := client.List[types.Deployment](ctx, a.client, "/deployments", query, 1)
	if err != nil {
		return types.Deployment{}, err
	}
	if len(list) == 0 {
		return types.Deployment{}, &usageError{err: fmt.Errorf("no deployment of %s in %s", service, environment)}
	}
	return list[0], nil
}
