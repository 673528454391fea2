package feed_test

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/feed"
	"rollcall/internal/rollout"
)

// lose takes the newest events from the database, as a failover to a standby that lacked them does, and gives their ids
// again.
func (s *stand) lose(before rollout.Deployment, lastID int64) {
	s.t.Helper()
	for _, sql := range []string{
		`DELETE FROM deployment_events WHERE id > $1`,
		`SELECT setval(pg_get_serial_sequence('deployment_events', 'id'), $1)`,
	} {
		_, err := s.store.Pool().Exec(s.t.Context(), sql, lastID)
		must(s.t, err)
	}
	_, err := s.store.Pool().Exec(s.t.Context(), `UPDATE deployments SET revision = $2, last_seq = $3, events_hash = $4, saves = $5 WHERE id = $1`,
		before.ID, before.Revision, before.LastSeq, before.EventsHash[:], before.Saves)
	must(s.t, err)
	s.d = before
}

func (s *stand) newestID() int64 {
	s.t.Helper()
	id, err := s.store.LatestEventID(s.t.Context())
	must(s.t, err)
	return id
}

// readUntil reads frames until one is what is looked for, and gives all.
func readUntil(t *testing.T, w *feed.Subscription, found func(*feed.Frame) bool) (all []*feed.Frame) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		frames, err := w.Next(ctx)
		must(t, err)
		for _, f := range frames {
			if all = append(all, f); found(f) {
				return all
			}
		}
	}
}

// However many events come after the loss, also when they are as many as were lost.
func TestFeed_LostEventsAreNoticedHoweverManyFollow(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]int{"fewer": 2, "as many": 5, "more": 9} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			s.writeEvents(3, rollout.StateInProgress)
			one, err := s.feeds.SubscribeDeployment(t.Context(), s.d.ID, feed.FromStart)
			must(t, err)
			defer one.Close()
			every, _, err := s.feeds.SubscribeAll(t.Context(), feed.Selection{Scopes: authz.Everywhere()}, nil)
			must(t, err)
			defer every.Close()
			before, common := s.d, s.newestID()
			s.writeEvents(5, rollout.StateInProgress)
			lost := s.newestID()
			is := func(id int64) func(*feed.Frame) bool { return func(f *feed.Frame) bool { return f.ID == id } }
			readUntil(t, one, is(lost))
			readUntil(t, every, is(lost))

			s.store.away.Store(true)
			s.lose(before, common)
			s.writeEvents(after, rollout.StateInProgress)
			s.store.away.Store(false)

			ids := s.eventIDs()
			last := ids[len(ids)-1]
			isReset := func(f *feed.Frame) bool { return f.Reset }
			reset := readUntil(t, one, isReset)
			if begins := reset[len(reset)-1].ID; begins != feed.FromStart {
				t.Errorf("the deployment begins again after event %d", begins)
			}
			wantIDs(t, readUntil(t, one, is(last)), ids)
			reset = readUntil(t, every, isReset)
			if begins := reset[len(reset)-1].ID; begins != common {
				t.Errorf("all begin again after event %d, not %d", begins, common)
			}
			wantIDs(t, readUntil(t, every, is(last)), ids[before.LastSeq:])
		})
	}
}

// eventIDs lists the ids of the deployment's events, in order.
func (s *stand) eventIDs() (ids []int64) {
	s.t.Helper()
	events, err := s.store.DeploymentEvents(s.t.Context(), s.d.ID, 0, math.MaxInt64, 100)
	must(s.t, err)
	for i := range events {
		ids = append(ids, events[i].ID)
	}
	return ids
}

// wantIDs demands events with these ids, in order.
func wantIDs(t *testing.T, frames []*feed.Frame, want []int64) {
	t.Helper()
	var got []int64
	for _, f := range frames {
		if f.ID != 0 {
			got = append(got, f.ID)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

func TestFeed_UnknownPositionStartsAgain(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.writeEvents(3, rollout.StateInProgress)
	w, err := s.feeds.SubscribeDeployment(t.Context(), s.d.ID, s.newestID()+100)
	must(t, err)
	defer w.Close()
	if frames := readUntil(t, w, func(f *feed.Frame) bool { return f.ID == s.newestID() }); !frames[0].Reset || len(frames) < int(s.d.LastSeq)+1 {
		t.Errorf("it begins with %+v and has %d frames", frames[0], len(frames))
	}
}

func TestFeed_LostDeploymentEnds(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.writeEvents(3, rollout.StateInProgress)
	w, err := s.feeds.SubscribeDeployment(t.Context(), s.d.ID, feed.FromStart)
	must(t, err)
	defer w.Close()
	for _, sql := range []string{`DELETE FROM deployment_events WHERE deployment_id = $1`, `DELETE FROM deployments WHERE id = $1`} {
		_, err := s.store.Pool().Exec(t.Context(), sql, s.d.ID)
		must(t, err)
	}
	readUntil(t, w, func(f *feed.Frame) bool { return f.Reset })
	if _, err := w.Next(t.Context()); err == nil {
		t.Error("it continues")
	}
}
