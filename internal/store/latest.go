package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/store/pg"
)

// latestSQL finds the deployment that last touched the targets of a service in an environment: the active one, which may
// touch one at any moment, else the newest that did.
const latestSQL = `
	SELECT ` + deploymentColumns + ` FROM deployments d WHERE d.id = coalesce(
		(SELECT a.id FROM deployments a
			WHERE a.service = $1 AND a.environment = $2 AND a.started_at IS NOT NULL AND a.finished_at IS NULL),
		(SELECT e.id FROM deployments e
			WHERE e.service = $1 AND e.environment = $2 AND e.started_at IS NOT NULL
				AND EXISTS (SELECT FROM deployment_targets t WHERE t.deployment_id = e.id AND t.sent > 0)
			ORDER BY e.created_at DESC, e.id DESC LIMIT 1))`

// newestSQL finds the newest deployment of a service in an environment, whatever became of it.
const newestSQL = `
	SELECT ` + deploymentColumns + ` FROM deployments d WHERE d.service = $1 AND d.environment = $2
	ORDER BY d.created_at DESC, d.id DESC LIMIT 1`

// undoingSQL finds the rollback of a deployment that counts: the newest that was not superseded.
const undoingSQL = `
	SELECT ` + deploymentColumns + ` FROM deployments d WHERE d.rollback_of = $1 AND d.state <> 'superseded'
	ORDER BY d.created_at DESC, d.id DESC LIMIT 1`

// LatestDeployment returns the deployment of a service in an environment that a rollback would be of: the active one, else
// the newest that touched a target, else the newest of all. CodeNotFound when there is none.
func (s *Store) LatestDeployment(ctx context.Context, service, environment string) (rollout.Deployment, error) {
	for _, sql := range []string{latestSQL, newestSQL} {
		d, found, err := queryOptional(ctx, s.db, sql, service, environment)
		if err != nil {
			return rollout.Deployment{}, pg.Wrap("find the latest deployment of "+service+" in "+environment, err)
		}
		if found {
			return d, nil
		}
	}
	return rollout.Deployment{}, &problem.Error{
		Code: problem.CodeNotFound, Message: fmt.Sprintf("there is no deployment of %s in %s", service, environment),
	}
}

// RolledBackBy returns which of these deployments were rolled back by a new one, and by which: the newest that was not
// superseded.
func (s *Store) RolledBackBy(ctx context.Context, ids []string) (map[string]string, error) {
	const sql = `SELECT DISTINCT ON (rollback_of) rollback_of, id FROM deployments
		WHERE rollback_of = ANY ($1::uuid[]) AND state <> 'superseded' ORDER BY rollback_of, created_at DESC, id DESC`
	by := map[string]string{}
	if len(ids) == 0 {
		return by, nil
	}
	_, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (struct{}, error) {
		var undone, undoing string
		err := row.Scan(&undone, &undoing)
		by[undone] = undoing
		return struct{}{}, err //nolint:wrapcheck // wrapped below
	}, sql, ids)
	if err != nil {
		return nil, pg.Wrap(fmt.Sprintf("look up the rollbacks of %d deployments", len(ids)), err)
	}
	return by, nil
}

// queryOptional reads the one deployment that the query finds, or none.
func queryOptional(ctx context.Context, q pg.Querier, sql string, args ...any) (d rollout.Deployment, found bool, err error) {
	d, err = pg.QueryOne(ctx, q, scanDeployment, sql, args...)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, false, nil
	}
	return d, err == nil, err
}
