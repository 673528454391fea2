package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/rollout"
)

// maxDora bounds the list of pairs.
const maxDora = 200

// maxEnded is how many deployments Dora looks at, at most: on two cores these take 0.6 to 1 s of what a request has.
const maxEnded = 50_000

// doraSQL sums up, in steps that stand above each other: what ended, the changes among that and when each failed, and when
// that was put right. Each step is worked out once: PostgreSQL would ask again wherever a column of it is used. The sum of
// all comes first.
func doraSQL(where string, since, until, parts int) string {
	part, set := "NULL::int", ""
	if parts > 0 {
		part, set = "part", ", (part)"
	}
	return fmt.Sprintf(`
	WITH ended AS MATERIALIZED (
		SELECT d.id, d.service, d.environment, d.version, d.kind, d.state, d.counts, d.finished_at, d.committed_at
		FROM deployments d %s AND d.finished_at >= $%d AND d.finished_at < $%d LIMIT %d
	), %s, timed AS (
		SELECT *, extract(epoch FROM recovered_at - failed_at)::float8 AS recovery, %s AS part FROM judged
	)
	SELECT (SELECT count(*) FROM ended), %s, coalesce(service, ''), coalesce(environment, ''),
		count(*), count(*) FILTER (WHERE state = 'completed'),
		count(failed_at), count(*) FILTER (WHERE failed_at IS NOT NULL AND recovered_at IS NULL),
		count(recovery), %s, count(lead), %s
	FROM timed GROUP BY GROUPING SETS ((), (service, environment)%s)
	ORDER BY grouping(service) DESC, 2 NULLS FIRST, count(*) DESC, service, environment LIMIT %d`,
		where, since, until, maxEnded+1, judgedSQL(), partOf(since, until, parts),
		part, spread("recovery"), spread("lead"), set, 1+parts+maxDora)
}

// judgedSQL judges what ended, and nothing of it when that is too much. OFFSET 0 keeps PostgreSQL, which may have no statistics
// yet, from looking through all deployments, oldest first, for the first rollback of each.
func judgedSQL() string {
	return `changes AS MATERIALIZED (
		SELECT d.service, d.environment, d.state, d.finished_at,
			CASE WHEN d.state = 'completed'
				THEN (SELECT min(u.created_at) FROM (SELECT created_at FROM deployments
					WHERE rollback_of = d.id AND started_at IS NOT NULL AND state <> 'superseded' OFFSET 0) u)
				ELSE coalesce((SELECT min(e.at) FROM deployment_events e
					WHERE e.deployment_id = d.id AND e.type = 'deployment.rollback_started'), d.finished_at) END AS failed_at,
			CASE WHEN d.state = 'completed' AND d.committed_at <= d.finished_at AND NOT EXISTS (SELECT FROM deployments b
					WHERE b.kind = 'deploy' AND b.state = 'completed' AND b.service = d.service AND b.environment = d.environment
						AND b.version = d.version AND b.finished_at < d.finished_at)
				THEN extract(epoch FROM d.finished_at - d.committed_at)::float8 END AS lead
		FROM ended d
		WHERE (SELECT count(*) FROM ended) <= ` + fmt.Sprint(maxEnded) + ` AND d.kind = 'deploy' AND d.state <> 'superseded'
			AND (d.counts->>'updated')::int + (d.counts->>'failed')::int + (d.counts->>'unknown')::int + (d.counts->>'rolled_back')::int > 0
	), judged AS MATERIALIZED (
		SELECT c.*, CASE WHEN c.state = 'rolled_back' THEN c.finished_at
			WHEN c.failed_at IS NOT NULL THEN (SELECT min(g.finished_at) FROM deployments g WHERE (g.result->>'success')::boolean
				AND g.service = c.service AND g.environment = c.environment AND g.finished_at > c.failed_at) END AS recovered_at
		FROM changes c
	)`
}

// partOf is in which part of the time a change ended, from 0.
func partOf(since, until, parts int) string {
	if parts == 0 {
		return "0"
	}
	return fmt.Sprintf(`width_bucket(extract(epoch FROM finished_at), extract(epoch FROM $%d::timestamptz),
		extract(epoch FROM $%d::timestamptz), %d) - 1`, since, until, parts)
}

// spread are the middle and the 95th percentile of a column in seconds.
func spread(column string) string {
	return fmt.Sprintf(`coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY %[1]s), 0),
		coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY %[1]s), 0)`, column)
}

// Dora sums up the changes of the selection within the scopes: all of them, each service in each environment that has any, at
// most 200, and each part of the time. More deployments than can be looked at in time are CodeInvalid.
func (s *Store) Dora(ctx context.Context, scopes rollout.Scopes, sel rollout.DoraQuery) (rollout.DoraReport, error) {
	where, args := conditions(scopes, rollout.Filter{Service: sel.Service, Environment: sel.Environment}, nil)
	if where == "" {
		where = "WHERE true"
	}
	args = append(args, sel.Since, sel.Until)
	sql := doraSQL(where, len(args)-1, len(args), sel.Parts)
	// The plan is for these values: one for any values would be one for a short time.
	sums, err := all(ctx, s.pool, scanDora, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		return rollout.DoraReport{}, failed("sum up how changes were delivered", err)
	}
	if sums[0].ended > maxEnded { // the sum is there even of nothing
		return rollout.DoraReport{}, &rollout.Error{Code: rollout.CodeInvalid, Message: fmt.Sprintf(
			"more than %d deployments ended in this time: ask for a shorter one, or for one service", maxEnded)}
	}
	return doraReport(sums, sel.Parts), nil
}

// doraSum is a line of doraSQL: the sum of all, of a pair, which has a name, or of a part of the time.
type doraSum struct {
	rollout.Dora
	part *int
	// ended is of all lines together.
	ended int
}

func doraReport(sums []doraSum, parts int) rollout.DoraReport {
	report := rollout.DoraReport{Sum: sums[0].Dora, Parts: make([]rollout.Dora, parts)}
	for _, sum := range sums[1:] {
		if sum.part != nil {
			report.Parts[*sum.part] = sum.Dora
		} else {
			report.Each = append(report.Each, sum.Dora)
		}
	}
	return report
}

func scanDora(row pgx.CollectableRow) (doraSum, error) {
	var d doraSum
	var recovery50, recovery95, lead50, lead95 float64
	err := row.Scan(&d.ended, &d.part, &d.Service, &d.Environment, &d.Changes, &d.Arrived, &d.Failed, &d.Unrecovered,
		&d.Recovery.Count, &recovery50, &recovery95, &d.Lead.Count, &lead50, &lead95)
	d.Recovery.P50, d.Recovery.P95 = seconds(recovery50), seconds(recovery95)
	d.Lead.P50, d.Lead.P95 = seconds(lead50), seconds(lead95)
	return d, err //nolint:wrapcheck // the caller says what was tried
}
