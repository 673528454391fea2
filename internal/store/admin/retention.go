package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/store/pg"
)

// What one call of DeleteExpiredDeployments removes at most, so that it ends soon: deployments, and the events that they have together,
// unless the oldest has more by itself.
const (
	maxDeployments = 100
	maxEvents      = 20_000
)

const retentionLock = `SELECT pg_try_advisory_xact_lock(hashtextextended('rollcall/forget', 0))`

// keepAddressesSQL keeps the addresses for which something is remembered, before the deployments that say them are removed.
const keepAddressesSQL = `
	UPDATE remembered_targets r SET address = t.address FROM deployment_targets t
	WHERE r.deployment_id = ANY ($1) AND t.deployment_id = r.deployment_id AND t.target_id = r.target_id`

// DeleteExpiredDeployments removes the oldest deployments that ended longer than retain ago, with all that belongs to them, and answers how
// many. It removes a batch at a time: 0 says that none is left, or that another replica is at it. These stay, however old
// they are: the two of a service in an environment that succeeded last; the newest there, and the last that touched a
// target, which is the one that can be rolled back; what a source or an unfinished deployment refers to; and a rollback as
// long as what it took back stays, and the other way round.
func (a *Admin) DeleteExpiredDeployments(ctx context.Context, retain time.Duration) (int, error) {
	deleted := 0
	err := a.db.InTx(ctx, func(tx pgx.Tx) (err error) {
		deleted, err = deleteExpired(ctx, tx, retain)
		return err
	})
	return deleted, pg.Wrap("remove old deployments", err)
}

func deleteExpired(ctx context.Context, tx pgx.Tx, retain time.Duration) (int, error) {
	alone, err := pg.QueryOne(ctx, tx, pgx.RowTo[bool], retentionLock)
	if err != nil || !alone {
		return 0, err
	}
	ids, err := pg.QueryAll(ctx, tx, pgx.RowTo[string], expiredSQL(), retain)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if _, err := tx.Exec(ctx, keepAddressesSQL, ids); err != nil {
		return 0, fmt.Errorf("keep the addresses of remembered targets: %w", err)
	}
	return pg.QueryOne(ctx, tx, pgx.RowTo[int], `SELECT forget_deployments($1)`, ids)
}

// expiredSQL lists the oldest deployments that may go and whose relatives may, too: a deployment, its rollbacks, theirs.
// The first condition is there for the index of those that have ended: the others could not use it.
func expiredSQL() string {
	return `
	WITH needed AS (
		SELECT f.record->'attempt'->>'deployment_id' AS id FROM gitops_files f
		UNION SELECT jsonb_array_elements_text(CASE jsonb_typeof(f.record->'attempt'->'older')
			WHEN 'array' THEN f.record->'attempt'->'older' ELSE '[]' END) FROM gitops_files f
	), old AS (
		SELECT d.id, d.finished_at, d.last_seq FROM deployments d
		WHERE d.finished_at < statement_timestamp() - $1::interval AND ` + deletableSQL("d") + ` AND NOT EXISTS (
			WITH RECURSIVE family AS (
				SELECT d.id, d.rollback_of
				UNION SELECT r.id, r.rollback_of FROM family f JOIN deployments r ON r.rollback_of = f.id OR r.id = f.rollback_of)
			SELECT FROM family f JOIN deployments r ON r.id = f.id WHERE NOT (` + deletableSQL("r") + `))
		ORDER BY d.finished_at, d.id LIMIT ` + fmt.Sprint(maxDeployments) + `
	)
	SELECT id FROM (SELECT id, sum(last_seq) OVER (ORDER BY finished_at, id) - last_seq AS before FROM old) counted
	WHERE before < ` + fmt.Sprint(maxEvents)
}

// deletableSQL returns the condition that nothing but its relatives keeps a deployment, $1 being how long all are kept. It is never NULL.
func deletableSQL(d string) string {
	sameKey := func(other string) string {
		return other + `.service = ` + d + `.service AND ` + other + `.environment = ` + d + `.environment`
	}
	return `coalesce(` + d + `.finished_at < clock_timestamp() - $1::interval, false)
		AND ` + d + `.id <> (SELECT n.id FROM deployments n WHERE ` + sameKey("n") + ` ORDER BY n.created_at DESC, n.id DESC LIMIT 1)
		AND ` + d + `.id IS DISTINCT FROM (SELECT l.id FROM deployments l WHERE ` + sameKey("l") + ` AND l.finished_at IS NOT NULL
			AND EXISTS (SELECT FROM deployment_targets t WHERE t.deployment_id = l.id AND t.sent > 0)
			ORDER BY l.created_at DESC, l.id DESC LIMIT 1)
		AND (NOT coalesce((` + d + `.result->>'success')::boolean, false) OR 2 = (SELECT count(*) FROM (
			SELECT FROM deployments g WHERE (g.result->>'success')::boolean AND ` + sameKey("g") + `
				AND (g.finished_at, g.id) > (` + d + `.finished_at, ` + d + `.id) AND (` + d + `.kind = 'rollback' OR g.kind = 'deploy')
			LIMIT 2) newer))
		AND NOT EXISTS (SELECT FROM needed x WHERE x.id = ` + d + `.id::text)
		AND NOT EXISTS (SELECT FROM deployments u WHERE u.finished_at IS NULL AND ` + sameKey("u") + ` AND u.spec->>'retry_of' = ` + d + `.id::text)`
}
