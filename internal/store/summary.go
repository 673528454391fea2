package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/rollout"
)

// maxServiceTallies bounds the list of ServiceTallies.
const maxServiceTallies = 200

// ServiceTallies counts the deployments within the scopes of the 200 services that have the most, those first.
func (s *Store) ServiceTallies(ctx context.Context, scopes rollout.Scopes) ([]rollout.ServiceTally, error) {
	where, args := conditions(scopes, rollout.Filter{}, nil)
	tallies, err := all(ctx, s.pool, pgx.RowToStructByPos[rollout.ServiceTally], serviceTalliesSQL(where), args...)
	return tallies, failed("count the deployments of each service", err)
}

// serviceTalliesSQL reads what the index deployments_counted has, and no row.
func serviceTalliesSQL(where string) string {
	return fmt.Sprintf(`
		SELECT service, sum(n)::bigint AS total, jsonb_object_agg(state, n)
		FROM (SELECT service, state, count(*) AS n FROM deployments d %s GROUP BY service, state) counted
		GROUP BY service ORDER BY total DESC, service LIMIT %d`, where, maxServiceTallies)
}

// durationsSQL has the statement's time: no index leads to one that changes from row to row. It reads what the index
// deployments_lasted has, and no row: so success is what a result says of a state and a kind.
func durationsSQL() string {
	return `
		SELECT count(*), count(*) FILTER (WHERE state = 'completed' OR state = 'rolled_back' AND kind = 'rollback'),
			coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds), 0),
			coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds), 0)
		FROM (SELECT state, kind, extract(epoch FROM finished_at - started_at)::float8 AS seconds FROM deployments d
			WHERE created_at >= statement_timestamp() - $1::interval AND started_at IS NOT NULL AND finished_at IS NOT NULL
				AND ($2 OR ` + within("d.service", "d.environment", 3, 4) + `)) ended`
}

// Durations sums up the deployments within the scopes that were created within the window before now, began, and have ended.
func (s *Store) Durations(ctx context.Context, scopes rollout.Scopes, window time.Duration) (rollout.DurationTally, error) {
	services, environments := scopeArrays(scopes)
	tally, err := one(ctx, s.pool, func(row pgx.CollectableRow) (rollout.DurationTally, error) {
		var t rollout.DurationTally
		var p50, p95 float64
		err := row.Scan(&t.Count, &t.Succeeded, &p50, &p95)
		t.P50, t.P95 = seconds(p50), seconds(p95)
		return t, err //nolint:wrapcheck // said below
	}, durationsSQL(), window, scopes.Whole(), services, environments)
	return tally, failed("sum up how long deployments took", err)
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
