package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/rollout"
)

// routerID stands for the router among the remembered targets of a service in an environment: its fence is the router's,
// and its version the slot that serves. No target can have it, for ids are not empty.
const routerID = ""

const routerOfSQL = `
	SELECT coalesce(r.fence, 0), r.version FROM deployments d
		LEFT JOIN remembered_targets r ON r.service = d.service AND r.environment = d.environment AND r.target_id = '` + routerID + `'
	WHERE d.id = $1`

// scanRouter brings a snapshot up to what is remembered of its router.
func scanRouter(row pgx.Row, snapshot *rollout.Snapshot) error {
	var fence int64
	if err := row.Scan(&fence, (*word)(&snapshot.ActiveSlot)); err != nil {
		return fmt.Errorf("read the router: %w", err)
	}
	d := &snapshot.Deployment
	if d.Spec.Traffic == nil {
		return nil
	}
	router := rollout.RouterState{}
	if d.Progress.Router != nil {
		router = *d.Progress.Router
	}
	router.Fence = max(router.Fence, fence)
	d.Progress.Router = &router
	return nil
}

// queueRouter adds to the batch what is remembered of the router: its fence at once, the slot that serves at the end.
func queueRouter(batch *pgx.Batch, d *rollout.Deployment, now time.Time) {
	const sql = `
		INSERT INTO remembered_targets AS r (service, environment, target_id, version, health, fence, deployment_id, updated_at)
		VALUES ($1, $2, '` + routerID + `', $3, $4, $5, $6, $7)
		ON CONFLICT (service, environment, target_id) DO UPDATE SET version = coalesce(excluded.version, r.version),
			fence = greatest(r.fence, excluded.fence), deployment_id = excluded.deployment_id, updated_at = excluded.updated_at`
	var fence int64
	if d.Progress.Router != nil {
		fence = d.Progress.Router.Fence
	}
	active := ""
	if d.Result != nil {
		active, _ = d.Result.Metadata["active_slot"].(string) // null without slots
	}
	if fence > 0 || active != "" {
		batch.Queue(sql, d.Service, d.Environment, text(active), string(rollout.HealthUnknown), fence, d.ID, now)
	}
}

// ActiveSlot is the slot of a service in an environment that serves, as the last deployment left it; empty when none is
// known.
func (s *Store) ActiveSlot(ctx context.Context, service, environment string) (string, error) {
	const sql = `SELECT version FROM remembered_targets WHERE service = $1 AND environment = $2 AND target_id = '` + routerID + `'`
	var active string
	err := s.pool.QueryRow(ctx, sql, service, environment).Scan((*word)(&active))
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return active, failed("read the active slot of "+service+" in "+environment, err)
}
