package api

import (
	"context"
	"encoding/json"

	"rollcall/internal/api/gen"
	"rollcall/internal/catalog"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/strategy"
)

// GetDefinition reads a definition; its secret is never shown.
func (s *server) GetDefinition(
	ctx context.Context, in gen.GetDefinitionRequestObject,
) (gen.GetDefinitionResponseObject, error) {
	d, err := s.store.Definition(ctx, in.Service, in.Environment)
	if err != nil {
		return nil, err
	}
	tag := etag(d.Revision)
	if in.Params.IfNoneMatch != nil && matches(*in.Params.IfNoneMatch, tag) {
		return gen.GetDefinition304Response{Headers: gen.GetDefinition304ResponseHeaders{ETag: tag}}, nil
	}
	body, err := definitionJSON(&d)
	if err != nil {
		return nil, err
	}
	return gen.GetDefinition200JSONResponse{Body: body, Headers: gen.GetDefinition200ResponseHeaders{ETag: tag}}, nil
}

// definitionJSON is a definition as it was given, with the defaults that do not depend on a deployment filled in.
func definitionJSON(d *catalog.Definition) (gen.Definition, error) {
	given, err := definedRequest(d)
	if err != nil {
		return gen.Definition{}, err
	}
	body := underlay(gen.DeploymentRequest{}, &given)
	q := request{body: &body, masked: true}
	deploy, _ := q.deploy()
	shown := gen.Definition{
		Service: d.Service, Environment: d.Environment, Revision: d.Revision,
		Strategy: or(given.Strategy, json.RawMessage(`{"type":"`+strategy.DefaultType+`"}`)),
		Targets:  or(given.Targets, nil), HealthChecks: or(given.HealthChecks, []gen.CheckRequest{{Type: "http"}}),
		HealthyDeadline: or(given.HealthyDeadline, defaultHealthyDeadline.String()),
		Traffic:         shownTraffic(given.Traffic), TLS: (&request{masked: true}).tls(given.TLS), Force: or(given.Force, false),
		OnConflict: gen.DefinitionOnConflict(or(given.OnConflict, gen.OnConflict(rollout.OnConflictQueue))),
		Labels:     or(given.Labels, gen.Labels{}), Protected: d.Protected, Signed: d.DeploySecret != "",
		CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(),
	}
	shown.Deploy.Path, shown.Deploy.Timeout = deploy.Path, deploy.Timeout.String()
	shown.Deploy.Retries, shown.Deploy.Backoff = deploy.Retries, deploy.Backoff.String()
	return shown, nil
}

// shownTraffic resolves traffic that was found valid when it was stored; whether its address is allowed does not matter
// for showing it.
func shownTraffic(given *gen.TrafficRequest) *routing.Config {
	q := request{
		body: &gen.DeploymentRequest{Traffic: given}, checkAddress: func(string) error { return nil },
	}
	return q.traffic()
}
