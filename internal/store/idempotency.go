package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// keyTTL is how long an idempotency key is kept, as PostgreSQL spells it.
const keyTTL = `interval '24 hours'`

// keyWait bounds the wait for a creation under the same key that is still running, and for any lock of a creation.
const keyWait = "5s"

// answer is how a created deployment is kept with its idempotency key. Fields may be added, never renamed or retyped.
type answer struct {
	ID          string            `json:"id"`
	Service     string            `json:"service"`
	Environment string            `json:"environment"`
	Version     string            `json:"version"`
	Kind        rollout.Kind      `json:"kind"`
	RollbackOf  string            `json:"rollback_of"`
	RequestedBy string            `json:"requested_by"`
	Labels      map[string]string `json:"labels"`
	Spec        rollout.Spec      `json:"spec"`
	State       rollout.State     `json:"state"`
	Direction   rollout.Direction `json:"direction"`
	Stop        rollout.Stop      `json:"stop"`
	Reason      string            `json:"reason"`
	Progress    rollout.Progress  `json:"progress"`
	Counts      rollout.Counts    `json:"counts"`
	CreatedAt   time.Time         `json:"created_at"`
	Revision    int64             `json:"revision"`
	LastSeq     int64             `json:"last_seq"`
	EventsHash  rollout.Hash      `json:"events_hash"`
}

func answerOf(d *rollout.Deployment) answer {
	return answer{
		ID: d.ID, Service: d.Service, Environment: d.Environment, Version: d.Version, Kind: d.Kind, RollbackOf: d.RollbackOf,
		RequestedBy: d.RequestedBy, Labels: d.Labels, Spec: d.Spec, State: d.State, Direction: d.Direction, Stop: d.Stop,
		Reason: d.Reason, Progress: d.Progress, Counts: d.Counts, CreatedAt: d.CreatedAt, Revision: d.Revision, LastSeq: d.LastSeq,
		EventsHash: d.EventsHash,
	}
}

func (a *answer) toDeployment() rollout.Deployment {
	return rollout.Deployment{
		ID: a.ID, Service: a.Service, Environment: a.Environment, Version: a.Version, Kind: a.Kind, RollbackOf: a.RollbackOf,
		RequestedBy: a.RequestedBy, Labels: a.Labels, Spec: a.Spec,
		Status: rollout.Status{State: a.State, Direction: a.Direction, Stop: a.Stop, Reason: a.Reason, Progress: a.Progress},
		Counts: a.Counts, CreatedAt: a.CreatedAt, Revision: a.Revision, LastSeq: a.LastSeq,
		EventsHash: a.EventsHash,
	}
}

// CreatedUnderKey returns the answer that was given under the key before, if it is still remembered. Another request under the
// same key is CodeKeyReused. A zero key was never used.
func (s *Store) CreatedUnderKey(ctx context.Context, key storage.IdempotencyKey) (created storage.Created, found bool, err error) {
	if key.Value == "" {
		return created, false, nil
	}
	created, found, err = findReplay(ctx, s.db, key)
	if err == nil && found {
		err = pg.ConfirmDurable(ctx, s.db)
	}
	return created, found, pg.Wrap("look up an idempotency key", err)
}

// findReplay goes by the time at which the transaction began, as reserveKeySQL does: a key that could not be reserved is still
// there.
func findReplay(ctx context.Context, q pg.Querier, key storage.IdempotencyKey) (storage.Created, bool, error) {
	const sql = `SELECT request_hash, answer FROM idempotency_keys
		WHERE caller = $1 AND key = $2 AND (lasting OR created_at > now() - ` + keyTTL + `)`
	type entry struct {
		Hash   []byte
		Answer answer
	}
	known, err := pg.QueryOne(ctx, q, pgx.RowToStructByPos[entry], sql, key.Caller, key.Value)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return storage.Created{}, false, nil
	case err != nil:
		return storage.Created{}, false, err
	case string(known.Hash) != string(key.Hash[:]):
		return storage.Created{}, false, &problem.Error{
			Code: problem.CodeKeyReused, ID: known.Answer.ID, Message: "the idempotency key was used for another request",
		}
	}
	return storage.Created{Deployment: known.Answer.toDeployment(), Replayed: true}, true, nil
}

// reserveKeySQL reserves a key, and changes no row when it was reserved before. It waits for a transaction that has reserved
// the key and not ended.
const reserveKeySQL = `
	INSERT INTO idempotency_keys AS k (caller, key, request_hash, deployment_id, lasting, created_at)
	VALUES ($1, $2, $3, $4, $5, clock_timestamp())
	ON CONFLICT (caller, key) DO UPDATE SET request_hash = excluded.request_hash,
		deployment_id = excluded.deployment_id, lasting = excluded.lasting, answer = NULL,
		status = NULL, header = NULL, body = NULL, sealed_body = NULL, created_at = excluded.created_at
	WHERE NOT k.lasting AND k.created_at <= now() - ` + keyTTL

// keyReserved reports whether reserveKeySQL reserved the key.
func keyReserved(results pgx.BatchResults) (bool, error) {
	tag, err := results.Exec()
	if pg.HasState(err, pg.LockNotAvailable) {
		return false, &problem.Error{
			Code: problem.CodeInProgress, Message: "a request with this idempotency key is still being worked on", Err: err,
		}
	}
	if err != nil {
		return false, fmt.Errorf("take the idempotency key: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// fenceTTL is how long the fence of an address is kept, as PostgreSQL spells it: later ones are higher all the same,
// because they grow with time.
const fenceTTL = `interval '90 days'`

// DeleteExpiredRecords removes what is no longer needed: idempotency keys that have expired, the digests of
// old push notifications, fences of addresses that were not called for 90 days, and deliveries of notifications that have
// been over for 7 days.
func (s *Store) DeleteExpiredRecords(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `DELETE FROM idempotency_keys WHERE NOT lasting AND created_at <= clock_timestamp() - `+keyTTL)
	if err != nil {
		return pg.Wrap("remove old idempotency keys", err)
	}
	if err := s.sourceStore.DeleteExpired(ctx); err != nil {
		return err
	}
	_, err = s.db.Exec(ctx, `DELETE FROM address_fences WHERE updated_at <= clock_timestamp() - `+fenceTTL)
	if err != nil {
		return pg.Wrap("remove old fences", err)
	}
	return s.notificationStore.DeleteExpired(ctx)
}
