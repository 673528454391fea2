package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/rollout"
)

// maxDora bounds the list of Dora.
const maxDora = 200

// doraSQL sums up, in three steps that stand above each other: the changes that ended, when each failed, and when that
// was put right. The sum of all comes first.
func doraSQL() string {
	return `
	WITH changes AS (
		SELECT d.id, d.service, d.environment, d.state, d.finished_at,
			CASE WHEN d.state = 'completed'
				THEN (SELECT min(u.created_at) FROM deployments u
					WHERE u.rollback_of = d.id AND u.started_at IS NOT NULL AND u.state <> 'superseded')
				ELSE coalesce((SELECT min(e.at) FROM deployment_events e
					WHERE e.deployment_id = d.id AND e.type = 'deployment.rollback_started'), d.finished_at) END AS failed_at,
			CASE WHEN d.state = 'completed' AND NOT EXISTS (SELECT FROM deployments b
					WHERE b.kind = 'deploy' AND b.state = 'completed' AND b.service = d.service AND b.environment = d.environment
						AND b.version = d.version AND b.finished_at < d.finished_at)
				THEN d.finished_at - d.committed_at END AS lead
		FROM deployments d
		WHERE d.finished_at >= $1 AND d.finished_at < $2 AND d.kind = 'deploy' AND d.state <> 'superseded'
			AND (d.counts->>'updated')::int + (d.counts->>'failed')::int + (d.counts->>'unknown')::int + (d.counts->>'rolled_back')::int > 0
			AND ($3 = '' OR d.service = $3) AND ($4 = '' OR d.environment = $4)
			AND ($5 OR ` + within("d.service", "d.environment", 6, 7) + `)
	), judged AS (
		SELECT c.*, CASE WHEN c.state = 'rolled_back' THEN c.finished_at
			ELSE (SELECT min(g.finished_at) FROM deployments g WHERE (g.result->>'success')::boolean
				AND g.service = c.service AND g.environment = c.environment AND g.finished_at > c.failed_at) END AS recovered_at
		FROM changes c
	), timed AS (
		SELECT *, extract(epoch FROM recovered_at - failed_at)::float8 AS recovery,
			CASE WHEN lead >= interval '0' THEN extract(epoch FROM lead)::float8 END AS leads
		FROM judged
	)
	SELECT coalesce(service, ''), coalesce(environment, ''), count(*), count(*) FILTER (WHERE state = 'completed'),
		count(failed_at), count(*) FILTER (WHERE failed_at IS NOT NULL AND recovered_at IS NULL),
		count(recovery), ` + spread("recovery") + `, count(leads), ` + spread("leads") + `
	FROM timed GROUP BY GROUPING SETS ((), (service, environment))
	ORDER BY grouping(service) DESC, count(*) DESC, service, environment LIMIT ` + fmt.Sprint(maxDora+1)
}

// spread are the middle and the 95th percentile of a column in seconds.
func spread(column string) string {
	return fmt.Sprintf(`coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY %[1]s), 0),
		coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY %[1]s), 0)`, column)
}

// Dora sums up the changes of the selection within the scopes: all of them, and each service in each environment
// that has any, those with the most changes first, at most 200.
func (s *Store) Dora(ctx context.Context, scopes rollout.Scopes, sel rollout.Selection) (sum rollout.Dora, each []rollout.Dora, err error) {
	services, environments := scopeArrays(scopes)
	list, err := all(ctx, s.pool, scanDora, doraSQL(),
		sel.Since, sel.Until, sel.Service, sel.Environment, scopes.Whole(), services, environments)
	if err != nil {
		return sum, nil, failed("sum up how changes were delivered", err)
	}
	return list[0], list[1:], nil // the sum is there even of nothing
}

func scanDora(row pgx.CollectableRow) (rollout.Dora, error) {
	var d rollout.Dora
	var recovery50, recovery95, lead50, lead95 float64
	err := row.Scan(&d.Service, &d.Environment, &d.Changes, &d.Arrived, &d.Failed, &d.Unrecovered,
		&d.Recovery.Count, &recovery50, &recovery95, &d.Lead.Count, &lead50, &lead95)
	d.Recovery.P50, d.Recovery.P95 = seconds(recovery50), seconds(recovery95)
	d.Lead.P50, d.Lead.P95 = seconds(lead50), seconds(lead95)
	return d, err //nolint:wrapcheck // the caller says what was tried
}
