package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
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
	rows, err := s.readAfterCursor(ctx, &t, limit)
	if err != nil {
		return nil, t, err
	}
	after := func(e *rollout.Event) bool { return e.ID > t.After }
	events := flattenRows(rows, after, limit)
	sure := len(flattenRows(rows[:countCertain(rows, t.After, settled)], after, limit))
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

// readAfterCursor reads the rows that come after the place, and in the same statement the event at it: it is in the first of
// them, which may hold others before it, or after it.
func (s *Store) readAfterCursor(ctx context.Context, t *storage.EventCursor, limit int) ([]eventRow, error) {
	if t.Last == (rollout.EventMark{}) {
		return s.rowsAfter(ctx, t.After, math.MaxInt64, limit)
	}
	rows, err := s.rowsAfter(ctx, t.After-1, math.MaxInt64, limit+1)
	if err != nil {
		return nil, err
	}
	at := flattenRows(rows[:min(len(rows), 1)], func(e *rollout.Event) bool { return e.ID == t.After }, 1)
	switch {
	case len(at) == 1 && at[0].Mark() == t.Last:
		return rows, nil
	case len(at) == 0 && time.Since(t.LastAt) > minDeletableAge:
		return rows, nil
	default:
		return nil, &problem.Error{Code: problem.CodeOwnershipLost, Message: fmt.Sprintf("the event %d is not there any more", t.After)}
	}
}

// minDeletableAge is the age from which on events may be deleted: forget_deployments enforces it, by the database's clock.
const minDeletableAge = 23 * time.Hour

// HasEvent reports whether an event with the id is there, of whichever deployment.
func (s *Store) HasEvent(ctx context.Context, eventID int64) (bool, error) {
	has, err := pg.QueryOne(ctx, s.db, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM deployment_events
		WHERE id >= $1 AND id < $1 + $2::bigint AND id - size < $1)`, eventID, maxBatch)
	return has, pg.Wrap("look for an event", err)
}

// LastCommon returns the highest id of the marks at which that very event is there; 0 when there is none.
func (s *Store) LastCommon(ctx context.Context, marks []rollout.EventMark) (int64, error) {
	ids := make([]int64, len(marks))
	for i, m := range marks {
		ids[i] = m.ID
	}
	rows, err := pg.QueryAll(ctx, s.db, scanEventRow, eventRowsSQL(`e.id IN (SELECT r.id FROM deployment_events r, unnest($1::bigint[]) AS m (id)
		WHERE r.id >= m.id AND r.id < m.id + `+strconv.Itoa(maxBatch)+` AND r.id - r.size < m.id)`, "id", "$2"), ids, math.MaxInt32)
	common := int64(0)
	for _, e := range flattenRows(rows, func(e *rollout.Event) bool { return slices.Contains(marks, e.Mark()) }, math.MaxInt) {
		common = max(common, e.ID)
	}
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

// countCertain counts the rows, in order, before which none can be missing: a row has drawn its last id, maxBatch after that of
// the row before it, or one after it where both are from before rows could hold several events.
func countCertain(rows []eventRow, after, settled int64) int {
	for i := range rows {
		last := rows[i].last.ID
		first := max(last-int64(rows[i].size)+1, after+1) // what comes after the cursor
		if last > after && first > settled && first != after+1 && last != after+maxBatch {
			return i
		}
		after = max(last, after)
	}
	return len(rows)
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
	rows, err := s.rowsAfter(ctx, after, upTo, limit)
	return flattenRows(rows, func(e *rollout.Event) bool { return e.ID > after && e.ID <= upTo }, limit), err
}

// rowsAfter reads the rows with events of any deployment whose ids are above after and not above upTo.
func (s *Store) rowsAfter(ctx context.Context, after, upTo int64, limit int) ([]eventRow, error) {
	rows, err := pg.QueryAll(ctx, s.db, scanEventRow, eventRowsSQL(`e.id > $1 AND e.id - e.size < $2`, "id", "$3"), after, upTo, limit)
	return rows, pg.Wrap("read the events of all deployments", err)
}

// DeploymentEvents reads at most limit events of one deployment with a number above after and not above upTo.
func (s *Store) DeploymentEvents(ctx context.Context, id string, after, upTo int64, limit int) ([]rollout.Event, error) {
	if !pg.ValidID(id) {
		return nil, notFound(id)
	}
	rows, err := pg.QueryAll(ctx, s.db, scanEventRow,
		eventRowsSQL(`e.deployment_id = $1 AND e.seq > $2 AND e.seq - e.size < $3`, "seq", "$4"), id, after, upTo, limit)
	events := flattenRows(rows, func(e *rollout.Event) bool { return e.Seq > after && e.Seq <= upTo }, limit)
	return events, pg.Wrap("read the events of deployment "+id, err)
}

// SeqForEventID returns the number of a deployment's newest event whose id is not above eventID; 0 when there is none.
func (s *Store) SeqForEventID(ctx context.Context, id string, eventID int64) (int64, error) {
	if !pg.ValidID(id) {
		return 0, notFound(id)
	}
	seq, err := pg.QueryOne(ctx, s.db, pgx.RowTo[int64], `SELECT coalesce((SELECT seq - greatest(id - $2, 0) FROM deployment_events
		WHERE deployment_id = $1 AND id - size < $2 ORDER BY seq DESC LIMIT 1), 0)`, id, eventID)
	return seq, pg.Wrap("find an event of deployment "+id, err)
}

// DeploymentsByID reads those of the deployments that there are, in no order.
func (s *Store) DeploymentsByID(ctx context.Context, ids []string) ([]rollout.Deployment, error) {
	found, err := pg.QueryAll(ctx, s.db, scanDeployment, `SELECT `+deploymentColumns+` FROM deployments d WHERE d.id = ANY($1)`, ids)
	return found, pg.Wrap("read deployments", err)
}
