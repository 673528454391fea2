package store

import (
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/rollout"
	"rollcall/internal/store/pg"
)

// eventRowsSQL reads rows of the event log, a table called e, in the order of a column: those that a condition selects, until
// they hold as many events as are wanted, whatever part of the first one is not. The limit is a parameter.
func eventRowsSQL(where, order, limit string) string {
	return `SELECT e.seq, e.id, e.at, e.type, e.deployment_id, e.actor, e.replica, e.epoch, e.target, e.wave,
		e.from_state, e.to_state, e.message, e.call, e.hash, d.service, d.environment, e.size, e.earlier
	FROM (SELECT e.*, sum(e.size) OVER (ORDER BY e.` + order + `) - e.size AS before
		FROM deployment_events e WHERE ` + where + ` ORDER BY e.` + order + ` LIMIT ` + limit + `) e
		JOIN deployments d ON d.id = e.deployment_id
	WHERE e.before < ` + limit + `::bigint + ` + strconv.Itoa(maxBatch) + ` ORDER BY e.` + order
}

func scanEventRow(row pgx.CollectableRow) (eventRow, error) {
	var r eventRow
	e := &r.last
	err := row.Scan(&e.Seq, &e.ID, (*pg.NullTime)(&e.At), &e.Type, &e.DeploymentID, &e.Actor, &e.Replica, &e.Epoch, &e.Target,
		&e.Wave, &e.From, &e.To, &e.Message, &e.Call, (*pg.NullHash)(&e.Hash), &e.Service, &e.Environment, &r.size, &r.earlier)
	return r, err //nolint:wrapcheck // the caller names the operation
}

// insertEventsSQL appends rows of events to a deployment that stands in a table expression d, with the last number that is taken
// as said. place is the number of a row's last event, counted from there.
const insertEventsSQL = `
	INSERT INTO deployment_events (deployment_id, seq, at, type, actor, replica, epoch, target, wave, from_state, to_state,
		message, call, hash, size, earlier)
	SELECT d.id, d.said + e.place, e.at, e.type, e.actor, e.replica, e.epoch, e.target, e.wave, e.from_state, e.to_state,
		e.message, e.call::jsonb, e.hash, e.size, e.earlier::json
	FROM d, unnest(@event_at::timestamptz[], @event_type::text[], @event_actor::text[], @event_replica::text[],
		@event_epoch::bigint[], @event_target::text[], @event_wave::int[], @event_from::text[], @event_to::text[],
		@event_message::text[], @event_call::text[], @event_hash::bytea[], @event_size::int[], @event_place::int[],
		@event_earlier::text[])
		AS e (at, type, actor, replica, epoch, target, wave, from_state, to_state, message, call, hash, size, place, earlier)
	ORDER BY e.place`

// addEvents adds what insertEventsSQL needs of events that are complete, divided into rows.
func addEvents(args pgx.NamedArgs, events []rollout.Event, rows [][]rollout.Event) error {
	n := len(rows)
	var (
		times, waves, epochs              = make([]time.Time, n), make([]int, n), make([]int64, n)
		types, actors, replicas, messages = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		targets, from, to                 = make([]string, n), make([]string, n), make([]string, n)
		calls, earlier                    = make([]pgtype.Text, n), make([]pgtype.Text, n)
		hashes                            = make([][]byte, n)
		sizes, places                     = make([]int, n), make([]int, n)
	)
	place := 0
	for i, row := range rows {
		e := &row[len(row)-1]
		var err error
		if calls[i], err = encodeCall(e.Call); err != nil {
			return err
		}
		if earlier[i], err = encodeEarlier(row); err != nil {
			return err
		}
		place += len(row)
		sizes[i], places[i] = len(row), place
		times[i], types[i], messages[i], hashes[i] = e.At, e.Type, e.Message, pg.HashArg(e.Hash)
		actors[i], replicas[i], epochs[i] = e.Actor, e.Replica, e.Epoch
		targets[i], waves[i], from[i], to[i] = e.Target, e.Wave, e.From, e.To
	}
	args["events"] = len(events)
	args["event_at"], args["event_type"], args["event_actor"], args["event_replica"] = times, types, actors, replicas
	args["event_epoch"], args["event_target"], args["event_wave"] = epochs, targets, waves
	args["event_from"], args["event_to"], args["event_message"], args["event_call"] = from, to, messages, calls
	args["event_hash"], args["event_size"], args["event_place"], args["event_earlier"] = hashes, sizes, places, earlier
	return nil
}

// queueEvents adds to the batch what appends the events to d, each as a row, numbers them from d.LastSeq on and moves that and the
// hash. The deployment's row must be locked, or new, and be written after this.
func queueEvents(batch *pgx.Batch, d *rollout.Deployment, events []rollout.Event, now time.Time) error {
	args := pgx.NamedArgs{"id": d.ID, "said": d.LastSeq}
	complete := d.AppendEvents(events, "", now)
	if err := addEvents(args, complete, groupEvents(complete, false)); err != nil {
		return err
	}
	batch.Queue(`WITH d AS (SELECT @id::uuid AS id, @said::bigint AS said)`+insertEventsSQL, args)
	return nil
}
