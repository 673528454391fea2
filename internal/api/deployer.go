package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"

	"rollcall/internal/api/httpkit"
	"rollcall/internal/api/types"
	"rollcall/internal/authz"
	"rollcall/internal/gitsource"
	"rollcall/internal/storage"
	"rollcall/internal/strategy/command"
)

// Deployer creates deployments for the server itself, with the checks, defaults, definitions and rules of HTTP requests.
type Deployer struct {
	s *server
}

// NewDeployer returns a Deployer; it requires the same configuration as New.
func NewDeployer(c Config) (*Deployer, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	return &Deployer{s: s}, nil
}

// queriesPerCall is how many queries a call of the Deployer may need. None of its callers waits for a response, so each query
// may take a whole budget.
const queriesPerCall = 5

func (d *Deployer) withBudget(ctx context.Context) (limited context.Context, stop func()) {
	return httpkit.WithQueryBudget(ctx, queriesPerCall*d.s.queryBudget)
}

// asSource returns a context whose caller is a source. Principals that may write sources decide what they may deploy.
func asSource(ctx context.Context, name string) context.Context {
	return withPrincipal(ctx, &authz.Principal{Name: "gitops:" + name, Role: authz.RoleDeployer, Scopes: authz.Everywhere()})
}

// Check returns the deployment that a body of POST /deployments would create, and stores nothing. CodeInvalid has the
// problems.
func (d *Deployer) Check(ctx context.Context, body []byte) (storage.NewDeployment, error) {
	request, err := decodeBody[types.DeploymentRequest](d.s, "POST /deployments", body)
	if err != nil {
		return storage.NewDeployment{}, err
	}
	ctx, stop := d.withBudget(ctx)
	defer stop()
	return d.s.prepareDeployment(ctx, &request)
}

// Deploy stores the deployment that a source asks for in the body, unless it was stored under that name of the source
// before: it then answers with that one, however long ago that was. A claim that is no longer held is CodeOwnershipLost.
func (d *Deployer) Deploy(
	ctx context.Context, body []byte, source *gitsource.Source, claim storage.SourceClaim, name string,
) (storage.Created, error) {
	ctx, stop := d.withBudget(asSource(ctx, source.Name))
	defer stop()
	key := storage.IdempotencyKey{Caller: "source:" + source.ID, Value: name, Hash: sha256.Sum256(body), NoExpiry: true}
	created, replayed, err := d.s.creation.CreatedUnderKey(ctx, key)
	if err != nil || replayed {
		return created, err
	}
	n, err := d.Check(ctx, body)
	if err != nil {
		return storage.Created{}, err
	}
	n.Key, n.Claim = key, &claim
	return d.s.storeDeployment(ctx, n)
}

// Abort ends a deployment for a source.
func (d *Deployer) Abort(ctx context.Context, id, source, why string) error {
	ctx, stop := d.withBudget(asSource(ctx, source))
	defer stop()
	_, err := d.s.runCommand(ctx, id, nil, command.Command{Kind: command.Abort, Reason: why})
	return err
}

// PutSource makes or changes a source as PUT /gitops/sources/{name} does. One that is so already is left alone.
func (d *Deployer) PutSource(ctx context.Context, name string, body []byte) error {
	request, err := decodeBody[types.GitSourceRequest](d.s, "PUT /gitops/sources/{name}", body)
	if err != nil {
		return err
	}
	ctx, stop := d.withBudget(ctx)
	defer stop()
	_, _, err = d.s.putSource(ctx, name, &request)
	return err
}

// decodeBody checks a body against the contract of an operation, and decodes it.
func decodeBody[T any](s *server, operation string, body []byte) (request T, err error) {
	schema := s.contract.routes[operation].Operation.RequestBody.Value.Content.Get("application/json").Schema.Value
	if err := validateBody(schema, body); err != nil {
		if refused, ok := err.(*httpkit.Refusal); ok { //nolint:errorlint // it is never wrapped
			err = httpkit.InvalidField("", refused.Detail)
		}
		return request, err
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return request, decodingError(err)
	}
	return request, nil
}
