package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/rollout"
	"rollcall/internal/store/pg"
)

// maxBatch is how many events a row may hold: each has an id, and a row draws so many (the increment of the column).
const maxBatch = 1024

// eventRow is a row of the event log: its last event, and the size-1 events before it.
type eventRow struct {
	last    rollout.Event
	size    int
	earlier []batchedEvent
}

// batchedEvent is an event that is stored in the row of a later one of the same save. What is empty is as in that one:
// actor, replica, epoch, wave and service are nearly always the same.
type batchedEvent struct {
	At      time.Time     `json:"at"`
	Type    string        `json:"type"`
	Target  string        `json:"target,omitempty"`
	From    string        `json:"from,omitempty"`
	To      string        `json:"to,omitempty"`
	Message string        `json:"message,omitempty"`
	Call    *rollout.Call `json:"call,omitempty"`
	Hash    []byte        `json:"hash,omitempty"`
	Actor   *string       `json:"actor,omitempty"`
	Replica *string       `json:"replica,omitempty"`
	Epoch   *int64        `json:"epoch,omitempty"`
	Wave    *int          `json:"wave,omitempty"`
}

// groupEvents divides events that follow each other into rows. Those about targets share rows, if batches are allowed; each of
// the others has one of its own, so that queries find it by its type.
func groupEvents(events []rollout.Event, batches bool) [][]rollout.Event {
	var rows [][]rollout.Event
	for from := 0; from < len(events); {
		to := from + 1
		for batches && events[from].Target != "" && to < len(events) && events[to].Target != "" && to-from < maxBatch {
			to++
		}
		rows, from = append(rows, events[from:to]), to
	}
	return rows
}

// encodeEarlier returns all events of a row but the last as JSON; NULL when there are none.
func encodeEarlier(row []rollout.Event) (pgtype.Text, error) {
	if len(row) == 1 {
		return pgtype.Text{}, nil
	}
	last := &row[len(row)-1]
	earlier := make([]batchedEvent, len(row)-1)
	for i := range earlier {
		e := &row[i]
		earlier[i] = batchedEvent{
			At: e.At.UTC().Truncate(time.Microsecond), Type: e.Type, Target: e.Target, From: e.From, To: e.To, Message: e.Message, Call: e.Call,
			Hash: pg.HashArg(e.Hash), Actor: unlessEqual(e.Actor, last.Actor), Replica: unlessEqual(e.Replica, last.Replica),
			Epoch: unlessEqual(e.Epoch, last.Epoch), Wave: unlessEqual(e.Wave, last.Wave),
		}
	}
	b, err := json.Marshal(earlier)
	if err != nil {
		return pgtype.Text{}, fmt.Errorf("encode %d events: %w", len(earlier), err)
	}
	return pg.TextArg(string(b)), nil
}

// unlessEqual returns a value that differs from the row's own, else nil.
func unlessEqual[T comparable](value, rows T) *T {
	if value == rows {
		return nil
	}
	return &value
}

// valueOr returns the value, or the row's own when there is none.
func valueOr[T any](value *T, rows T) T {
	if value == nil {
		return rows
	}
	return *value
}

// events returns the events of a row, in their order.
func (r *eventRow) events() []rollout.Event {
	list := make([]rollout.Event, 0, r.size)
	for i := range r.earlier {
		b := &r.earlier[i]
		e := r.last
		before := int64(len(r.earlier) - i)
		e.Seq, e.ID = r.last.Seq-before, r.last.ID-before
		e.At, e.Type, e.Target, e.From, e.To, e.Message, e.Call = b.At, b.Type, b.Target, b.From, b.To, b.Message, b.Call
		e.Actor, e.Replica, e.Epoch, e.Wave = valueOr(b.Actor, e.Actor), valueOr(b.Replica, e.Replica), valueOr(b.Epoch, e.Epoch), valueOr(b.Wave, e.Wave)
		e.Hash = rollout.Hash{}
		copy(e.Hash[:], b.Hash)
		list = append(list, e)
	}
	return append(list, r.last)
}

// flattenRows returns the events of rows that a reader wants, at most limit of them.
func flattenRows(rows []eventRow, wanted func(*rollout.Event) bool, limit int) (events []rollout.Event) {
	for i := range rows {
		for _, e := range rows[i].events() {
			if len(events) == limit {
				return events
			}
			if wanted(&e) {
				events = append(events, e)
			}
		}
	}
	return events
}
