package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/store/pg"
)

// routerID stands for the router among the remembered targets of a service in an environment: its fence is the router's,
// and its version the slot that serves. No target can have it, for ids are not empty.
const routerID = ""

const routerOfSQL = `
	SELECT coalesce(r.fence, 0), r.version, b.progress->'router' FROM deployments d
		LEFT JOIN remembered_targets r ON r.service = d.service AND r.environment = d.environment AND r.target_id = '` + routerID + `'
		LEFT JOIN deployments b ON b.id = r.deployment_id AND b.id <> d.id AND b.service = d.service AND b.environment = d.environment
	WHERE d.id = $1`

// scanRouter brings a snapshot up to what is remembered of its router.
func scanRouter(row pgx.Row, snapshot *rollout.Snapshot) error {
	var fence int64
	if err := row.Scan(&fence, (*pg.NullText)(&snapshot.ActiveSlot), &snapshot.RouterBefore); err != nil {
		return fmt.Errorf("read the router: %w", err)
	}
	d := &snapshot.Deployment
	if d.Spec.Traffic == nil {
		return nil
	}
	router := routing.State{}
	if d.Progress.Router != nil {
		router = *d.Progress.Router
	}
	router.Fence = max(router.Fence, fence)
	d.Progress.Router = &router
	return nil
}

// routerOf returns what is to be remembered of a deployment's router: the slot that serves, known at the end, and the fence.
func routerOf(d *rollout.Deployment) (active string, fence int64) {
	if d.Result != nil {
		active, _ = d.Result.Metadata["active_slot"].(string) // null without slots
	}
	if d.Progress.Router != nil {
		fence = d.Progress.Router.Fence
	}
	return active, fence
}

// ActiveSlot returns the slot of a service in an environment that serves, as the last deployment left it; empty when none is
// known.
func (s *Store) ActiveSlot(ctx context.Context, service, environment string) (string, error) {
	const sql = `SELECT version FROM remembered_targets WHERE service = $1 AND environment = $2 AND target_id = '` + routerID + `'`
	var active string
	err := s.db.QueryRow(ctx, sql, service, environment).Scan((*pg.NullText)(&active))
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return active, pg.Wrap("read the active slot of "+service+" in "+environment, err)
}
