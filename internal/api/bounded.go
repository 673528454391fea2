package api

import (
	"context"
	"sync"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/rollout"
)

const (
	// storeTimeout bounds the questions of one request to the store, so that it learns soon that the database is away.
	storeTimeout = 1500 * time.Millisecond
	// createPerTarget is what each target adds to that when a deployment is created.
	createPerTarget = time.Millisecond
)

// bounded asks a store, and all that a request asks ends within the limit, or as much later as it creates a large deployment.
// What is to be made of a deployment is asked for by that, which says how large it is.
type bounded struct {
	Store
	limit time.Duration
}

// Replay is Store.Replay within the limit.
func (b bounded) Replay(ctx context.Context, key rollout.IdempotencyKey) (rollout.Created, bool, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Replay(ctx, key)
}

// TakeKey is Store.TakeKey within the limit.
func (b bounded) TakeKey(
	ctx context.Context, key rollout.IdempotencyKey,
) (*rollout.Response, func(context.Context) context.Context, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.TakeKey(ctx, key)
}

// KeepResponse is Store.KeepResponse within the limit.
func (b bounded) KeepResponse(ctx context.Context, key rollout.IdempotencyKey, a rollout.Response) error {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.KeepResponse(ctx, key, a)
}

// Create is Store.Create within the limit and createPerTarget for each target. It may wait for another creation under the
// same key; the database may go away in the meantime, and the caller learns of that as soon as of a small question.
func (b bounded) Create(ctx context.Context, n rollout.NewDeployment) (rollout.Created, error) {
	ctx, cancel := b.creating(ctx, len(n.Targets))
	defer cancel()
	return b.Store.Create(ctx, n)
}

func (b bounded) creating(ctx context.Context, targets int) (context.Context, context.CancelFunc) {
	return b.within(ctx, time.Duration(targets)*createPerTarget)
}

// within is a question's share of what the request may still ask for, and so much more.
func (b bounded) within(ctx context.Context, more time.Duration) (context.Context, context.CancelFunc) {
	p, ok := ctx.Value(keyPatience).(*patience)
	if !ok {
		return context.WithTimeout(ctx, b.limit+more)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, b.limit-p.spent()+more)
	return ctx, func() {
		cancel()
		p.spend(max(0, time.Since(began)-more))
	}
}

// patience is how long the store took for all that one request asked it. Streams and waits have none: they ask again and
// again, and each question has the whole limit.
type patience struct {
	mu   sync.Mutex
	took time.Duration
}

func (p *patience) spent() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.took
}

func (p *patience) spend(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took += took
}

// Remembered is Store.Remembered within the limit.
func (b bounded) Remembered(ctx context.Context, service, environment string) (map[string]rollout.TargetRecord, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Remembered(ctx, service, environment)
}

// ActiveSlot is Store.ActiveSlot within the limit.
func (b bounded) ActiveSlot(ctx context.Context, service, environment string) (string, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.ActiveSlot(ctx, service, environment)
}

// RestingRouter is Store.RestingRouter within the limit.
func (b bounded) RestingRouter(ctx context.Context, service, environment string) (*rollout.RestingRouter, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.RestingRouter(ctx, service, environment)
}

// Deployment is Store.Deployment within the limit.
func (b bounded) Deployment(ctx context.Context, id string) (rollout.Deployment, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Deployment(ctx, id)
}

// Deployments is Store.Deployments within the limit.
func (b bounded) Deployments(
	ctx context.Context, scopes authz.Scopes, f rollout.Filter, p rollout.Page,
) (rollout.List[rollout.Deployment], error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Deployments(ctx, scopes, f, p)
}

// Targets is Store.Targets within the limit.
func (b bounded) Targets(ctx context.Context, id string, p rollout.Page) (rollout.List[rollout.Target], error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Targets(ctx, id, p)
}

// Events is Store.Events within the limit.
func (b bounded) Events(ctx context.Context, id string, p rollout.Page) (rollout.List[rollout.Event], error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Events(ctx, id, p)
}

// DeploymentsByID is Store.DeploymentsByID within the limit.
func (b bounded) DeploymentsByID(ctx context.Context, ids []string) ([]rollout.Deployment, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.DeploymentsByID(ctx, ids)
}

// EventsOf is Store.EventsOf within the limit.
func (b bounded) EventsOf(ctx context.Context, id string, after, upTo int64, limit int) ([]rollout.Event, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.EventsOf(ctx, id, after, upTo, limit)
}

// SeqAt is Store.SeqAt within the limit.
func (b bounded) SeqAt(ctx context.Context, id string, eventID int64) (int64, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.SeqAt(ctx, id, eventID)
}

// HasEvent is Store.HasEvent within the limit.
func (b bounded) HasEvent(ctx context.Context, eventID int64) (bool, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.HasEvent(ctx, eventID)
}

// LastCommon is Store.LastCommon within the limit.
func (b bounded) LastCommon(ctx context.Context, marks []rollout.EventMark) (int64, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.LastCommon(ctx, marks)
}

// EventsOfAll is Store.EventsOfAll within the limit.
func (b bounded) EventsOfAll(ctx context.Context, after, upTo int64, limit int) ([]rollout.Event, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.EventsOfAll(ctx, after, upTo, limit)
}

// EndOfEvents is Store.EndOfEvents within the limit.
func (b bounded) EndOfEvents(ctx context.Context) (int64, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.EndOfEvents(ctx)
}

// ReadTail is Store.ReadTail within the limit.
func (b bounded) ReadTail(ctx context.Context, t rollout.EventCursor, limit int) ([]rollout.Event, rollout.EventCursor, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.ReadTail(ctx, t, limit)
}

// Ping is Store.Ping within the limit.
func (b bounded) Ping(ctx context.Context) error {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Ping(ctx)
}

// Update is Store.Update within the limit.
func (b bounded) Update(
	ctx context.Context, id string, ifRevision int64,
	change func(d *rollout.Deployment, now time.Time) ([]rollout.Event, error),
) (rollout.Deployment, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Update(ctx, id, ifRevision, change)
}

// CreateRollback is Store.CreateRollback within the limit of a creation of as many targets.
func (b bounded) CreateRollback(
	ctx context.Context, of *rollout.Deployment, build func(*rollout.Snapshot) (rollout.NewDeployment, error),
) (rollout.Created, error) {
	ctx, cancel := b.creating(ctx, of.Counts.Total)
	defer cancel()
	return b.Store.CreateRollback(ctx, of.ID, build)
}

// CreateRetry is Store.CreateRetry within the limit of a creation of as many targets.
func (b bounded) CreateRetry(
	ctx context.Context, of *rollout.Deployment, build func(*rollout.Snapshot) (rollout.NewDeployment, error),
) (rollout.Created, error) {
	ctx, cancel := b.creating(ctx, of.Counts.Total)
	defer cancel()
	return b.Store.CreateRetry(ctx, of.ID, build)
}

// Latest is Store.Latest within the limit.
func (b bounded) Latest(ctx context.Context, service, environment string) (rollout.Deployment, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Latest(ctx, service, environment)
}

// RolledBackBy is Store.RolledBackBy within the limit.
func (b bounded) RolledBackBy(ctx context.Context, ids []string) (map[string]string, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.RolledBackBy(ctx, ids)
}
