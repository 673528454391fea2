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
	counts, err := queryCounts(ctx, s, pgx.RowToStructByPos[catalog.StateCount], scopes, stateCountsSQL)
	return counts, pg.Wrap("count the deployments", err)
}

// queryCounts runs a statement over what is counted. Once the figures are complete they stay so: the answer holds for what is
// read after it.
func queryCounts[T any](ctx context.Context, s *Store, scan pgx.RowToFunc[T], scopes authz.Scopes, sql func(counted string) string) ([]T, error) {
	complete, err := figuresComplete(ctx, s.db)
	if err != nil {
		return nil, err
	}
	where, args := filter.Deployments(scopes, storage.Filter{}, nil)
	return pg.QueryAll(ctx, s.db, scan, sql(countedSQL(where, complete)), args...)
}

func stateCountsSQL(counted string) string {
	return counted + `
		SELECT state, strategy, sum(n)::bigint FROM counted GROUP BY state, strategy ORDER BY state, strategy`
}

// countedSQL returns how many deployments there are, as the WITH of a statement: of those that have ended what the figures
// say, and before the figures are complete what the index deployments_counted has; of the others what is there now.
func countedSQL(where string, complete bool) string {
	if where == "" {
		where = "WHERE true"
	}
	const ofRows = `SELECT service, environment, state, strategy, count(*) AS n FROM deployments d `
	const groups = ` GROUP BY service, environment, state, strategy`
	if !complete {
		return `WITH counted AS (` + ofRows + where + groups + `)`
	}
	return `
	WITH counted AS (
		SELECT service, environment, state, strategy, n FROM figures_counts d ` + where + ` AND n > 0
		UNION ALL
		` + ofRows + where + ` AND d.finished_at IS NULL` + groups + `
	)`
}

// maxServiceCounts bounds the list of ServiceCounts.
const maxServiceCounts = 200

// ServiceCounts counts the deployments within the scopes of the 200 services that have the most, those first.
func (s *Store) ServiceCounts(ctx context.Context, scopes authz.Scopes) ([]catalog.ServiceCounts, error) {
	counts, err := queryCounts(ctx, s, pgx.RowToStructByPos[catalog.ServiceCounts], scopes, serviceCountsSQL)
	return counts, pg.Wrap("count the deployments of each service", err)
}

func serviceCountsSQL(counted string) string {
	return fmt.Sprintf(`%s
		SELECT service, sum(n)::bigint AS total, jsonb_object_agg(state, n)
		FROM (SELECT service, state, sum(n)::bigint AS n FROM counted d GROUP BY service, state) summed
		GROUP BY service ORDER BY total DESC, service LIMIT %d`, counted, maxServiceCounts)
}
