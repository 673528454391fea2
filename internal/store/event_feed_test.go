package store_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

const appendEvent = `INSERT INTO deployment_events (deployment_id, seq, at, type, actor) VALUES ($1, $2, now(), 'x', 'ann') RETURNING id`

// appendIn draws the id of an event in a transaction that stays open.
func appendIn(t testing.TB, tx pgx.Tx, deployment string, seq int) (id int64) {
	t.Helper()
	must(t, tx.QueryRow(ctx(t), appendEvent, deployment, seq).Scan(&id))
	return id
}

func eventIDs(events []rollout.Event) (list []int64) {
	for i := range events {
		list = append(list, events[i].ID)
	}
	return list
}

// readTail reads on and wants these ids.
func readTail(t testing.TB, s *store.Store, tail storage.EventCursor, want ...int64) storage.EventCursor {
	t.Helper()
	events, next, err := s.EventsAfter(ctx(t), tail, 100)
	must(t, err)
	if !slices.Equal(eventIDs(events), want) {
		t.Fatalf("read %v, want %v", eventIDs(events), want)
	}
	return next
}

func TestTail_StopsBeforeUncommittedID(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := createDeployment(t, s, request("checkout", 1))
	newest, err := s.LatestEventID(ctx(t))
	must(t, err)
	slow, quick := begin(t, s), begin(t, s)
	low, high := appendIn(t, slow, d.ID, 100), appendIn(t, quick, d.ID, 101)
	must(t, quick.Commit(ctx(t)))

	tail := readTail(t, s, storage.EventCursor{After: newest})
	tail = readTail(t, s, tail)
	if tail.GapEnd != high {
		t.Errorf("the doubt is %+v, want up to %d", tail, high)
	}
	must(t, slow.Commit(ctx(t)))
	tail = readTail(t, s, tail, low, high)
	if tail.After != high || tail.GapEnd != 0 {
		t.Errorf("the place is %+v after all was read", tail)
	}
}

func TestTail_PassesUnusedID(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := createDeployment(t, s, request("checkout", 1))
	newest, err := s.LatestEventID(ctx(t))
	must(t, err)
	vain, quick := begin(t, s), begin(t, s)
	appendIn(t, vain, d.ID, 100)
	high := appendIn(t, quick, d.ID, 101)
	must(t, quick.Commit(ctx(t)))
	tail := readTail(t, s, storage.EventCursor{After: newest})
	must(t, vain.Rollback(ctx(t)))
	readTail(t, s, tail, high)
}

func TestTail_OldGapEndsDespiteWriters(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := createDeployment(t, s, request("checkout", 1))
	newest, err := s.LatestEventID(ctx(t))
	must(t, err)
	first, quick := begin(t, s), begin(t, s)
	low, high := appendIn(t, first, d.ID, 100), appendIn(t, quick, d.ID, 101)
	must(t, quick.Commit(ctx(t)))
	tail := readTail(t, s, storage.EventCursor{After: newest})

	later, latest := begin(t, s), begin(t, s)
	appendIn(t, later, d.ID, 102)
	appendIn(t, latest, d.ID, 103)
	must(t, latest.Commit(ctx(t)))
	tail = readTail(t, s, tail)
	must(t, first.Commit(ctx(t)))
	readTail(t, s, tail, low, high) // what came later has a doubt of its own
}

func TestTail_EndWaitsForWriters(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := createDeployment(t, s, request("checkout", 1))
	slow := begin(t, s)
	low := appendIn(t, slow, d.ID, 100)
	short, cancel := context.WithTimeout(ctx(t), 100*time.Millisecond)
	defer cancel()
	if newest, err := s.LatestEventID(short); problem.CodeOf(err) != problem.CodeUnavailable {
		t.Errorf("%d, %v while an id is in doubt", newest, err)
	}
	must(t, slow.Commit(ctx(t)))
	if newest, err := s.LatestEventID(ctx(t)); err != nil || newest != low {
		t.Errorf("%d, %v, want %d", newest, err, low)
	}
}

func TestTail_IsCompleteAndOrderedDuringWrites(t *testing.T) {
	t.Parallel()
	s := open(t)
	const writers, each = 8, 40
	deployments := make([]rollout.Deployment, writers)
	for i := range deployments {
		deployments[i] = createDeployment(t, s, request("service-"+string(rune('a'+i)), 1))
	}
	newest, err := s.LatestEventID(ctx(t))
	must(t, err)
	errVain := errors.New("in vain")
	done := make(chan struct{})
	go func() {
		defer close(done)
		atOnce(writers, func(i int) {
			for n := range each {
				err := pgx.BeginFunc(ctx(t), s.Pool(), func(tx pgx.Tx) error {
					for k := range 1 + rand.IntN(3) {
						if _, err := tx.Exec(ctx(t), appendEvent, deployments[i].ID, 100+10*n+k); err != nil {
							return err
						}
					}
					if rand.IntN(5) == 0 {
						return errVain
					}
					return nil
				})
				if err != nil && !errors.Is(err, errVain) {
					t.Error(err)
				}
			}
		})
	}()
	var got []int64
	tail := storage.EventCursor{After: newest}
	for over := false; !over || tail.GapEnd > 0; {
		select {
		case <-done:
			over = true
		default:
		}
		events := []rollout.Event{{}}
		for len(events) > 0 {
			events, tail, err = s.EventsAfter(ctx(t), tail, 7+rand.IntN(50))
			must(t, err)
			got = append(got, eventIDs(events)...)
		}
	}
	all, err := s.AllEvents(ctx(t), newest, 1<<60, 10000)
	must(t, err)
	if !slices.Equal(got, eventIDs(all)) {
		t.Errorf("the tail gave %d events, there are %d:\n%v\n%v", len(got), len(all), got, eventIDs(all))
	}
}

func TestEvents_NameServiceAndEnvironment(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := createDeployment(t, s, request("checkout", 1))
	for _, e := range events(t, s, d.ID) {
		if e.Service != "checkout" || e.Environment != "production" {
			t.Errorf("%+v", e)
		}
	}
	of, err := s.DeploymentEvents(ctx(t), d.ID, 0, d.LastSeq, 10)
	must(t, err)
	if len(of) != int(d.LastSeq) {
		t.Errorf("%d events up to number %d", len(of), d.LastSeq)
	}
	for i := range of {
		seq, err := s.SeqForEventID(ctx(t), d.ID, of[i].ID)
		must(t, err)
		if seq != of[i].Seq {
			t.Errorf("event %d has number %d, want %d", of[i].ID, seq, of[i].Seq)
		}
	}
}
