package store

import (
	"cmp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/rollout"
)

// selectEvents reads what scanEvent scans, of a table called e.
const selectEvents = `SELECT e.seq, e.id, e.at, e.type, e.deployment_id, e.actor, e.replica, e.epoch, e.target, e.wave,
	e.from_state, e.to_state, e.message, e.call, d.service, d.environment
	FROM deployment_events e JOIN deployments d ON d.id = e.deployment_id `

func scanEvent(row pgx.CollectableRow) (rollout.Event, error) {
	var e rollout.Event
	err := row.Scan(&e.Seq, &e.ID, (*instant)(&e.At), &e.Type, &e.DeploymentID, &e.Actor, &e.Replica, &e.Epoch, &e.Target,
		&e.Wave, &e.From, &e.To, &e.Message, &e.Call, &e.Service, &e.Environment)
	return e, err //nolint:wrapcheck // the caller says what was tried
}

const insertEventsSQL = `
	INSERT INTO deployment_events (deployment_id, seq, at, type, actor, replica, epoch, target, wave, from_state, to_state,
		message, call)
	SELECT $1, $2 + u.place, u.at, u.type, u.actor, u.replica, u.epoch, u.target, u.wave, u.from_state, u.to_state,
		u.message, u.call::jsonb
	FROM unnest($3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::int[], $10::text[],
		$11::text[], $12::text[], $13::text[]) WITH ORDINALITY
		AS u (at, type, actor, replica, epoch, target, wave, from_state, to_state, message, call, place)
	ORDER BY u.place`

// queueEvents adds to the batch what appends the events, numbers them from d.LastSeq on and moves it. The deployment's
// row must be locked, or new.
func queueEvents(batch *pgx.Batch, d *rollout.Deployment, events []rollout.Event, now time.Time) error {
	if len(events) == 0 {
		return nil
	}
	var (
		times                                                []time.Time
		types, actors, replicas, targets, from, to, messages []string
		epochs                                               []int64
		waves                                                []int
		calls                                                []pgtype.Text
	)
	for i := range events {
		e := &events[i]
		call, err := encodeCall(e.Call)
		if err != nil {
			return err
		}
		times, types = append(times, orNow(e.At, now)), append(types, e.Type)
		actors, replicas = append(actors, cmp.Or(e.Actor, rollout.ActorEngine)), append(replicas, e.Replica)
		epochs, targets, waves = append(epochs, cmp.Or(e.Epoch, d.Epoch)), append(targets, e.Target), append(waves, e.Wave)
		from, to, messages = append(from, e.From), append(to, e.To), append(messages, e.Message)
		calls = append(calls, call)
	}
	batch.Queue(insertEventsSQL, d.ID, d.LastSeq, times, types, actors, replicas, epochs, targets, waves, from, to, messages, calls)
	d.LastSeq += int64(len(events))
	return nil
}
