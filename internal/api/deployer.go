package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"

	"rollcall/internal/api/types"
	"rollcall/internal/authz"
	"rollcall/internal/gitsource"
	"rollcall/internal/storage"
	"rollcall/internal/strategy/command"
)

// Deployer makes what the server wants by itself as if it had been asked over HTTP: the same checks, defaults, definitions
// and rules.
type Deployer struct {
	s *server
}

// NewDeployer needs of the configuration what New needs.
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

func (d *Deployer) limit(ctx context.Context) (limited context.Context, stop func()) {
	return withQueryBudget(ctx, queriesPerCall*d.s.queryBudget)
}

// asSource returns a context in which a source asks. Principals that may write sources decide what they may deploy.
func asSource(ctx context.Context, name string) context.Context {
	return withPrincipal(ctx, &authz.Principal{Name: "gitops:" + name, Role: authz.RoleDeployer, Scopes: authz.Everywhere()})
}

// Check reports what a body of POST /deployments would become, and stores nothing. CodeInvalid points at what is wrong.
func (d *Deployer) Check(ctx context.Context, body []byte) (storage.NewDeployment, error) {
	request, err := read[types.DeploymentRequest](d.s, "POST /deployments", body)
	if err != nil {
		return storage.NewDeployment{}, err
	}
	ctx, stop := d.limit(ctx)
	defer stop()
	return d.s.prepare(ctx, &request)
}

// Deploy stores the deployment that a source asks for in the body, unless it was stored under that name of the source
// before: it then answers with that one, however long ago that was. A claim that is no longer held is CodeOwnershipLost.
func (d *Deployer) Deploy(
	ctx context.Context, body []byte, source *gitsource.Source, claim storage.SourceClaim, name string,
) (storage.Created, error) {
	ctx, stop := d.limit(asSource(ctx, source.Name))
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
	return d.s.create(ctx, n)
}

// Abort ends a deployment for a source.
func (d *Deployer) Abort(ctx context.Context, id, source, why string) error {
	ctx, stop := d.limit(asSource(ctx, source))
	defer stop()
	_, err := d.s.runCommand(ctx, id, nil, command.Command{Kind: command.Abort, Reason: why})
	return err
}

// PutSource makes or changes a source as PUT /gitops/sources/{name} does. One that is so already is left alone.
func (d *Deployer) PutSource(ctx context.Context, name string, body []byte) error {
	request, err := read[types.GitSourceRequest](d.s, "PUT /gitops/sources/{name}", body)
	if err != nil {
		return err
	}
	ctx, stop := d.limit(ctx)
	defer stop()
	_, _, err = d.s.putSource(ctx, name, &request)
	return err
}

// read checks a body against the contract of an operation, and decodes it.
func read[T any](s *server, operation string, body []byte) (request T, err error) {
	schema := s.contract.routes[operation].Operation.RequestBody.Value.Content.Get("application/json").Schema.Value
	if err := validateBody(schema, body); err != nil {
		if refused, ok := err.(*refusal); ok { //nolint:errorlint // it is never wrapped
			err = invalidAt("", refused.detail)
		}
		return request, err
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return request, undecodable(err)
	}
	return request, nil
}
