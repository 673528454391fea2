package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// newRestingSQL makes the rows of routers that were never looked at. The recursion hops from one service and environment to
// the next along the primary key, whose first row is the router's, if there is one.
const newRestingSQL = `
	WITH RECURSIVE keys AS (
		(SELECT service, environment, target_id FROM remembered_targets ORDER BY service, environment, target_id LIMIT 1)
		UNION ALL
		SELECT next.service, next.environment, next.target_id FROM keys p CROSS JOIN LATERAL (
			SELECT service, environment, target_id FROM remembered_targets WHERE (service, environment) > (p.service, p.environment)
			ORDER BY service, environment, target_id LIMIT 1) next
	)
	INSERT INTO resting_routers (service, environment, look_at)
	SELECT p.service, p.environment, clock_timestamp() FROM keys p
	WHERE p.target_id = '` + routerID + `'
		AND NOT EXISTS (SELECT FROM resting_routers d WHERE d.service = p.service AND d.environment = p.environment)
	ON CONFLICT DO NOTHING`

// leftSQL joins the deployment b that has left the router of a row d, which nothing of its service and environment works on now.
const leftSQL = `
	JOIN remembered_targets r ON r.service = d.service AND r.environment = d.environment AND r.target_id = '` + routerID + `'
	JOIN deployments b ON b.id = r.deployment_id AND b.finished_at IS NOT NULL AND b.spec->'traffic' IS NOT NULL
		AND (b.spec->'traffic'->>'type' <> 'webhook' OR (b.spec->'traffic'->>'read_back')::boolean)
		AND NOT EXISTS (SELECT FROM deployments u WHERE u.service = d.service AND u.environment = d.environment AND u.finished_at IS NULL)
		AND NOT EXISTS (SELECT FROM definitions f WHERE f.service = d.service AND f.environment = d.environment AND f.body IS NULL)`

// claimRestingSQL takes routers that are due and free, those of dead replicas, and those of a process of this very name that
// does not know of them any more.
const claimRestingSQL = `
	WITH due AS MATERIALIZED (
		SELECT d.service, d.environment, b.id FROM resting_routers d ` + leftSQL + `
		WHERE (d.owner IS NULL AND d.look_at <= clock_timestamp() OR ` + pg.OwnerDead + `
				OR d.owner = @replica AND (d.service || '/' || d.environment) <> ALL (@mine::text[]))
			AND EXISTS (SELECT FROM replicas l WHERE l.id = @replica AND l.expires_at > clock_timestamp())
		ORDER BY d.look_at LIMIT @limit FOR UPDATE OF d SKIP LOCKED
	)
	UPDATE resting_routers d SET owner = @replica, epoch = d.epoch + 1
	FROM due WHERE d.service = due.service AND d.environment = due.environment
	RETURNING d.service, d.environment, d.epoch, due.id, CASE WHEN d.deployment_id = due.id THEN d.state END, clock_timestamp()`

// ClaimRouters makes the replica the owner of at most limit routers that nothing works on and that are due to be read,
// beside those that it works on already (mine, as service/environment).
func (s *Store) ClaimRouters(ctx context.Context, replica string, mine []string, limit int) ([]storage.ClaimedRouter, error) {
	var claimed []storage.ClaimedRouter
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		if _, err := tx.Exec(ctx, newRestingSQL); err != nil {
			return fmt.Errorf("look for new routers: %w", err)
		}
		claimed, err = claimRouters(ctx, tx, pgx.NamedArgs{"replica": replica, "mine": pg.NonNil(mine), "limit": limit})
		return err
	})
	if err != nil {
		return nil, pg.Wrap("claim routers for replica "+replica, err)
	}
	for i := range claimed {
		s.revealSecrets(&claimed[i].Snapshot.Deployment)
	}
	return claimed, nil
}

func claimRouters(ctx context.Context, tx pgx.Tx, args pgx.NamedArgs) ([]storage.ClaimedRouter, error) {
	claimed, err := pg.QueryAll(ctx, tx, func(row pgx.CollectableRow) (storage.ClaimedRouter, error) {
		var c storage.ClaimedRouter
		c.Owner, _ = args["replica"].(string)
		err := row.Scan(&c.Service, &c.Environment, &c.Epoch, &c.Snapshot.Deployment.ID, &c.Resting, (*pg.NullTime)(&c.Now))
		return c, err //nolint:wrapcheck // the caller names the operation
	}, claimRestingSQL, args)
	if err != nil || len(claimed) == 0 {
		return nil, err
	}
	batch := &pgx.Batch{}
	for i := range claimed {
		queueLoad(batch, claimed[i].Snapshot.Deployment.ID, &claimed[i].Snapshot)
	}
	return claimed, pg.ExecBatch(ctx, tx, batch)
}

// SaveRouter writes one step in the care for a router at rest. A step with a write is refused with CodeConflict when a
// deployment of the service and environment has not ended, or another one has moved traffic since the router was claimed; it
// is the transaction that creations wait for. CodeOwnershipLost when another replica has the router by now. Nothing was written then.
func (s *Store) SaveRouter(ctx context.Context, c *storage.ClaimedRouter, step storage.SavedRouter) error {
	state, err := json.Marshal(step.Resting)
	if err != nil {
		return fmt.Errorf("encode what is known of the router of %s in %s: %w", c.Service, c.Environment, err)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error { return saveRouter(ctx, tx, c, &step, state) })
	return pg.Wrap("save the router of "+c.Service+" in "+c.Environment, err)
}

const saveRestingSQL = `
	UPDATE resting_routers SET deployment_id = CASE WHEN @unchanged THEN deployment_id ELSE @deployment::uuid END,
		state = CASE WHEN @unchanged THEN state ELSE @state::jsonb END,
		write_until = CASE WHEN @write_for::interval > '0' THEN clock_timestamp() + @write_for::interval END,
		look_at = clock_timestamp() + @again::interval, owner = CASE WHEN @release THEN NULL ELSE owner END
	WHERE service = @service AND environment = @environment AND owner = @owner AND epoch = @epoch`

func saveRouter(ctx context.Context, tx pgx.Tx, c *storage.ClaimedRouter, step *storage.SavedRouter, state []byte) error {
	if len(step.Events) > 0 {
		if err := recordResting(ctx, tx, c, step); err != nil {
			return err
		}
	}
	tag, err := tx.Exec(ctx, saveRestingSQL, pgx.NamedArgs{
		"service": c.Service, "environment": c.Environment, "owner": c.Owner, "epoch": c.Epoch, "deployment": c.Snapshot.Deployment.ID,
		"state": state, "write_for": step.WriteFor, "unchanged": step.Unchanged, "again": step.RecheckIn, "release": step.Release,
	})
	if err != nil {
		return fmt.Errorf("keep what is known of it: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return &problem.Error{Code: problem.CodeOwnershipLost, Message: "another replica has the router"}
	}
	return nil
}

// recordResting appends the events of a step to the log of the deployment that has left the router, and raises the fence. Of
// the deployment only the end of its log moves: its record, and so its revision, stays.
func recordResting(ctx context.Context, tx pgx.Tx, c *storage.ClaimedRouter, step *storage.SavedRouter) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1 || '/' || $2, 0))`, c.Service, c.Environment); err != nil {
		return fmt.Errorf("wait for the turn of the router: %w", err)
	}
	if step.WriteFor > 0 {
		still, err := pg.QueryOne(ctx, tx, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM resting_routers d `+leftSQL+`
			WHERE d.service = $1 AND d.environment = $2 AND b.id = $3)`, c.Service, c.Environment, c.Snapshot.Deployment.ID)
		if err != nil {
			return fmt.Errorf("look for a deployment that has begun: %w", err)
		}
		if !still {
			return &problem.Error{Code: problem.CodeConflict, Message: "a deployment moves the traffic now"}
		}
	}
	d, err := queryDeployment(ctx, tx, `SELECT `+deploymentColumns+` FROM deployments d WHERE d.id = $1 FOR UPDATE`, c.Snapshot.Deployment.ID)
	if problem.CodeOf(err) == problem.CodeNotFound || errors.Is(err, pgx.ErrNoRows) {
		return nil // it was removed, and its log with it
	}
	if err != nil {
		return err
	}
	now, err := pg.ReadClock(ctx, tx)
	if err != nil {
		return err
	}
	events := make([]rollout.Event, len(step.Events))
	for i, e := range step.Events {
		e.At, e.Replica = time.Time{}, c.Owner
		events[i] = e
	}
	batch := &pgx.Batch{}
	if err := queueEvents(batch, &d, events, now); err != nil {
		return err
	}
	batch.Queue(`UPDATE deployments SET last_seq = $2, events_hash = $3 WHERE id = $1`, d.ID, d.LastSeq, pg.HashArg(d.EventsHash))
	batch.Queue(`UPDATE remembered_targets SET fence = greatest(fence, $3) WHERE service = $1 AND environment = $2 AND target_id = '`+routerID+`'`,
		c.Service, c.Environment, step.Resting.Router.Fence)
	batch.Queue(pg.NotifySQL, pg.ProgressPrefix+d.ID)
	return pg.ExecBatch(ctx, tx, batch)
}

// RestingRouter returns what is known of a router since the last deployment that moved traffic; nil when it was not looked at since.
func (s *Store) RestingRouter(ctx context.Context, service, environment string) (*storage.RestingRouter, error) {
	const sql = `
		SELECT d.state FROM resting_routers d
			JOIN remembered_targets r ON r.service = d.service AND r.environment = d.environment AND r.target_id = '` + routerID + `'
		WHERE d.service = $1 AND d.environment = $2 AND d.deployment_id = r.deployment_id`
	resting, err := pg.QueryOne(ctx, s.db, pgx.RowTo[*storage.RestingRouter], sql, service, environment)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // as the comment says
	}
	return resting, pg.Wrap("read the router of "+service+" in "+environment, err)
}

// maxRouterDrifts bounds the list of RouterDrifts.
const maxRouterDrifts = 200

// RouterDrifts lists the routers at rest that did not do what the last deployment has left when they were last read; at most
// 200, in the order of their names.
func (s *Store) RouterDrifts(ctx context.Context) ([]storage.RouterDrift, error) {
	drifts, err := pg.QueryAll(ctx, s.db, pgx.RowToStructByPos[storage.RouterDrift], `SELECT d.service, d.environment FROM resting_routers d `+leftSQL+`
		WHERE d.deployment_id = b.id AND d.state->'router'->>'differs' <> '' ORDER BY d.service, d.environment LIMIT `+fmt.Sprint(maxRouterDrifts))
	return drifts, pg.Wrap("list the routers that differ", err)
}
