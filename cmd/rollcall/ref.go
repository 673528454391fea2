package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/google/uuid"

	"rollcall/internal/api/gen"
	"rollcall/internal/client"
)

// ref names a deployment: by its id, or as the newest of a service.
type ref struct {
	Deployment  string `arg:"" help:"A deployment's id, or a service for its newest one."`
	Environment string `short:"e" help:"Where the service is." default:"production"`
}

// id is the deployment's id.
func (r *ref) id(ctx context.Context, s *session) (string, error) {
	if isID(r.Deployment) {
		return r.Deployment, nil
	}
	d, err := s.newest(ctx, r.Deployment, r.Environment)
	return d.ID, err
}

// find reads the deployment.
func (r *ref) find(ctx context.Context, s *session) (gen.Deployment, error) {
	if isID(r.Deployment) {
		return client.Ask[gen.Deployment](ctx, s.client, client.Get("/deployments/"+r.Deployment, nil))
	}
	return s.newest(ctx, r.Deployment, r.Environment)
}

func isID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}

func (s *session) newest(ctx context.Context, service, environment string) (gen.Deployment, error) {
	query := url.Values{"service": {service}, "environment": {environment}}
	list, err := client.Items[gen.Deployment](ctx, s.client, "/deployments", query, 1)
	if err != nil {
		return gen.Deployment{}, err
	}
	if len(list) == 0 {
		return gen.Deployment{}, &wrongUseError{err: fmt.Errorf("there is no deployment of %s in %s", service, environment)}
	}
	return list[0], nil
}
