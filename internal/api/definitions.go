package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/httpkit"
	"rollcall/internal/api/types"
	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/secret"
	"rollcall/internal/strategy"
)

// definition is a registered request, read back; nil stands for none.
type definition struct {
	request   types.DefinitionRequest
	secret    secret.Secret
	protected bool
}

// storedDefinition reads the definition of a service in an environment; nil when there is none.
func (s *server) storedDefinition(ctx context.Context, service, environment string) (*definition, error) {
	stored, err := s.definitions.Definition(ctx, service, environment)
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

// withDefaults returns the body with missing top-level fields taken from the definition.
func withDefaults(body types.DeploymentRequest, d *types.DefinitionRequest) types.DeploymentRequest {
	body.Strategy = firstSet(body.Strategy, d.Strategy)
	body.Targets = firstSet(body.Targets, d.Targets)
	body.Deploy = firstSet(body.Deploy, d.Deploy)
	body.HealthChecks = firstSet(body.HealthChecks, d.HealthChecks)
	body.HealthyDeadline = firstSet(body.HealthyDeadline, d.HealthyDeadline)
	body.Traffic = firstSet(body.Traffic, d.Traffic)
	body.TLS = firstSet(body.TLS, d.TLS)
	body.Force = firstSet(body.Force, d.Force)
	body.OnConflict = firstSet(body.OnConflict, d.OnConflict)
	body.Labels = firstSet(body.Labels, d.Labels)
	return body
}

// firstSet returns the first of two that is not nil.
func firstSet[T any](first, second *T) *T {
	if first != nil {
		return first
	}
	return second
}

// attributeToDefinition marks each problem that comes from the definition, not from the body.
func attributeToDefinition(err error, body *types.DeploymentRequest) error {
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
	attributed := *e
	attributed.Fields = nil
	for _, p := range e.Fields {
		field, _, _ := strings.Cut(strings.TrimPrefix(p.Pointer, "/"), "/")
		if own, known := inline[field]; known && !own {
			p.Detail += " (in the definition)"
		}
		attributed.Fields = append(attributed.Fields, p)
	}
	return &attributed
}

// definitionPath returns the path of a definition.
func definitionPath(service, environment string) string {
	return "/services/" + service + "/environments/" + environment
}

// GetDefinition reads a definition; its secret is never shown.
func (s *server) GetDefinition(
	ctx context.Context, in gen.GetDefinitionRequestObject,
) (gen.GetDefinitionResponseObject, error) {
	d, err := s.definitions.Definition(ctx, in.Service, in.Environment)
	if err != nil {
		return nil, err
	}
	tag := httpkit.ETag(d.Revision)
	if in.Params.IfNoneMatch != nil && httpkit.MatchesETag(*in.Params.IfNoneMatch, tag) {
		return gen.GetDefinition304Response{Headers: gen.GetDefinition304ResponseHeaders{ETag: tag}}, nil
	}
	body, err := definitionJSON(&d)
	if err != nil {
		return nil, err
	}
	return gen.GetDefinition200JSONResponse{Body: body, Headers: gen.GetDefinition200ResponseHeaders{ETag: tag}}, nil
}

// definitionJSON returns a definition as it was given, with the defaults that do not depend on a deployment filled in.
func definitionJSON(d *catalog.Definition) (types.Definition, error) {
	given, err := definedRequest(d)
	if err != nil {
		return types.Definition{}, err
	}
	body := withDefaults(types.DeploymentRequest{}, &given)
	q := request{body: &body, masked: true}
	deploy, _ := q.readDeploy()
	shown := types.Definition{
		Service: d.Service, Environment: d.Environment, Revision: d.Revision,
		Strategy: valueOr(given.Strategy, json.RawMessage(`{"type":"`+strategy.DefaultType+`"}`)),
		Targets:  valueOr(given.Targets, nil), HealthChecks: valueOr(given.HealthChecks, []types.CheckRequest{{Type: "http"}}),
		HealthyDeadline: valueOr(given.HealthyDeadline, defaultHealthyDeadline.String()),
		Traffic:         shownTraffic(given.Traffic), TLS: (&request{masked: true}).readTLS(given.TLS), Force: valueOr(given.Force, false),
		Deploy: deploy, OnConflict: types.DefinitionOnConflict(valueOr(given.OnConflict, types.OnConflict(rollout.OnConflictQueue))),
		Labels: valueOr(given.Labels, types.Labels{}), Protected: d.Protected, Signed: d.DeploySecret != "",
		CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(),
	}
	return shown, nil
}

// shownTraffic resolves traffic that was found valid when it was stored; whether its address is allowed does not matter
// for showing it.
func shownTraffic(given *types.TrafficRequest) *routing.Config {
	q := request{
		body: &types.DeploymentRequest{Traffic: given}, checkAddress: func(string) error { return nil },
	}
	return q.readTraffic()
}

// PutDefinition creates or replaces a definition. It is valid if a deployment with it would be.
func (s *server) PutDefinition(
	ctx context.Context, in gen.PutDefinitionRequestObject,
) (gen.PutDefinitionResponseObject, error) {
	demand, err := httpkit.NewPrecondition(in.Params.IfMatch, in.Params.IfNoneMatch)
	if err != nil {
		return nil, err
	}
	var f findings
	in.Body.Deploy = f.expandPreset(in.Body.Deploy)
	if err := f.err(); err != nil {
		return nil, err
	}
	asked, err := s.readDefinition(ctx, in)
	if err != nil {
		return nil, err
	}
	created := false
	stored, err := s.definitions.UpdateDefinition(ctx, in.Service, in.Environment,
		func(present *catalog.Definition) (*catalog.Definition, error) {
			if err := authorizeChange(ctx, present, asked.Protected); err != nil {
				return nil, err
			}
			next, revision := asked, int64(0)
			if created = present == nil; present != nil {
				revision = present.Revision
			}
			if err := demand.CheckRevision(revision); err != nil {
				return nil, err
			}
			return &next, carryOver(&next, in.Body, present)
		})
	if err != nil {
		return nil, err
	}
	body, err := definitionJSON(&stored)
	if err != nil {
		return nil, err
	}
	tag := httpkit.ETag(stored.Revision)
	if created {
		return gen.PutDefinition201JSONResponse{Body: body, Headers: gen.PutDefinition201ResponseHeaders{
			ETag: tag, Location: definitionPath(in.Service, in.Environment),
		}}, nil
	}
	return gen.PutDefinition200JSONResponse{Body: body, Headers: gen.PutDefinition200ResponseHeaders{ETag: tag}}, nil
}

// readDefinition validates the body as that of a deployment, and separates its secret.
func (s *server) readDefinition(ctx context.Context, in gen.PutDefinitionRequestObject) (catalog.Definition, error) {
	body := withDefaults(types.DeploymentRequest{Service: in.Service, Environment: &in.Environment}, in.Body)
	q := s.newRequest(&body)
	q.masked = true
	if valueOr(in.Body.Service, in.Service) != in.Service {
		q.add("/service", "must match the path")
	}
	if valueOr(in.Body.Environment, in.Environment) != in.Environment {
		q.add("/environment", "must match the path")
	}
	q.parseBody(ctx)
	if err := q.fillFromDefinition(nil); err != nil {
		return catalog.Definition{}, err
	}
	if _, err := strategy.Prepare(q.deployment, q.targets, valueOr(body.Strategy, nil), nil); err != nil {
		return catalog.Definition{}, err
	}
	kept, err := json.Marshal(withoutSecret(*in.Body))
	if err != nil {
		return catalog.Definition{}, fmt.Errorf("encode the definition of %s in %s: %w", in.Service, in.Environment, err)
	}
	return catalog.Definition{Body: kept, DeploySecret: q.deployment.DeploySecret, Protected: valueOr(in.Body.Protected, false)}, nil
}

// authorizeChange requires an admin to protect a definition, and to change or remove a protected one.
func authorizeChange(ctx context.Context, present *catalog.Definition, protect bool) error {
	who := principalOf(ctx)
	if (protect || present != nil && present.Protected) && !who.Role.Has(authz.PermissionAdmin) {
		return errMissingRole(who, authz.PermissionAdmin)
	}
	return nil
}

// withoutSecret returns a definition as it is stored: without the secret and the fields that have columns of their own.
func withoutSecret(d types.DefinitionRequest) types.DefinitionRequest {
	d.Service, d.Environment, d.Protected = nil, nil, nil
	if d.Deploy != nil {
		deploy := *d.Deploy
		deploy.Secret = nil
		d.Deploy = &deploy
	}
	return d
}

// DeleteDefinition deletes a definition. Deployments and the records of targets are unaffected.
func (s *server) DeleteDefinition(
	ctx context.Context, in gen.DeleteDefinitionRequestObject,
) (gen.DeleteDefinitionResponseObject, error) {
	demand, err := httpkit.NewPrecondition(in.Params.IfMatch, nil)
	if err != nil {
		return nil, err
	}
	_, err = s.definitions.UpdateDefinition(ctx, in.Service, in.Environment,
		func(present *catalog.Definition) (*catalog.Definition, error) {
			if present == nil {
				if err := demand.CheckRevision(0); err != nil {
					return nil, err
				}
				return nil, errNotFound("no definition of " + in.Service + " in " + in.Environment)
			}
			if err := authorizeChange(ctx, present, false); err != nil {
				return nil, err
			}
			return nil, demand.CheckRevision(present.Revision)
		})
	if err != nil {
		return nil, err
	}
	return gen.DeleteDefinition204Response{}, nil
}
