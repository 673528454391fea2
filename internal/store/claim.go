package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// activeOfKey selects the deployment of d's service and environment that has begun and not ended.
const activeOfKey = `(SELECT FROM deployments a WHERE a.service = d.service AND a.environment = d.environment
	AND a.started_at IS NOT NULL AND a.finished_at IS NULL)`

// unblocked holds for a deployment d that has begun, or may begin because no other one of its service and environment is active.
const unblocked = `(d.started_at IS NOT NULL OR NOT EXISTS ` + activeOfKey + `)`

// routerCalm holds for a deployment d that has begun, or may begin because no write to the router of its service and environment, made while that
// was at rest, can still arrive.
const routerCalm = `(d.started_at IS NOT NULL OR NOT EXISTS (
	SELECT FROM resting_routers w WHERE w.service = d.service AND w.environment = d.environment AND w.write_until > clock_timestamp()))`

// abandoned holds for a deployment d whose owner is dead, or is a process of this very name that does not know it any more.
const abandoned = `(` + pg.OwnerDead + ` OR d.owner = @replica AND d.id <> ALL (@mine::uuid[]))`

// claimable holds for a deployment d that the replica should take: it is free and due, or abandoned.
const claimable = `d.finished_at IS NULL AND (d.owner IS NULL AND d.next_run_at <= clock_timestamp() OR ` + abandoned + `)
	AND ` + unblocked + ` AND ` + routerCalm

// due holds for a free deployment d whose time has come. The time is that of the statement: no index leads to one that changes
// from row to row.
const due = `d.finished_at IS NULL AND d.owner IS NULL AND d.next_run_at <= (SELECT clock_timestamp())`

// The three statements that lock what may be claimed, the longest due first, each by an index that has nothing else: what has
// begun, what waits, and what has an owner (then it has not ended).
const (
	candidateColumns = `d.id, d.owner, d.epoch, d.last_seq, d.events_hash, clock_timestamp(), d.started_at IS NULL, d.next_run_at`
	lockCandidates   = ` ORDER BY d.next_run_at, d.id LIMIT @limit FOR UPDATE OF d SKIP LOCKED`

	begunSQL = `
	SELECT ` + candidateColumns + ` FROM deployments d WHERE ` + due + ` AND d.started_at IS NOT NULL` + lockCandidates
	waitingSQL = `
	SELECT ` + candidateColumns + ` FROM deployments d WHERE ` + due + ` AND d.started_at IS NULL AND NOT EXISTS ` + activeOfKey + ` AND ` + routerCalm + lockCandidates
	ownedSQL = `
	SELECT ` + candidateColumns + ` FROM deployments d WHERE ` + abandoned + ` AND ` + unblocked + ` AND ` + routerCalm + lockCandidates
)

// claimSQL takes the locked rows. It is a statement of its own, and asks again: the statement that locked them may have
// seen a replica's lease, or the active deployment of the same service and environment, as they were before the lock.
const claimSQL = `
	WITH claimed AS (
		UPDATE deployments d SET owner = @replica, epoch = d.epoch + 1,
			revision = d.revision + was.dead::int, last_seq = d.last_seq + was.dead::int, events_hash = was.hash
		FROM (SELECT o.id, o.owner, o.owner IS NOT NULL AS dead, e.at, e.message, e.hash
			FROM unnest(@ids::uuid[], @at::timestamptz[], @message::text[], @hash::bytea[]) AS e (id, at, message, hash)
				JOIN deployments o ON o.id = e.id) was
		WHERE d.id = was.id AND ` + claimable + `
		RETURNING d.id, d.epoch, d.last_seq, was.owner AS dead_owner, was.at, was.message, was.hash,
			extract(epoch FROM clock_timestamp() - d.next_run_at)::float8 AS late
	), logged AS (
		INSERT INTO deployment_events (deployment_id, seq, at, type, actor, replica, epoch, message, hash)
		SELECT id, last_seq, at, @type, @actor, @replica, epoch, message, hash
		FROM claimed WHERE dead_owner IS NOT NULL
	)
	SELECT id, dead_owner, late, CASE WHEN dead_owner IS NOT NULL THEN pg_notify('` + pg.Channel + `', id::text)::text END FROM claimed`

// nextSQL finds when the next free deployment is due, and whether one that is due waits for an active one.
const nextSQL = `
	SELECT least(
		(SELECT min(d.next_run_at) FROM deployments d WHERE d.finished_at IS NULL AND d.owner IS NULL AND d.started_at IS NOT NULL
			AND d.next_run_at > (SELECT clock_timestamp())),
		(SELECT min(d.next_run_at) FROM deployments d WHERE d.finished_at IS NULL AND d.owner IS NULL AND d.started_at IS NULL
			AND d.next_run_at > (SELECT clock_timestamp()))),
		EXISTS (SELECT FROM deployments d WHERE ` + due + ` AND d.started_at IS NULL AND EXISTS ` + activeOfKey + `)`

// deferSQL puts off what waits for an active deployment, so that no poll looks at it again: the transaction that ends that one
// makes it due (queueWakeNext). While it is locked that transaction cannot come in between. It does not wait for locks.
const deferSQL = `
	WITH blocked AS (
		SELECT d.id FROM deployments d JOIN deployments a ON a.service = d.service AND a.environment = d.environment
			AND a.started_at IS NOT NULL AND a.finished_at IS NULL
		WHERE ` + due + ` AND d.started_at IS NULL
		ORDER BY d.next_run_at, d.id LIMIT 1000 FOR UPDATE OF d SKIP LOCKED FOR SHARE OF a SKIP LOCKED)
	UPDATE deployments d SET next_run_at = clock_timestamp() + interval '1 hour' FROM blocked WHERE d.id = blocked.id`

// ClaimDeployments makes the replica the owner of at most limit deployments that need attention: free ones that are due, those of dead
// replicas, and those that the database says are its own although they are not among mine, the ones it works on: they were
// a dead process's of the same name, or were claimed in a transaction whose answer was lost. One that waits is claimed only
// when no other of its service and environment is active. Each comes with its whole snapshot, its targets' fences and
// (where nothing was asked yet) versions brought up to what is remembered. next is when the earliest of the other free ones
// is due; zero when there is none.
func (s *Store) ClaimDeployments(ctx context.Context, replica string, mine []string, limit int) (claimed []storage.Claimed, next time.Time, err error) {
	blocked := false
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		claimed = nil
		var free []candidate
		if free, next, blocked, err = findCandidates(ctx, tx, replica, mine, limit); err != nil || len(free) == 0 {
			return err
		}
		if claimed, err = claimCandidates(ctx, tx, replica, mine, free); err != nil {
			return err
		}
		return s.learnWayBack(ctx, tx, claimed)
	})
	if err == nil && blocked {
		_, err = s.db.Exec(ctx, deferSQL)
	}
	if err != nil {
		return nil, time.Time{}, pg.Wrap("claim deployments for replica "+replica, err)
	}
	for i := range claimed {
		s.revealSecrets(&claimed[i].Snapshot.Deployment)
	}
	return claimed, next, nil
}

// candidate is what the event of a take-over follows from; the row is locked.
type candidate struct {
	deployment rollout.Deployment // ID, Owner, Epoch, LastSeq and EventsHash only
	now        time.Time
	waits      bool
	due        time.Time
}

func scanCandidate(row pgx.CollectableRow) (c candidate, err error) {
	d := &c.deployment
	err = row.Scan(&d.ID, (*pg.NullText)(&d.Owner), &d.Epoch, &d.LastSeq, (*pg.NullHash)(&d.EventsHash), (*pg.NullTime)(&c.now),
		&c.waits, (*pg.NullTime)(&c.due))
	return c, err //nolint:wrapcheck // the caller names the operation
}

// compareCandidates orders what has begun before what waits, the longest due first.
func compareCandidates(a, b candidate) int {
	if a.waits != b.waits {
		if a.waits {
			return 1
		}
		return -1
	}
	return cmp.Or(a.due.Compare(b.due), strings.Compare(a.deployment.ID, b.deployment.ID))
}

// findCandidates locks what may be claimed, at most limit of it. It also returns when the next one is due, and whether one waits
// for an active deployment.
func findCandidates(ctx context.Context, tx pgx.Tx, replica string, mine []string, limit int) (free []candidate, next time.Time, blocked bool, err error) {
	batch := &pgx.Batch{}
	args := pgx.NamedArgs{"replica": replica, "mine": pg.NonNil(mine), "limit": limit}
	for _, sql := range []string{begunSQL, waitingSQL, ownedSQL} {
		batch.Queue(sql, args).Query(func(rows pgx.Rows) error {
			some, err := pgx.CollectRows(rows, scanCandidate)
			free = append(free, some...)
			return err //nolint:wrapcheck // wrapped below
		})
	}
	batch.Queue(nextSQL).QueryRow(func(row pgx.Row) error { return row.Scan((*pg.NullTime)(&next), &blocked) })
	if err := pg.ExecBatch(ctx, tx, batch); err != nil {
		return nil, time.Time{}, false, err
	}
	slices.SortFunc(free, compareCandidates)
	return free[:min(limit, len(free))], next, blocked, nil
}

// claimArgs returns the arguments of claimSQL. What was not free gets an event of the takeover.
func claimArgs(replica string, mine []string, free []candidate) pgx.NamedArgs {
	n := len(free)
	ids, times, messages, hashes := make([]string, n), make([]time.Time, n), make([]string, n), make([][]byte, n)
	for i := range free {
		d, now := free[i].deployment, free[i].now
		ids[i], times[i] = d.ID, now
		if d.Owner != "" {
			d.Epoch++
			messages[i] = "taken over from replica " + d.Owner
			d.AppendEvents([]rollout.Event{{Type: rollout.EventTakenOver, Message: messages[i]}}, replica, now)
		}
		hashes[i] = pg.HashArg(d.EventsHash)
	}
	return pgx.NamedArgs{
		"replica": replica, "mine": pg.NonNil(mine), "ids": ids, "at": times, "message": messages, "hash": hashes,
		"type": rollout.EventTakenOver, "actor": rollout.ActorEngine,
	}
}

// claimCandidates takes the candidates and loads them. The loading is sent along with the taking, so that it costs no round trip: what
// was not taken after all is loaded in vain.
func claimCandidates(ctx context.Context, tx pgx.Tx, replica string, mine []string, free []candidate) ([]storage.Claimed, error) {
	taken := map[string]storage.Claimed{}
	batch := &pgx.Batch{}
	batch.Queue(claimSQL, claimArgs(replica, mine, free)).Query(func(rows pgx.Rows) error {
		var id string
		var c storage.Claimed
		var late float64
		_, err := pgx.ForEachRow(rows, []any{&id, (*pg.NullText)(&c.PreviousOwner), &late, nil}, func() error {
			c.OverdueBy = time.Duration(late * float64(time.Second))
			taken[id] = c
			return nil
		})
		return err //nolint:wrapcheck // wrapped below
	})
	loaded := make([]rollout.Snapshot, len(free))
	for i := range free {
		queueLoad(batch, free[i].deployment.ID, &loaded[i])
	}
	if err := pg.ExecBatch(ctx, tx, batch); err != nil {
		return nil, fmt.Errorf("take and load %d deployments: %w", len(free), err)
	}
	claimed := make([]storage.Claimed, 0, len(taken))
	for i := range free {
		if c, ok := taken[free[i].deployment.ID]; ok {
			c.Snapshot = loaded[i]
			claimed = append(claimed, c)
		}
	}
	return claimed, learnAddresses(ctx, tx, claimed)
}

// queueLoad adds to the batch what fills in the snapshot of a deployment.
func queueLoad(batch *pgx.Batch, id string, snapshot *rollout.Snapshot) {
	const targets = `
		SELECT ` + targetColumns + `, coalesce(r.fence, 0), r.version, ` + rememberedAddress + `
		FROM deployments d JOIN deployment_targets t ON t.deployment_id = d.id
			LEFT JOIN remembered_targets r ON r.service = d.service AND r.environment = d.environment AND r.target_id = t.target_id
			` + joinKnownAt + `
		WHERE d.id = $1 ORDER BY t.ordinal`
	batch.Queue(`SELECT `+deploymentColumns+` FROM deployments d WHERE d.id = $1`, id).QueryRow(func(row pgx.Row) error {
		return row.Scan(deploymentFields(&snapshot.Deployment)...)
	})
	batch.Queue(routerOfSQL, id).QueryRow(func(row pgx.Row) error { return scanRouter(row, snapshot) })
	batch.Queue(targets, id).Query(func(rows pgx.Rows) (err error) {
		snapshot.Targets, err = pgx.CollectRows(rows, scanRememberedTarget)
		return err //nolint:wrapcheck // wrapped by the caller
	})
}

// scanRememberedTarget reads targetColumns and what is remembered of the target: its fence and, before it was asked, its
// version.
func scanRememberedTarget(row pgx.CollectableRow) (rollout.Target, error) {
	var t rollout.Target
	var known storage.TargetRecord
	err := row.Scan(append(targetFields(&t), &known.Fence, (*pg.NullText)(&known.Version), (*pg.NullText)(&known.Address))...)
	known = known.ForAddress(t.Address)
	t.Fence = max(t.Fence, known.Fence)
	if t.Phase == rollout.PhaseNew && known.Version != "" {
		t.Version = known.Version
	}
	return t, err //nolint:wrapcheck // the caller names the operation
}

// CountStuck counts the unfinished deployments without progress for 8 s: the next action is overdue, or it can be claimed
// and was not.
func (s *Store) CountStuck(ctx context.Context) (int, error) {
	const sql = `
		SELECT count(*) FROM deployments d
		WHERE d.finished_at IS NULL
			AND (d.started_at IS NOT NULL AND d.next_action_at < clock_timestamp() - interval '8s'
				OR d.next_run_at < clock_timestamp() - interval '8s' AND (d.owner IS NULL OR ` + pg.OwnerDead + `) AND ` + unblocked + ` AND ` + routerCalm + `)`
	n, err := pg.QueryOne(ctx, s.db, pgx.RowTo[int], sql)
	return n, pg.Wrap("count the stuck deployments", err)
}
