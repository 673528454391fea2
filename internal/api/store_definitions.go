package api

import (
	"context"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/dora"
	"rollcall/internal/rollout"
)

// catalogueStore is the part of the Store that knows services: their definitions, and what runs.
type catalogueStore interface {
	// Definition is CodeNotFound when there is none.
	Definition(ctx context.Context, service, environment string) (catalog.Definition, error)
	// Define replaces the definition by what change makes of the present one (nil: there is none), or removes it when
	// change answers nil. Changes of one definition run one after the other; change is pure.
	Define(ctx context.Context, service, environment string,
		change func(present *catalog.Definition) (*catalog.Definition, error)) (catalog.Definition, error)
	Services(ctx context.Context, scopes authz.Scopes, p rollout.Page) (rollout.List[catalog.Service], error)
	// Running is what is known of the targets of the newest deployment; none when there was no deployment.
	Running(ctx context.Context, service, environment string) ([]catalog.RunningTarget, error)
	Tallies(ctx context.Context, scopes authz.Scopes) ([]catalog.StateCount, error)
	ServiceTallies(ctx context.Context, scopes authz.Scopes) ([]catalog.ServiceCounts, error)
	Durations(ctx context.Context, scopes authz.Scopes, window time.Duration) (catalog.DurationStats, error)
	// Clock is the database's clock, by which deployments end.
	Clock(ctx context.Context) (time.Time, error)
	// Dora sums up the changes of the selection: all, and each service in each environment that has any.
	Dora(ctx context.Context, scopes authz.Scopes, sel dora.Query) (dora.Report, error)
}

// Definition is Store.Definition within the limit.
func (b bounded) Definition(ctx context.Context, service, environment string) (catalog.Definition, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Definition(ctx, service, environment)
}

// Define is Store.Define within the limit.
func (b bounded) Define(
	ctx context.Context, service, environment string,
	change func(present *catalog.Definition) (*catalog.Definition, error),
) (catalog.Definition, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Define(ctx, service, environment, change)
}

// Services is Store.Services within the limit.
func (b bounded) Services(ctx context.Context, scopes authz.Scopes, p rollout.Page) (rollout.List[catalog.Service], error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Services(ctx, scopes, p)
}

// Running is Store.Running within the limit.
func (b bounded) Running(ctx context.Context, service, environment string) ([]catalog.RunningTarget, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Running(ctx, service, environment)
}

// Tallies is Store.Tallies within the limit.
func (b bounded) Tallies(ctx context.Context, scopes authz.Scopes) ([]catalog.StateCount, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Tallies(ctx, scopes)
}

// ServiceTallies is Store.ServiceTallies within the limit.
func (b bounded) ServiceTallies(ctx context.Context, scopes authz.Scopes) ([]catalog.ServiceCounts, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.ServiceTallies(ctx, scopes)
}

// Durations is Store.Durations within the limit.
func (b bounded) Durations(ctx context.Context, scopes authz.Scopes, window time.Duration) (catalog.DurationStats, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Durations(ctx, scopes, window)
}

// Clock is Store.Clock within the limit.
func (b bounded) Clock(ctx context.Context) (time.Time, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Clock(ctx)
}

// Dora is Store.Dora within the limit.
func (b bounded) Dora(ctx context.Context, scopes authz.Scopes, sel dora.Query) (dora.Report, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Dora(ctx, scopes, sel)
}
