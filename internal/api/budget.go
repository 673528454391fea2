package api

import (
	"context"
	"net/http"
	"sync"
	"time"
)

const (
	// defaultQueryBudget is how long all queries of one request may take together, so that a caller soon learns that the
	// database is away.
	defaultQueryBudget = 1500 * time.Millisecond
	// createPerTarget is what each target adds to that when a deployment is created.
	createPerTarget = time.Millisecond
)

// limitQueries sets the query budget of each request. It runs after the body is read: a slow caller costs nothing of it.
// Streams and long polls have none, since they query repeatedly: each of their queries has a budget of its own.
func (s *server) limitQueries(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isLongLived(r) {
			next.ServeHTTP(w, r)
			return
		}
		ctx, stop := withQueryBudget(r.Context(), s.queryBudget)
		defer stop()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// queryBudget is a context whose deadline can be moved, by extendBudget.
type queryBudget struct {
	context.Context //nolint:containedctx // it is a context itself, beyond that of the request

	done  chan struct{}
	timer *time.Timer

	mu       sync.Mutex
	deadline time.Time
	err      error
}

// withQueryBudget returns a context that ends when the budget is spent; ctx itself when it has a budget already. stop must
// be called.
func withQueryBudget(ctx context.Context, budget time.Duration) (limited context.Context, stop func()) {
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

// extendBudget extends the budget by more for the queries until end is called, which takes back what they did not need.
func extendBudget(ctx context.Context, more time.Duration) (end func()) {
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

// withoutBudget returns the context of the request itself, for calls to others than the database. They have limits of
// their own.
func withoutBudget(ctx context.Context) context.Context {
	if b, ok := ctx.Value(keyBudget).(*queryBudget); ok {
		return b.Context
	}
	return ctx
}
