package api

import (
	"context"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/dora"
	"rollcall/internal/feed"
	"rollcall/internal/gitsource"
	"rollcall/internal/notification"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// Store is what the API reads and writes, by resource: the server holds it by its parts. Its errors have the codes of
// problem: CodeNotFound, CodeConflict, CodeStale, CodeKeyReused, CodeInProgress, CodeInvalid (a forged cursor),
// CodeUnavailable.
type Store interface {
	deploymentStore
	creationStore
	commandStore
	keyStore
	definitionStore
	serviceStore
	statsStore
	sourceStore
	notificationStore
	tokenStore
	feed.Store
	Ping(ctx context.Context) error
}

// deploymentStore reads deployments. Lists and counts leave out what is not within the scopes.
type deploymentStore interface {
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
	Deployments(ctx context.Context, scopes authz.Scopes, f storage.Filter, p storage.Page) (storage.List[rollout.Deployment], error)
	Targets(ctx context.Context, id string, p storage.Page) (storage.List[rollout.Target], error)
	Events(ctx context.Context, id string, p storage.Page) (storage.List[rollout.Event], error)
	// RolledBackBy returns, for those of the deployments that were rolled back, by which deployment.
	RolledBackBy(ctx context.Context, ids []string) (map[string]string, error)
}

// creationStore creates deployments.
type creationStore interface {
	// CreatedUnderKey returns the deployment that was created under the key; false when the key is new.
	CreatedUnderKey(ctx context.Context, key storage.IdempotencyKey) (storage.Created, bool, error)
	CreateDeployment(ctx context.Context, n storage.NewDeployment) (storage.Created, error)
	// TargetRecords returns what is known of the targets of a service in an environment, by target id.
	TargetRecords(ctx context.Context, service, environment string) (map[string]storage.TargetRecord, error)
	// ActiveSlot returns the slot that serves, empty when none is known.
	ActiveSlot(ctx context.Context, service, environment string) (string, error)
}

// commandStore changes deployments and creates the ones that follow them.
type commandStore interface {
	// UpdateDeployment changes a deployment under its lock; without events nothing is written.
	UpdateDeployment(ctx context.Context, id string, ifRevision int64,
		change func(d *rollout.Deployment, now time.Time) ([]rollout.Event, error)) (rollout.Deployment, error)
	// CreateRollback and CreateRetry store what build makes of a finished deployment, once: called again they return the
	// same one, Replayed.
	CreateRollback(ctx context.Context, id string,
		build func(ended *rollout.Snapshot) (storage.NewDeployment, error)) (storage.Created, error)
	CreateRetry(ctx context.Context, id string,
		build func(ended *rollout.Snapshot) (storage.NewDeployment, error)) (storage.Created, error)
	// LatestDeployment returns the deployment that a rollback of the service in the environment applies to.
	LatestDeployment(ctx context.Context, service, environment string) (rollout.Deployment, error)
}

// keyStore carries requests out once per idempotency key.
type keyStore interface {
	// TakeKey begins a request under its key, or returns the response that it had before. Queries in a context that inside
	// makes are committed with the response by KeepResponse, or undone by DropKey.
	TakeKey(ctx context.Context, key storage.IdempotencyKey) (
		known *storage.Response, inside func(context.Context) context.Context, err error)
	KeepResponse(ctx context.Context, key storage.IdempotencyKey, a storage.Response) error
	DropKey(ctx context.Context)
}

// definitionStore keeps the definitions of services.
type definitionStore interface {
	// Definition is CodeNotFound when there is none.
	Definition(ctx context.Context, service, environment string) (catalog.Definition, error)
	// UpdateDefinition replaces the definition by what change makes of the present one (nil: there is none), or removes it
	// when change returns nil. Changes of one definition run one after the other; change is pure.
	UpdateDefinition(ctx context.Context, service, environment string,
		change func(present *catalog.Definition) (*catalog.Definition, error)) (catalog.Definition, error)
}

// serviceStore reads services and what they run.
type serviceStore interface {
	Services(ctx context.Context, scopes authz.Scopes, p storage.Page) (storage.List[catalog.Service], error)
	// RunningTargets returns what is known of the targets of the newest deployment; none when there was no deployment.
	RunningTargets(ctx context.Context, service, environment string) ([]catalog.RunningTarget, error)
	// RestingRouter returns what is known of the router since the last deployment that moved traffic; nil when it was not
	// read since.
	RestingRouter(ctx context.Context, service, environment string) (*storage.RestingRouter, error)
}

// statsStore aggregates deployments.
type statsStore interface {
	StateCounts(ctx context.Context, scopes authz.Scopes) ([]catalog.StateCount, error)
	ServiceCounts(ctx context.Context, scopes authz.Scopes) ([]catalog.ServiceCounts, error)
	DurationStats(ctx context.Context, scopes authz.Scopes, window time.Duration) (catalog.DurationStats, error)
	// DatabaseTime returns the database's time, by which deployments end.
	DatabaseTime(ctx context.Context) (time.Time, error)
	// DORAReport sums up the changes of the selection: all, and each service in each environment that has any.
	DORAReport(ctx context.Context, scopes authz.Scopes, sel dora.Query) (dora.Report, error)
}

// sourceStore keeps Git sources.
type sourceStore interface {
	// Source returns one with its files; CodeNotFound when there is none.
	Source(ctx context.Context, name string) (gitsource.Report, error)
	// Sources come without their files.
	Sources(ctx context.Context, p storage.Page) (storage.List[gitsource.Report], error)
	// UpdateSource replaces the source by what change makes of the present one (nil: there is none), removes it when change
	// returns nil, and leaves it when change returns what it was given; change is pure.
	UpdateSource(ctx context.Context, name string,
		change func(present *gitsource.Source) (*gitsource.Source, error)) (gitsource.Report, error)
	RequestSync(ctx context.Context, source string, ask gitsource.SyncRequest) error
}

// notificationStore keeps notifications and their deliveries.
type notificationStore interface {
	// Notification is CodeNotFound when there is none.
	Notification(ctx context.Context, name string) (notification.Subscription, error)
	Notifications(ctx context.Context, p storage.Page) (storage.List[notification.Subscription], error)
	// UpdateNotification replaces the notification by what change makes of the present one (nil: there is none), removes it
	// when change returns nil, and leaves it when change returns what it was given; change is pure.
	UpdateNotification(ctx context.Context, name string,
		change func(present *notification.Subscription) (*notification.Subscription, error)) (notification.Subscription, error)
	// Deliveries come newest first, with every attempt.
	Deliveries(ctx context.Context, name string, p storage.Page) (storage.List[notification.Delivery], error)
	// TestNotification requests the delivery of a test message.
	TestNotification(ctx context.Context, name string) (notification.Delivery, error)
}

// tokenStore keeps tokens. The Authenticator verifies and issues them.
type tokenStore interface {
	Token(ctx context.Context, id string) (authz.Token, error)
	Tokens(ctx context.Context, p storage.Page) (storage.List[authz.Token], error)
	RevokeToken(ctx context.Context, id string) error
}

// changeHints hints that a deployment may have changed.
type changeHints interface {
	SubscribeChanges(id string) (<-chan struct{}, func())
}
