package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/rollout"
)

// maxUnfinished bounds the list of Unfinished.
const maxUnfinished = 200

// Unfinished lists the deployments within the scopes that have not ended, newest first, at most 200. Those that have begun
// come before those that wait.
func (s *Store) Unfinished(ctx context.Context, scopes rollout.Scopes) ([]rollout.Deployment, error) {
	services, environments := scopeArrays(scopes)
	sql := fmt.Sprintf(`SELECT %s FROM deployments d
		WHERE d.finished_at IS NULL AND ($1 OR %s)
		ORDER BY d.started_at IS NULL, d.created_at DESC, d.id DESC LIMIT %d`,
		deploymentColumns, within("d.service", "d.environment", 2, 3), maxUnfinished)
	list, err := all(ctx, s.pool, scanDeployment, sql, scopes.Whole(), services, environments)
	return list, failed("list the deployments that have not ended", err)
}

// sharesSQL counts what runs on the targets of the definitions of some pairs; of a pair whose definition names none, on
// those of its newest deployment.
const sharesSQL = `
	WITH pairs AS (SELECT * FROM unnest($1::text[], $2::text[]) AS p(service, environment)),
	defined AS (
		SELECT p.service, p.environment, e->>'id' AS target_id, e->>'version' AS version
		FROM pairs p JOIN definitions f ON f.service = p.service AND f.environment = p.environment
			CROSS JOIN LATERAL jsonb_array_elements(
				CASE jsonb_typeof(f.body->'targets') WHEN 'array' THEN f.body->'targets' ELSE '[]' END) e),
	deployed AS (
		SELECT p.service, p.environment, t.target_id, t.version
		FROM pairs p
			CROSS JOIN LATERAL (SELECT id FROM deployments d WHERE d.service = p.service AND d.environment = p.environment
				ORDER BY d.created_at DESC, d.id DESC LIMIT 1) newest
			JOIN deployment_targets t ON t.deployment_id = newest.id
		WHERE NOT EXISTS (SELECT FROM defined x WHERE x.service = p.service AND x.environment = p.environment)),
	known AS (SELECT * FROM defined UNION ALL SELECT * FROM deployed)
	SELECT k.service, k.environment,
		coalesce(r.version, CASE WHEN r.target_id IS NULL THEN k.version END, '') AS runs,
		coalesce(r.health, 'unknown') AS feels, count(*)
	FROM known k LEFT JOIN remembered_targets r
		ON r.service = k.service AND r.environment = k.environment AND r.target_id = k.target_id
	GROUP BY k.service, k.environment, runs, feels
	ORDER BY k.service, k.environment, count(*) DESC, runs, feels`

// Shares counts what runs where, for some pairs of service and environment.
func (s *Store) Shares(ctx context.Context, pairs []rollout.Scope) ([]rollout.VersionTally, error) {
	services, environments := scopeArrays(pairs)
	shares, err := all(ctx, s.pool, pgx.RowToStructByPos[rollout.VersionTally], sharesSQL, services, environments)
	return shares, failed("count what runs where", err)
}
