package api

import (
	"net/http"
	"time"

	"rollcall/internal/api/httpkit"
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
		ctx, stop := httpkit.WithQueryBudget(r.Context(), s.queryBudget)
		defer stop()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
