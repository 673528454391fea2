package api

import (
	"context"
	"errors"
	"strings"

	"rollcall/internal/api/gen"
	"rollcall/internal/problem"
	"rollcall/internal/secret"
)

// definition is a registered request, read back; nil stands for none.
type definition struct {
	request   gen.DefinitionRequest
	secret    secret.Secret
	protected bool
}

// definition reads what is registered of a service in an environment.
func (s *server) definition(ctx context.Context, service, environment string) (*definition, error) {
	stored, err := s.store.Definition(ctx, service, environment)
	if problem.CodeOf(err) == problem.CodeNotFound {
		return nil, nil //nolint:nilnil // no definition is an ordinary answer
	}
	if err != nil {
		return nil, err
	}
	request, err := definedRequest(&stored)
	if err != nil {
		return nil, err
	}
	return &definition{request: request, secret: stored.DeploySecret, protected: stored.Protected}, nil
}

// underlay is the body with what it leaves out taken from the definition, field by field at the top level.
func underlay(body gen.DeploymentRequest, d *gen.DefinitionRequest) gen.DeploymentRequest {
	body.Strategy = given(body.Strategy, d.Strategy)
	body.Targets = given(body.Targets, d.Targets)
	body.Deploy = given(body.Deploy, d.Deploy)
	body.HealthChecks = given(body.HealthChecks, d.HealthChecks)
	body.HealthyDeadline = given(body.HealthyDeadline, d.HealthyDeadline)
	body.Traffic = given(body.Traffic, d.Traffic)
	body.TLS = given(body.TLS, d.TLS)
	body.Force = given(body.Force, d.Force)
	body.OnConflict = given(body.OnConflict, d.OnConflict)
	body.Labels = given(body.Labels, d.Labels)
	return body
}

// given is the first of two that is there.
func given[T any](first, second *T) *T {
	if first != nil {
		return first
	}
	return second
}

// blame says of each problem that the body itself does not have that it comes from the definition.
func blame(err error, body *gen.DeploymentRequest) error {
	e, ok := errors.AsType[*problem.Error](err)
	if !ok || e.Code != problem.CodeInvalid {
		return err
	}
	inline := map[string]bool{
		"strategy": body.Strategy != nil, "targets": body.Targets != nil, "deploy": body.Deploy != nil,
		"health_checks": body.HealthChecks != nil, "healthy_deadline": body.HealthyDeadline != nil,
		"traffic": body.Traffic != nil, "tls": body.TLS != nil, "force": body.Force != nil, "on_conflict": body.OnConflict != nil,
		"labels": body.Labels != nil,
	}
	blamed := *e
	blamed.Fields = nil
	for _, p := range e.Fields {
		field, _, _ := strings.Cut(strings.TrimPrefix(p.Pointer, "/"), "/")
		if own, known := inline[field]; known && !own {
			p.Detail += " (in the definition)"
		}
		blamed.Fields = append(blamed.Fields, p)
	}
	return &blamed
}

// definitionPath is where a definition is found.
func definitionPath(service, environment string) string {
	return "/services/" + service + "/environments/" + environment
}
