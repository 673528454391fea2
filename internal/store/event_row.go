package store

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/rollout"
	"rollcall/internal/store/pg"
)

// selectEvents reads what scanEvent scans, of a table called e.
const selectEvents = `SELECT e.seq, e.id, e.at, e.type, e.deployment_id, e.actor, e.replica, e.epoch, e.target, e.wave,
	e.from_state, e.to_state, e.message, e.call, e.hash, d.service, d.environment
	FROM deployment_events e JOIN deployments d ON d.id = e.deployment_id `

func scanEvent(row pgx.CollectableRow) (rollout.Event, error) {
	var e rollout.Event
	err := row.Scan(&e.Seq, &e.ID, (*pg.NullTime)(&e.At), &e.Type, &e.DeploymentID, &e.Actor, &e.Replica, &e.Epoch, &e.Target,
		&e.Wave, &e.From, &e.To, &e.Message, &e.Call, (*pg.NullHash)(&e.Hash), &e.Service, &e.Environment)
	return e, err //nolint:wrapcheck // the caller names the operation
}

// insertEventsSQL appends events to a deployment that stands in a table expression d, with the last number that is taken
// as said.
const insertEventsSQL = `
	INSERT INTO deployment_events (deployment_id, seq, at, type, actor, replica, epoch, target, wave, from_state, to_state,
		message, call, hash)
	SELECT d.id, d.said + e.place, e.at, e.type, e.actor, e.replica, e.epoch, e.target, e.wave, e.from_state, e.to_state,
		e.message, e.call::jsonb, e.hash
	FROM d, unnest(@event_at::timestamptz[], @event_type::text[], @event_actor::text[], @event_replica::text[],
		@event_epoch::bigint[], @event_target::text[], @event_wave::int[], @event_from::text[], @event_to::text[],
		@event_message::text[], @event_call::text[], @event_hash::bytea[]) WITH ORDINALITY
		AS e (at, type, actor, replica, epoch, target, wave, from_state, to_state, message, call, hash, place)
	ORDER BY e.place`

// addEvents adds what insertEventsSQL needs of events that are complete.
func addEvents(args pgx.NamedArgs, events []rollout.Event) error {
	n := len(events)
	var (
		times, waves, epochs              = make([]time.Time, n), make([]int, n), make([]int64, n)
		types, actors, replicas, messages = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		targets, from, to                 = make([]string, n), make([]string, n), make([]string, n)
		calls                             = make([]pgtype.Text, n)
		hashes                            = make([][]byte, n)
	)
	for i := range events {
		e := &events[i]
		var err error
		if calls[i], err = encodeCall(e.Call); err != nil {
			return err
		}
		times[i], types[i], messages[i], hashes[i] = e.At, e.Type, e.Message, pg.HashArg(e.Hash)
		actors[i], replicas[i], epochs[i] = e.Actor, e.Replica, e.Epoch
		targets[i], waves[i], from[i], to[i] = e.Target, e.Wave, e.From, e.To
	}
	args["events"] = n
	args["event_at"], args["event_type"], args["event_actor"], args["event_replica"] = times, types, actors, replicas
	args["event_epoch"], args["event_target"], args["event_wave"] = epochs, targets, waves
	args["event_from"], args["event_to"], args["event_message"], args["event_call"] = from, to, messages, calls
	args["event_hash"] = hashes
	return nil
}

// queueEvents adds to the batch what appends the events to d, numbers them from d.LastSeq on and moves that and the hash.
// The deployment's row must be locked, or new, and be written after this.
func queueEvents(batch *pgx.Batch, d *rollout.Deployment, events []rollout.Event, now time.Time) error {
	args := pgx.NamedArgs{"id": d.ID, "said": d.LastSeq}
	if err := addEvents(args, d.AppendEvents(events, "", now)); err != nil {
		return err
	}
	batch.Queue(`WITH d AS (SELECT @id::uuid AS id, @said::bigint AS said)`+insertEventsSQL, args)
	return nil
}
