package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// StateCounts counts the deployments within the scopes by state and strategy; what there is none of is left out.
func (s *Store) StateCounts(ctx context.Context, scopes authz.Scopes) ([]catalog.StateCount, error) {
	where, args := filterSQL(scopes, storage.Filter{}, nil)
	tallies, err := pg.QueryAll(ctx, s.db, pgx.RowToStructByPos[catalog.StateCount], talliesSQL(where), args...)
	return tallies, pg.Wrap("count the deployments", err)
}

func talliesSQL(where string) string {
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

// CountStuck counts the unfinished deployments without progress for 8 s: the next action is overdue, or it can be claimed
// and was not.
func (s *Store) CountStuck(ctx context.Context) (int, error) {
	const sql = `
		SELECT count(*) FROM deployments d
		WHERE d.finished_at IS NULL
			AND (d.started_at IS NOT NULL AND d.next_action_at < clock_timestamp() - interval '8s'
				OR d.next_run_at < clock_timestamp() - interval '8s' AND (d.owner IS NULL OR ` + pg.OwnerDead + `) AND ` + unblocked + ` AND ` + routerCalm + `)`
	n, err := pg.QueryOne(ctx, s.db, pgx.RowTo[int], sql)
	return n, pg.Wrap("count the stuck deployments", err)
}
