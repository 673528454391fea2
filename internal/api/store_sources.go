package api

import (
	"context"

	"rollcall/internal/gitsource"
	"rollcall/internal/rollout"
)

// sourceStore is the part of the Store that knows sources.
type sourceStore interface {
	// Source is one with its files; CodeNotFound when there is none.
	Source(ctx context.Context, name string) (gitsource.Report, error)
	// Sources come without their files.
	Sources(ctx context.Context, p rollout.Page) (rollout.List[gitsource.Report], error)
	// DefineSource replaces the source by what change makes of the present one (nil: there is none), removes it when change
	// answers nil, and leaves it when change answers what it was given; change is pure.
	DefineSource(ctx context.Context, name string,
		change func(present *gitsource.Source) (*gitsource.Source, error)) (gitsource.Report, error)
	AskSync(ctx context.Context, source string, ask gitsource.SyncRequest) error
}

// Source is Store.Source within the limit.
func (b bounded) Source(ctx context.Context, name string) (gitsource.Report, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Source(ctx, name)
}

// Sources is Store.Sources within the limit.
func (b bounded) Sources(ctx context.Context, p rollout.Page) (rollout.List[gitsource.Report], error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.Sources(ctx, p)
}

// DefineSource is Store.DefineSource within the limit.
func (b bounded) DefineSource(
	ctx context.Context, name string, change func(present *gitsource.Source) (*gitsource.Source, error),
) (gitsource.Report, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.DefineSource(ctx, name, change)
}

// AskSync is Store.AskSync within the limit.
func (b bounded) AskSync(ctx context.Context, source string, ask gitsource.SyncRequest) error {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.Store.AskSync(ctx, source, ask)
}
