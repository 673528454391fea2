package statstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/storage"
	"rollcall/internal/store/filter"
	"rollcall/internal/store/pg"
)

// StateCounts counts the deployments within the scopes by state and strategy; what there is none of is left out.
func (s *Store) StateCounts(ctx context.Context, scopes authz.Scopes) ([]catalog.StateCount, error) {
	where, args := filter.Deployments(scopes, storage.Filter{}, nil)
	counts, err := pg.QueryAll(ctx, s.db, pgx.RowToStructByPos[catalog.StateCount], stateCountsSQL(where), args...)
	return counts, pg.Wrap("count the deployments", err)
}

func stateCountsSQL(where string) string {
	return countedSQL(where) + `
		SELECT state, strategy, sum(n)::bigint FROM counted GROUP BY state, strategy ORDER BY state, strategy`
}

// countedSQL returns how many deployments there are, as the WITH of a statement: of those that have ended what the figures
// say, and before the figures are complete what the index deployments_counted has; of the others, which are few, what is
// there now.
func countedSQL(where string) string {
	if where == "" {
		where = "WHERE true"
	}
	return `
	WITH complete AS MATERIALIZED (SELECT coalesce((SELECT done FROM figures_backfill), false) AS done), counted AS (
		SELECT service, environment, state, strategy, n FROM figures_counts d ` + where + ` AND (SELECT done FROM complete) AND n > 0
		UNION ALL
		SELECT service, environment, state, strategy, count(*) FROM deployments d ` + where + ` AND (SELECT done FROM complete)
			AND d.finished_at IS NULL GROUP BY service, environment, state, strategy
		UNION ALL
		SELECT service, environment, state, strategy, count(*) FROM deployments d ` + where + ` AND NOT (SELECT done FROM complete)
			GROUP BY service, environment, state, strategy
	)`
}

// maxServiceCounts bounds the list of ServiceCounts.
const maxServiceCounts = 200

// ServiceCounts counts the deployments within the scopes of the 200 services that have the most, those first.
func (s *Store) ServiceCounts(ctx context.Context, scopes authz.Scopes) ([]catalog.ServiceCounts, error) {
	where, args := filter.Deployments(scopes, storage.Filter{}, nil)
	counts, err := pg.QueryAll(ctx, s.db, pgx.RowToStructByPos[catalog.ServiceCounts], serviceCountsSQL(where), args...)
	return counts, pg.Wrap("count the deployments of each service", err)
}

func serviceCountsSQL(where string) string {
	return fmt.Sprintf(`%s
		SELECT service, sum(n)::bigint AS total, jsonb_object_agg(state, n)
		FROM (SELECT service, state, sum(n)::bigint AS n FROM counted d GROUP BY service, state) summed
		GROUP BY service ORDER BY total DESC, service LIMIT %d`, countedSQL(where), maxServiceCounts)
}
