package api

import (
	"context"
	"encoding/json"
	"fmt"

	"rollcall/internal/api/gen"
	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/strategy"
)

// PutDefinition registers what a service is in an environment. It is valid when a deployment with it would be.
func (s *server) PutDefinition(
	ctx context.Context, in gen.PutDefinitionRequestObject,
) (gen.PutDefinitionResponseObject, error) {
	demand := precondition{in.Params.IfMatch, in.Params.IfNoneMatch}
	if err := demand.check(); err != nil {
		return nil, err
	}
	asked, err := s.readDefinition(ctx, in)
	if err != nil {
		return nil, err
	}
	created := false
	stored, err := s.store.Define(ctx, in.Service, in.Environment,
		func(present *catalog.Definition) (*catalog.Definition, error) {
			if err := mayChange(ctx, present, asked.Protected); err != nil {
				return nil, err
			}
			next, revision := asked, int64(0)
			if created = present == nil; present != nil {
				revision = present.Revision
			}
			if err := demand.met(revision); err != nil {
				return nil, err
			}
			return &next, inherit(&next, in.Body, present)
		})
	if err != nil {
		return nil, err
	}
	body, err := definitionJSON(&stored)
	if err != nil {
		return nil, err
	}
	tag := etag(stored.Revision)
	if created {
		return gen.PutDefinition201JSONResponse{Body: body, Headers: gen.PutDefinition201ResponseHeaders{
			ETag: tag, Location: definitionPath(in.Service, in.Environment),
		}}, nil
	}
	return gen.PutDefinition200JSONResponse{Body: body, Headers: gen.PutDefinition200ResponseHeaders{ETag: tag}}, nil
}

// readDefinition checks the body as that of a deployment, and takes the secret out of it.
func (s *server) readDefinition(ctx context.Context, in gen.PutDefinitionRequestObject) (catalog.Definition, error) {
	body := underlay(gen.DeploymentRequest{Service: in.Service, Environment: &in.Environment}, in.Body)
	q := request{body: &body, checkAddress: s.checkAddress, checkTrust: s.checkTrust, checkCommand: s.checkCommand, masked: true}
	if or(in.Body.Service, in.Service) != in.Service {
		q.add("/service", "must be that of the path")
	}
	if or(in.Body.Environment, in.Environment) != in.Environment {
		q.add("/environment", "must be that of the path")
	}
	d, targets, err := q.read(ctx)
	if err != nil {
		return catalog.Definition{}, err
	}
	if _, err := strategy.Prepare(d, targets, or(body.Strategy, nil), nil); err != nil {
		return catalog.Definition{}, err
	}
	kept, err := json.Marshal(withoutSecret(*in.Body))
	if err != nil {
		return catalog.Definition{}, fmt.Errorf("encode the definition of %s in %s: %w", in.Service, in.Environment, err)
	}
	return catalog.Definition{Body: kept, DeploySecret: d.DeploySecret, Protected: or(in.Body.Protected, false)}, nil
}

// mayChange lets only an admin protect, and change or remove what is protected: whoever could would need nobody's approval.
func mayChange(ctx context.Context, present *catalog.Definition, protect bool) error {
	who := asker(ctx)
	if (protect || present != nil && present.Protected) && !who.Role.Has(authz.PermissionAdmin) {
		return lacks(who, authz.PermissionAdmin)
	}
	return nil
}

// withoutSecret is a definition as it is kept: what the row knows by itself, and the secret, are left out.
func withoutSecret(d gen.DefinitionRequest) gen.DefinitionRequest {
	d.Service, d.Environment, d.Protected = nil, nil, nil
	if d.Deploy != nil {
		deploy := *d.Deploy
		deploy.Secret = nil
		d.Deploy = &deploy
	}
	return d
}
