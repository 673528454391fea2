package store

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/gitopsstore"
	"rollcall/internal/store/pg"
)

// CreateDeployment stores a new deployment as pending, whole or not at all. Its id is made when it has none; creation time,
// revision and events are the store's. While another deployment of its (service, environment) has not ended,
// OnConflictReject is a CodeConflict with that one's ID; otherwise the new one waits, and an older one that waited is
// superseded.
//
// With a key that was used before the answer is the one given then, or CodeKeyReused when the request was another. A
// creation under the same key that is still running is awaited for a few seconds, then CodeInProgress. A claim that is no
// longer held is CodeOwnershipLost.
func (s *Store) CreateDeployment(ctx context.Context, request storage.NewDeployment) (storage.Created, error) {
	if err := ensureID(&request.Deployment); err != nil {
		return storage.Created{}, err
	}
	if err := s.sealDeployment(&request.Deployment); err != nil {
		return storage.Created{}, err
	}
	var created storage.Created
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		created, err = createDeployment(ctx, tx, request)
		return err
	})
	if err != nil {
		return storage.Created{}, pg.Wrap("create deployment "+request.Deployment.ID, err)
	}
	return created, nil
}

func createDeployment(ctx context.Context, tx pgx.Tx, request storage.NewDeployment) (storage.Created, error) {
	if err := gitopsstore.HoldClaim(ctx, tx, request.Claim); err != nil {
		return storage.Created{}, err
	}
	turn, err := lockForCreate(ctx, tx, &request)
	if err != nil {
		return storage.Created{}, err
	}
	if turn.keyUsed {
		created, _, err := findReplay(ctx, tx, request.Key)
		if err == nil {
			err = pg.ConfirmDurable(ctx, tx)
		}
		return created, err
	}
	now, others := turn.now, turn.unfinished
	if err := refuseTooMany(&request, &turn); err != nil {
		return storage.Created{}, err
	}
	if len(others) > 0 && request.Deployment.Spec.OnConflict == rollout.OnConflictReject {
		return storage.Created{}, conflictWith(&others[0])
	}
	d := initialState(request.Deployment, now)
	batch := &pgx.Batch{}
	events := []rollout.Event{{Type: rollout.EventCreated, Actor: d.RequestedBy, To: string(d.State), Message: createdMessage(&d, request.Reason)}}
	for i := range others {
		other := &others[i]
		if other.Active() {
			d.Reason = "waiting for deployment " + other.ID + " to end"
			events = append(events, rollout.Event{Type: rollout.EventQueued, Message: d.Reason})
			continue
		}
		if err := queueSupersede(batch, other, d.ID, now); err != nil {
			return storage.Created{}, err
		}
	}
	err = queueDeployment(ctx, tx, batch, &d, request, events)
	return storage.Created{Deployment: d}, err
}

// queueWait is when a caller who was refused because of too much that waits may ask again.
const queueWait = 10 * time.Second

// refuseTooMany returns CodeRateLimited when the service has as many unfinished deployments as the request tolerates. The
// one of its service and environment that waits does not count: the new one takes its place.
func refuseTooMany(request *storage.NewDeployment, t *admission) error {
	n := t.ofService
	if last := len(t.unfinished) - 1; last >= 0 && !t.unfinished[last].Active() {
		n--
	}
	if request.QueueLimit == 0 || n < request.QueueLimit {
		return nil
	}
	return &problem.Error{
		Code: problem.CodeRateLimited, RetryAfter: queueWait,
		Message: fmt.Sprintf("%s has %d deployments that have not ended, over all environments, and no more are taken",
			request.Deployment.Service, n),
	}
}

// ensureID sets a deployment's id when it has none.
func ensureID(d *rollout.Deployment) error {
	if d.ID != "" {
		return nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an id: %w", err)
	}
	d.ID = id.String()
	return nil
}

// initialState returns the deployment as it is stored first.
func initialState(d rollout.Deployment, now time.Time) rollout.Deployment {
	d.State, d.Direction = rollout.StatePending, cmp.Or(d.Direction, rollout.Forward)
	d.Reason = cmp.Or(d.Reason, "waiting to start")
	d.CreatedAt, d.Revision, d.LastSeq, d.EventsHash = now, 1, 0, rollout.Hash{}
	d.StartedAt, d.FinishedAt, d.Result = time.Time{}, time.Time{}, nil
	d.OperatorRevision, d.Owner, d.Epoch, d.Saves = 0, "", 0, 0
	d.Labels = pg.NonNilMap(d.Labels)
	return d
}

func createdMessage(d *rollout.Deployment, why string) string {
	message := fmt.Sprintf("%s of %s in %s", d.Kind, d.Service, d.Environment)
	if d.Version != "" {
		message += " to " + d.Version
	}
	switch {
	case d.Spec.RetryOf != "":
		message += ", for what deployment " + d.Spec.RetryOf + " left undone"
	case d.RollbackOf != "":
		message += ", taking back deployment " + d.RollbackOf
	}
	if why != "" {
		message += ": " + why
	}
	return message
}

// queueDeployment writes all of a new deployment; what the batch holds already comes first.
func queueDeployment(
	ctx context.Context, tx pgx.Tx, batch *pgx.Batch, d *rollout.Deployment, request storage.NewDeployment,
	events []rollout.Event,
) error {
	if err := queueEvents(batch, d, events, d.CreatedAt); err != nil {
		return err
	}
	batch.Queue(insertDeploymentSQL, insertDeployment(d))
	if request.Key.Value != "" {
		batch.Queue(`UPDATE idempotency_keys SET answer = $3 WHERE caller = $1 AND key = $2`,
			request.Key.Caller, request.Key.Value, answerOf(d))
	}
	if err := queueTargets(batch, d.ID, request.Targets, d.CreatedAt); err != nil {
		return err
	}
	batch.Queue(pg.NotifySQL, d.ID)
	return pg.ExecBatch(ctx, tx, batch)
}
