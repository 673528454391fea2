package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// builder makes a new deployment of one that has ended. It must be pure: it is called again when the transaction lost a
// race.
type builder = func(ended *rollout.Snapshot) (storage.NewDeployment, error)

// CreateRollback stores the deployment that takes a finished one back, as build makes it. Asked again it answers with the
// same one, Replayed, as it is now, unless that was superseded. All that it decides by is read under the lock that
// creations for the same service and environment take, so that of several at once one creates. CodeNotFound when there is
// no such deployment, CodeConflict when it has not ended, or when another one touched targets since or may do so: that
// one's ID is in the error. An error of build passes through.
func (s *Store) CreateRollback(ctx context.Context, id string, build builder) (storage.Created, error) {
	return s.createFollowUp(ctx, id, build, func(ctx context.Context, tx pgx.Tx, _ *rollout.Deployment) (rollout.Deployment, bool, error) {
		return queryOptional(ctx, tx, undoingSQL, id)
	})
}

// CreateRetry stores the deployment that does what a finished one left undone, as build makes it. Asked again it answers
// with the same one, Replayed, as it is now, for as long as that is the newest of its service and environment. Locks and
// errors are those of CreateRollback.
func (s *Store) CreateRetry(ctx context.Context, id string, build builder) (storage.Created, error) {
	return s.createFollowUp(ctx, id, build, func(ctx context.Context, tx pgx.Tx, d *rollout.Deployment) (rollout.Deployment, bool, error) {
		newest, found, err := queryOptional(ctx, tx, newestSQL, d.Service, d.Environment)
		return newest, found && newest.Spec.RetryOf == id, err
	})
}

// finder looks for the deployment that was made of an ended one before.
type finder func(ctx context.Context, tx pgx.Tx, ended *rollout.Deployment) (rollout.Deployment, bool, error)

func (s *Store) createFollowUp(ctx context.Context, id string, build builder, find finder) (storage.Created, error) {
	if !pg.ValidID(id) {
		return storage.Created{}, notFound(id)
	}
	var created storage.Created
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		created, err = insertFollowUp(ctx, tx, id, s.openingSecrets(build), find)
		return err
	})
	if err != nil {
		return storage.Created{}, pg.Wrap("make a deployment that follows "+id, err)
	}
	return created, nil
}

func insertFollowUp(ctx context.Context, tx pgx.Tx, id string, build builder, find finder) (storage.Created, error) {
	ended, err := lockEnded(ctx, tx, id)
	if err != nil {
		return storage.Created{}, err
	}
	request, err := build(&ended)
	if err != nil {
		return storage.Created{}, err
	}
	before, found, err := find(ctx, tx, &ended.Deployment)
	if err != nil {
		return storage.Created{}, fmt.Errorf("look for what was made of it before: %w", err)
	}
	if found {
		return storage.Created{Deployment: before, Replayed: true}, pg.ConfirmDurable(ctx, tx)
	}
	if err := mustBeLatest(ctx, tx, &ended.Deployment); err != nil {
		return storage.Created{}, err
	}
	if err := ensureID(&request.Deployment); err != nil {
		return storage.Created{}, err
	}
	return createDeployment(ctx, tx, request)
}

// lockEnded reads a deployment that has ended, under the lock of its service and environment: its row cannot change any
// more, and no other deployment of them can be made or begin before this transaction is over.
func lockEnded(ctx context.Context, tx pgx.Tx, id string) (rollout.Snapshot, error) {
	const sql = `SELECT ` + deploymentColumns + ` FROM deployments d WHERE d.id = $1`
	d, err := queryDeployment(ctx, tx, sql, id)
	if err != nil {
		return rollout.Snapshot{}, err
	}
	if _, err := lockForCreate(ctx, tx, &storage.NewDeployment{Deployment: d}); err != nil {
		return rollout.Snapshot{}, err
	}
	ended := rollout.Snapshot{}
	if ended.Deployment, err = queryDeployment(ctx, tx, sql, id); err != nil {
		return ended, err
	}
	if !ended.Deployment.State.Terminal() {
		return ended, conflictWith(&ended.Deployment)
	}
	ended.Targets, err = pg.QueryAll(ctx, tx, scanTarget, `SELECT `+targetColumns+`
		FROM deployment_targets t WHERE t.deployment_id = $1 ORDER BY t.ordinal`, id)
	if err != nil {
		return ended, fmt.Errorf("read its targets: %w", err)
	}
	return ended, nil
}

// mustBeLatest refuses what is older than the last deployment that touched targets of the service in the environment, or is
// about to. One that touched nothing itself only must not be older than that.
func mustBeLatest(ctx context.Context, tx pgx.Tx, d *rollout.Deployment) error {
	latest, found, err := queryOptional(ctx, tx, latestSQL, d.Service, d.Environment)
	if err != nil {
		return fmt.Errorf("find the latest deployment of the service and environment: %w", err)
	}
	if !found || latest.ID == d.ID || latest.CreatedAt.Before(d.CreatedAt) && !latest.FinishedAt.IsZero() {
		return nil
	}
	return &problem.Error{
		Code: problem.CodeConflict, ID: latest.ID,
		Message: fmt.Sprintf("deployment %s is not the latest of %s in %s: deployment %s (%s) came after it",
			d.ID, d.Service, d.Environment, latest.ID, latest.State),
	}
}
