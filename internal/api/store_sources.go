package api

import (
	"context"

	"rollcall/internal/rollout"
)

// sourceStore is the part of the Store that knows sources.
type sourceStore interface {
	// Source is one with its files; CodeNotFound when there is none.
	Source(ctx context.Context, name string) (rollout.SourceReport, error)
	// Sources come without their files.
	Sources(ctx context.Context, p rollout.Page) (rollout.List[rollout.SourceReport], error)
	// DefineSource replaces the source by what change makes of the present one (nil: there is none), removes it when change
	// answers nil, and leaves it when change answers what it was given; change is pure.
	DefineSource(ctx context.Context, name string,
		change func(present *rollout.Source) (*rollout.Source, error)) (rollout.SourceReport, error)
	AskSync(ctx context.Context, source string, ask rollout.SyncAsk) error
}

// Source is Store.Source within the limit.
func (b bounded) Source(ctx context.Context, name string) (rollout.SourceReport, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Source(ctx, name)
}

// Sources is Store.Sources within the limit.
func (b bounded) Sources(ctx context.Context, p rollout.Page) (rollout.List[rollout.SourceReport], error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Sources(ctx, p)
}

// DefineSource is Store.DefineSource within the limit.
func (b bounded) DefineSource(
	ctx context.Context, name string, change func(present *rollout.Source) (*rollout.Source, error),
) (rollout.SourceReport, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.DefineSource(ctx, name, change)
}

// AskSync is Store.AskSync within the limit.
func (b bounded) AskSync(ctx context.Context, source string, ask rollout.SyncAsk) error {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.AskSync(ctx, source, ask)
}
