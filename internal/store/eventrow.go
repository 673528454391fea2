package store

import (
	"cmp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/rollout"
)

// eventColumns are what scanEvent reads, in this order, of a table called e.
const eventColumns = `e.seq, e.id, e.at, e.type, e.deployment_id, e.actor, e.replica, e.epoch, e.target, e.wave,
	e.from_state, e.to_state, e.message, e.call`

func scanEvent(row pgx.CollectableRow) (rollout.Event, error) {
	var e rollout.Event
	err := row.Scan(&e.Seq, &e.ID, (*instant)(&e.At), &e.Type, &e.DeploymentID, &e.Actor, &e.Replica, &e.Epoch, &e.Target,
		&e.Wave, &e.From, &e.To, &e.Message, &e.Call)
	return e, err //nolint:wrapcheck // the caller says what was tried
}

// insertEventsSQL appends events to a deployment that stands in a table expression d, with the last number that is taken
// as said.
const insertEventsSQL = `
	INSERT INTO deployment_events (deployment_id, seq, at, type, actor, replica, epoch, target, wave, from_state, to_state,
		message, call)
	SELECT d.id, d.said + e.place, coalesce(e.at, @now, clock_timestamp()), e.type, e.actor, e.replica,
		coalesce(e.epoch, d.epoch), e.target, e.wave, e.from_state, e.to_state, e.message, e.call::jsonb
	FROM d, unnest(@event_at::timestamptz[], @event_type::text[], @event_actor::text[], @event_replica::text[],
		@event_epoch::bigint[], @event_target::text[], @event_wave::int[], @event_from::text[], @event_to::text[],
		@event_message::text[], @event_call::text[]) WITH ORDINALITY
		AS e (at, type, actor, replica, epoch, target, wave, from_state, to_state, message, call, place)
	ORDER BY e.place`

// addEvents adds what insertEventsSQL needs, but for the time of events that have none. Events that name no replica are
// the given one's.
func addEvents(args pgx.NamedArgs, events []rollout.Event, replica string) error {
	n := len(events)
	var (
		times                             = make([]pgtype.Timestamptz, n)
		types, actors, replicas, messages = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		targets, from, to                 = make([]string, n), make([]string, n), make([]string, n)
		epochs                            = make([]pgtype.Int8, n)
		waves                             = make([]int, n)
		calls                             = make([]pgtype.Text, n)
	)
	for i := range events {
		e := &events[i]
		var err error
		if calls[i], err = encodeCall(e.Call); err != nil {
			return err
		}
		times[i], types[i], messages[i] = at(e.At), e.Type, e.Message
		actors[i], replicas[i] = cmp.Or(e.Actor, rollout.ActorEngine), cmp.Or(e.Replica, replica)
		epochs[i] = pgtype.Int8{Int64: e.Epoch, Valid: e.Epoch != 0}
		targets[i], waves[i], from[i], to[i] = e.Target, e.Wave, e.From, e.To
	}
	args["events"] = n
	args["event_at"], args["event_type"], args["event_actor"], args["event_replica"] = times, types, actors, replicas
	args["event_epoch"], args["event_target"], args["event_wave"] = epochs, targets, waves
	args["event_from"], args["event_to"], args["event_message"], args["event_call"] = from, to, messages, calls
	return nil
}

// queueEvents adds to the batch what appends the events, numbers them from d.LastSeq on and moves it. The deployment's
// row must be locked, or new.
func queueEvents(batch *pgx.Batch, d *rollout.Deployment, events []rollout.Event, now time.Time) error {
	args := pgx.NamedArgs{"id": d.ID, "said": d.LastSeq, "epoch": d.Epoch, "now": at(now)}
	if err := addEvents(args, events, ""); err != nil {
		return err
	}
	batch.Queue(`WITH d AS (SELECT @id::uuid AS id, @said::bigint AS said, @epoch::bigint AS epoch)`+insertEventsSQL, args)
	d.LastSeq += int64(len(events))
	return nil
}
