package httpkit

import (
	"context"
	"sync"
	"time"
)

// queryBudget is a context whose deadline can be moved, by ExtendBudget.
type queryBudget struct {
	context.Context //nolint:containedctx // it is a context itself, beyond that of the request

	done  chan struct{}
	timer *time.Timer

	mu       sync.Mutex
	deadline time.Time
	err      error
}

// WithQueryBudget returns a context that ends when the budget is spent; ctx itself when it has a budget already. stop must
// be called.
func WithQueryBudget(ctx context.Context, budget time.Duration) (limited context.Context, stop func()) {
	if ctx.Value(keyBudget) != nil {
		return ctx, func() {}
	}
	b := &queryBudget{Context: ctx, done: make(chan struct{}), deadline: time.Now().Add(budget)}
	b.timer = time.AfterFunc(budget, func() { b.endWith(context.DeadlineExceeded) })
	detach := context.AfterFunc(ctx, func() { b.endWith(ctx.Err()) })
	return b, func() {
		detach()
		b.timer.Stop()
		b.endWith(context.Canceled)
	}
}

func (b *queryBudget) endWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
		close(b.done)
	}
}

// Deadline implements context.Context.
func (b *queryBudget) Deadline() (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.deadline, true
}

// Done implements context.Context.
func (b *queryBudget) Done() <-chan struct{} { return b.done }

// Err implements context.Context.
func (b *queryBudget) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Value implements context.Context, and leads to the budget.
func (b *queryBudget) Value(key any) any {
	if key == keyBudget {
		return b
	}
	return b.Context.Value(key)
}

// ExtendBudget extends the budget by more for the queries until end is called, which takes back what they did not need.
func ExtendBudget(ctx context.Context, more time.Duration) (end func()) {
	b, ok := ctx.Value(keyBudget).(*queryBudget)
	if !ok {
		return func() {}
	}
	began := time.Now()
	b.moveDeadline(more)
	return func() { b.moveDeadline(min(0, time.Since(began)-more)) }
}

func (b *queryBudget) moveDeadline(by time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deadline = b.deadline.Add(by)
	if b.err == nil {
		b.timer.Reset(time.Until(b.deadline))
	}
}

// WithoutBudget returns the context of the request itself, for calls to others than the database. They have limits of
// their own.
func WithoutBudget(ctx context.Context) context.Context {
	if b, ok := ctx.Value(keyBudget).(*queryBudget); ok {
		return b.Context
	}
	return ctx
}
