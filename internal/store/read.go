package store

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/authz"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/filter"
	"rollcall/internal/store/pg"
)

// Deployment returns one deployment; CodeNotFound when there is none, or the id is invalid.
func (s *Store) Deployment(ctx context.Context, id string) (rollout.Deployment, error) {
	if !pg.ValidID(id) {
		return rollout.Deployment{}, notFound(id)
	}
	d, err := queryDeployment(ctx, s.db, `SELECT `+deploymentColumns+` FROM deployments d WHERE d.id = $1`, id)
	if err == nil {
		s.revealSecrets(&d)
	}
	return d, pg.Wrap("read deployment "+id, err)
}

func queryDeployment(ctx context.Context, q pg.Querier, sql, id string) (rollout.Deployment, error) {
	d, err := pg.QueryOne(ctx, q, scanDeployment, sql, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, notFound(id)
	}
	return d, err
}

// Deployments lists what the filter selects within the scopes, newest first. A cursor of another list is CodeInvalid.
func (s *Store) Deployments(
	ctx context.Context, scopes authz.Scopes, f storage.Filter, p storage.Page,
) (storage.List[rollout.Deployment], error) {
	after, err := pg.ParseTimeCursor(p.Cursor)
	if err != nil {
		return storage.List[rollout.Deployment]{}, err
	}
	limit := pg.LimitOf(p)
	where, args := filter.Deployments(scopes, f, after)
	items, err := pg.QueryAll(ctx, s.db, scanDeployment, `SELECT `+deploymentColumns+` FROM deployments d `+where+
		fmt.Sprintf(` ORDER BY d.created_at DESC, d.id DESC LIMIT %d`, limit+1), args...)
	if err != nil {
		return storage.List[rollout.Deployment]{}, pg.Wrap("list deployments", err)
	}
	return pg.CutPage(items, limit, func(last *rollout.Deployment) string {
		return pg.TimeCursor{Time: last.CreatedAt, ID: last.ID}.String()
	}), nil
}

// The kinds of numbered cursors.
const (
	targetCursor = "t"
	eventCursor  = "e"
)

// Targets lists a deployment's targets in the order of the request.
func (s *Store) Targets(ctx context.Context, id string, p storage.Page) (storage.List[rollout.Target], error) {
	const sql = `SELECT ` + targetColumns + ` FROM ` + presentTargets + ` ORDER BY t.position LIMIT $3`
	return numberedPage(ctx, s, id, p, targetCursor, -1, func(after int64, limit int) ([]rollout.Target, error) {
		return pg.QueryAll(ctx, s.db, scanTarget, sql, id, after, limit)
	}, func(last *rollout.Target) int64 { return int64(last.Position) })
}

// Events lists a deployment's events in the order in which they happened.
func (s *Store) Events(ctx context.Context, id string, p storage.Page) (storage.List[rollout.Event], error) {
	return numberedPage(ctx, s, id, p, eventCursor, 0, func(after int64, limit int) ([]rollout.Event, error) {
		return s.DeploymentEvents(ctx, id, after, math.MaxInt64, limit)
	}, func(last *rollout.Event) int64 { return last.Seq })
}

// numberedPage reads a page of what belongs to one deployment; read returns what comes after a number, at most limit.
func numberedPage[T any](
	ctx context.Context, s *Store, id string, p storage.Page, kind string, before int64,
	read func(after int64, limit int) ([]T, error), numberOf func(*T) int64,
) (storage.List[T], error) {
	if !pg.ValidID(id) {
		return storage.List[T]{}, notFound(id)
	}
	after, err := pg.ParseNumberCursor(kind, p.Cursor, before)
	if err != nil {
		return storage.List[T]{}, err
	}
	limit := pg.LimitOf(p)
	items, err := read(after, limit+1)
	if err == nil && len(items) == 0 {
		_, err = s.Deployment(ctx, id)
	}
	if err != nil {
		return storage.List[T]{}, pg.Wrap("read what belongs to deployment "+id, err)
	}
	return pg.CutPage(items, limit, func(last *T) string { return pg.NumberCursor(kind, numberOf(last)) }), nil
}

// TargetRecords returns what is known of the targets of a service in an environment between deployments, by target id.
func (s *Store) TargetRecords(ctx context.Context, service, environment string) (map[string]storage.TargetRecord, error) {
	const sql = `SELECT r.target_id, r.version, r.health, r.fence, ` + rememberedAddress + ` FROM remembered_targets r ` + joinKnownAt + `
		WHERE r.service = $1 AND r.environment = $2 AND r.target_id <> '` + routerID + `'`
	known := map[string]storage.TargetRecord{}
	_, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (struct{}, error) {
		var id string
		var r storage.TargetRecord
		err := row.Scan(&id, (*pg.NullText)(&r.Version), &r.Health, &r.Fence, (*pg.NullText)(&r.Address))
		known[id] = r
		return struct{}{}, err //nolint:wrapcheck // wrapped below
	}, sql, service, environment)
	if err != nil {
		return nil, pg.Wrap("read what is remembered of "+service+" in "+environment, err)
	}
	return known, nil
}
