package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Deployments that were rolled out for real are copied by the database itself, with other names, times and outcomes: rolling out
// hundreds of thousands would take hours.

// copySQL makes the deployments of the table planned, each as a copy of the one that it names, with its targets. The events of
// a copy are its beginning, its way back where it had one, and its end.
const copySQL = `
	WITH copied AS (
		INSERT INTO deployments SELECT r.* FROM planned p JOIN deployments t ON t.id = p.copy_of
			CROSS JOIN LATERAL jsonb_populate_record(t, p.changes) r WHERE p.part = $1 RETURNING id
	), targets AS (
		INSERT INTO deployment_targets SELECT r.* FROM planned p JOIN deployment_targets t ON t.deployment_id = p.copy_of
			CROSS JOIN LATERAL jsonb_populate_record(t, jsonb_build_object('deployment_id', p.id)) r WHERE p.part = $1
	)
	INSERT INTO deployment_events (deployment_id, seq, at, type, actor)
		SELECT p.id, e.seq, e.at, e.type, 'engine' FROM planned p CROSS JOIN LATERAL (VALUES
				(1, (p.changes->>'created_at')::timestamptz, 'deployment.created'),
				(2, (p.changes->>'finished_at')::timestamptz - interval '30 s', 'deployment.rollback_started'),
				(3, (p.changes->>'finished_at')::timestamptz, 'deployment.' || (p.changes->>'state'))) e(seq, at, type)
			WHERE p.part = $1 AND e.at IS NOT NULL AND (e.seq <> 2 OR p.changes->>'state' = 'rolled_back')`

// planFinishedSQL plans what ended within a year: a few services deploy often, most rarely; half of it in development. Of a
// hundred 87 complete, and two of these are rolled back by a later one.
const planFinishedSQL = `
	CREATE TEMP TABLE planned AS
	WITH services AS (
		SELECT s, sum(1.0 / (s + 20)) OVER () AS all_weights, 1.0 / (s + 20) AS weight FROM generate_series(1, 200) s
	), drawn AS (
		SELECT gen_random_uuid() AS id, s AS part, n, random() AS outcome, random() AS stage, random() AS kind,
			clock_timestamp() - random() * interval '365 days' - interval '20 minutes' AS created_at,
			30 + 600 * random() ^ 3 AS seconds, random() AS waited
		FROM services CROSS JOIN LATERAL generate_series(1, ceil($1::int * weight / all_weights)::int) n
	), judged AS (
		SELECT *, CASE WHEN stage < 0.5 THEN 'development' WHEN stage < 0.8 THEN 'staging' ELSE 'production' END AS environment,
			CASE WHEN outcome < 0.87 THEN 'completed' WHEN outcome < 0.93 THEN 'rolled_back' WHEN outcome < 0.97 THEN 'failed'
				WHEN outcome < 0.98 THEN 'aborted' ELSE 'superseded' END AS state
		FROM drawn
	), linked AS (
		SELECT *, CASE WHEN state = 'completed' AND outcome < 0.02
			THEN lag(id) OVER (PARTITION BY part, environment ORDER BY created_at) END AS rollback_of FROM judged
	)
	SELECT id, part, $2::uuid AS copy_of, jsonb_build_object('id', id, 'service', 'service-' || to_char(part, 'FM000'),
		'environment', environment, 'version', 'v' || n, 'kind', CASE WHEN rollback_of IS NULL THEN 'deploy' ELSE 'rollback' END,
		'rollback_of', rollback_of, 'strategy', CASE WHEN kind < 0.7 THEN 'rolling' WHEN kind < 0.9 THEN 'canary' ELSE 'blue_green' END,
		'state', state, 'created_at', created_at, 'started_at', CASE WHEN state <> 'superseded' THEN created_at + interval '1 s' END,
		'finished_at', created_at + seconds * interval '1 s', 'next_run_at', created_at,
		'committed_at', created_at - waited * interval '3 days',
		'counts', CASE state WHEN 'completed' THEN '{"updated": 3, "failed": 0, "unknown": 0, "rolled_back": 0}'
			WHEN 'rolled_back' THEN '{"updated": 0, "failed": 0, "unknown": 0, "rolled_back": 3}'
			WHEN 'superseded' THEN '{"updated": 0, "failed": 0, "unknown": 0, "rolled_back": 0}'
			ELSE '{"updated": 1, "failed": 1, "unknown": 0, "rolled_back": 0}' END::jsonb,
		'result', jsonb_build_object('success', state = 'completed', 'state', state)) AS changes
	FROM linked`

// planUnfinishedSQL plans what has not ended, each service and environment with an active deployment, and every second one
// with one that waits behind it. Those that bake are due some time within the given interval, those that are paused within the hour
// in which the server looks at them.
const planUnfinishedSQL = `
	CREATE TEMP TABLE planned AS
	SELECT id, n % 100 AS part, copy_of, jsonb_build_object('id', id, 'service', 'busy-' || n, 'created_at', clock_timestamp(),
		'next_run_at', CASE WHEN waits THEN clock_timestamp() ELSE clock_timestamp() + random() * due END) AS changes
	FROM (
		SELECT gen_random_uuid() AS id, n, CASE WHEN n % 2 = 0 THEN $3::uuid ELSE $2::uuid END AS copy_of, false AS waits,
			CASE WHEN n % 2 = 0 THEN interval '1 hour' ELSE $5::interval END AS due
			FROM generate_series(1, $1::int - $1::int / 3) n
		UNION ALL
		SELECT gen_random_uuid(), n * 2, $4::uuid, true, interval '0' FROM generate_series(1, $1::int / 3) n
	) drawn`

// copyPlanned carries out a plan, a part at a time.
func copyPlanned(ctx context.Context, conn *pgx.Conn, plan string, args ...any) error {
	for _, sql := range []string{`SET synchronous_commit = off`, `DROP TABLE IF EXISTS planned`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("prepare the plan: %w", err)
		}
	}
	if _, err := conn.Exec(ctx, plan, append([]any{pgx.QueryExecModeExec}, args...)...); err != nil {
		return fmt.Errorf("plan deployments: %w", err)
	}
	if _, err := conn.Exec(ctx, `CREATE INDEX ON planned (part)`); err != nil {
		return fmt.Errorf("prepare the plan: %w", err)
	}
	rows, err := conn.Query(ctx, `SELECT DISTINCT part FROM planned ORDER BY part`)
	if err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	parts, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	for _, part := range parts {
		if _, err := conn.Exec(ctx, copySQL, part); err != nil {
			return fmt.Errorf("copy deployments: %w", err)
		}
	}
	for _, table := range []string{"deployments", "deployment_targets", "deployment_events", "figures_days", "figures_counts"} {
		if _, err := conn.Exec(ctx, `VACUUM (ANALYZE) `+table); err != nil {
			return fmt.Errorf("gather statistics: %w", err)
		}
	}
	return nil
}

// wakeWithin is how long the active deployments of planUnfinishedSQL take to be due once: that of their checks.
const wakeWithin = 10 * time.Minute
