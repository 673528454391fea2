package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/clock"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// writerPoll is how often LatestEventID asks whether writers have ended: they take milliseconds.
const writerPoll = 10 * time.Millisecond

// eventWritersSQL finds the transactions that may have drawn ids of events and not committed them. A transaction that
// inserts holds this lock on the table from before the id is drawn until after the row can be seen; other databases of the
// same server, and readers, are not among them.
const eventWritersSQL = `SELECT virtualtransaction FROM pg_locks
	WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND relation = 'deployment_events'::regclass
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

// LatestEventID returns the id of the newest event of all. No event with that id or a lower one will appear later: it waits
// for those who write just now.
func (s *Store) LatestEventID(ctx context.Context) (int64, error) {
	newest, err := pg.QueryOne(ctx, s.db, pgx.RowTo[int64], `SELECT coalesce(max(id), 0) FROM deployment_events`)
	if err != nil {
		return 0, pg.Wrap("find the newest event", err)
	}
	writers, err := s.eventWriters(ctx)
	for err == nil && len(writers) > 0 {
		if !clock.Sleep(ctx, writerPoll) {
			err = ctx.Err()
			break
		}
		writers, err = s.stillWriting(ctx, writers)

	}
	return newest, pg.Wrap("wait for those who write events", err)
}

// EventsAfter reads what comes next, at most limit events of all deployments in the order of their ids: each once, and none
// left out. What stands beyond a missing id is held back until that is there, or certainly never comes; GapEnd of the
// returned cursor is set then, and another read soon finds out. When the last event that was read is not there any more, or
// another one, the database has lost it, and it is CodeOwnershipLost; one that was removed because it was old is not missed.
func (s *Store) EventsAfter(ctx context.Context, t storage.EventCursor, limit int) ([]rollout.Event, storage.EventCursor, error) {
	settled, err := s.settledID(ctx, t)
	if err != nil {
		return nil, t, pg.Wrap("find out who writes events", err)
	}
	events, err := s.readAfterCursor(ctx, &t, limit)
	if err != nil {
		return nil, t, err
	}
	sure := countCertain(events, t.After, settled)
	next := storage.EventCursor{After: t.After, Last: t.Last, LastAt: t.LastAt}
	if sure > 0 {
		next.MoveTo(&events[sure-1])
	}
	if sure == len(events) {
		return events, next, nil
	}
	if t.GapEnd > max(settled, next.After) { // the older doubt first, so that it ends however many write
		next.GapEnd, next.OpenWriters = t.GapEnd, t.OpenWriters
		return events[:sure], next, nil
	}
	// Asked for after the events were read: a transaction that drew a lower id than theirs is among them, or has ended.
	next.GapEnd = events[len(events)-1].ID
	next.OpenWriters, err = s.eventWriters(ctx)
	if err != nil {
		return nil, t, pg.Wrap("find out who writes events", err)
	}
	return events[:sure], next, nil
}

// readAfterCursor reads what comes after the place, and in the same statement the event at it.
func (s *Store) readAfterCursor(ctx context.Context, t *storage.EventCursor, limit int) ([]rollout.Event, error) {
	if t.Last == (rollout.EventMark{}) {
		return s.AllEvents(ctx, t.After, math.MaxInt64, limit)
	}
	events, err := s.AllEvents(ctx, t.After-1, math.MaxInt64, limit+1)
	if err != nil {
		return nil, err
	}
	there := len(events) > 0 && events[0].ID == t.After
	switch {
	case there && events[0].Mark() == t.Last:
		return events[1:], nil
	case !there && time.Since(t.LastAt) > minDeletableAge:
		return events[:min(len(events), limit)], nil
	default:
		return nil, &problem.Error{Code: problem.CodeOwnershipLost, Message: fmt.Sprintf("the event %d is not there any more", t.After)}
	}
}

// minDeletableAge is the age from which on events may be deleted: forget_deployments enforces it, by the database's clock.
const minDeletableAge = 23 * time.Hour

// HasEvent reports whether an event with the id is there, of whichever deployment.
func (s *Store) HasEvent(ctx context.Context, eventID int64) (bool, error) {
	has, err := pg.QueryOne(ctx, s.db, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM deployment_events WHERE id = $1)`, eventID)
	return has, pg.Wrap("look for an event", err)
}

// LastCommon returns the highest id of the marks at which that very event is there; 0 when there is none.
func (s *Store) LastCommon(ctx context.Context, marks []rollout.EventMark) (int64, error) {
	n := len(marks)
	ids, of, seqs, hashes := make([]int64, n), make([]string, n), make([]int64, n), make([][]byte, n)
	for i, m := range marks {
		ids[i], of[i], seqs[i], hashes[i] = m.ID, m.DeploymentID, m.Seq, pg.HashArg(m.Hash)
	}
	common, err := pg.QueryOne(ctx, s.db, pgx.RowTo[int64], `
		SELECT coalesce(max(e.id), 0) FROM deployment_events e
			JOIN unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bytea[]) AS m (id, deployment_id, seq, hash) ON m.id = e.id
		WHERE (e.deployment_id, e.seq) = (m.deployment_id, m.seq) AND e.hash IS NOT DISTINCT FROM m.hash`, ids, of, seqs, hashes)
	return common, pg.Wrap("look which events are still there", err)
}

// settledID returns the id up to which everything is there that will ever be; it must be asked for before the events are read.
func (s *Store) settledID(ctx context.Context, t storage.EventCursor) (int64, error) {
	if t.GapEnd == 0 {
		return t.After, nil
	}
	if len(t.OpenWriters) > 0 {
		if still, err := s.stillWriting(ctx, t.OpenWriters); err != nil || len(still) > 0 {
			return t.After, err
		}
	}
	return t.GapEnd, nil
}

// countCertain counts the events, in order, before which none can be missing.
func countCertain(events []rollout.Event, after, settled int64) int {
	for i := range events {
		if events[i].ID > settled && events[i].ID != after+1 {
			return i
		}
		after = events[i].ID
	}
	return len(events)
}

func (s *Store) eventWriters(ctx context.Context) ([]string, error) {
	return pg.QueryAll(ctx, s.db, pgx.RowTo[string], eventWritersSQL)
}

// stillWriting returns those of the transactions that have not ended.
func (s *Store) stillWriting(ctx context.Context, before []string) ([]string, error) {
	now, err := s.eventWriters(ctx)
	return slices.DeleteFunc(now, func(w string) bool { return !slices.Contains(before, w) }), err
}

// AllEvents reads at most limit events of all deployments with an id above after and not above upTo, in the order of
// their ids.
func (s *Store) AllEvents(ctx context.Context, after, upTo int64, limit int) ([]rollout.Event, error) {
	events, err := pg.QueryAll(ctx, s.db, scanEvent, selectEvents+`WHERE e.id > $1 AND e.id <= $2 ORDER BY e.id LIMIT $3`, after, upTo, limit)
	return events, pg.Wrap("read the events of all deployments", err)
}

// DeploymentEvents reads at most limit events of one deployment with a number above after and not above upTo.
func (s *Store) DeploymentEvents(ctx context.Context, id string, after, upTo int64, limit int) ([]rollout.Event, error) {
	if !pg.ValidID(id) {
		return nil, notFound(id)
	}
	events, err := pg.QueryAll(ctx, s.db, scanEvent,
		selectEvents+`WHERE e.deployment_id = $1 AND e.seq > $2 AND e.seq <= $3 ORDER BY e.seq LIMIT $4`, id, after, upTo, limit)
	return events, pg.Wrap("read the events of deployment "+id, err)
}

// SeqForEventID returns the number of a deployment's newest event whose id is not above eventID; 0 when there is none.
func (s *Store) SeqForEventID(ctx context.Context, id string, eventID int64) (int64, error) {
	if !pg.ValidID(id) {
		return 0, notFound(id)
	}
	seq, err := pg.QueryOne(ctx, s.db, pgx.RowTo[int64],
		`SELECT coalesce(max(seq), 0) FROM deployment_events WHERE deployment_id = $1 AND id <= $2`, id, eventID)
	return seq, pg.Wrap("find an event of deployment "+id, err)
}

// DeploymentsByID reads those of the deployments that there are, in no order.
func (s *Store) DeploymentsByID(ctx context.Context, ids []string) ([]rollout.Deployment, error) {
	found, err := pg.QueryAll(ctx, s.db, scanDeployment, `SELECT `+deploymentColumns+` FROM deployments d WHERE d.id = ANY($1)`, ids)
	return found, pg.Wrap("read deployments", err)
}
