package feed_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/feed"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

// counted is a store that counts what is asked of it, and can be made to refuse.
type counted struct {
	*store.Store
	asked atomic.Int64
	away  atomic.Bool
}

func (c *counted) ask() error {
	c.asked.Add(1)
	if c.away.Load() {
		return errors.New("the database is away")
	}
	return nil
}

func (c *counted) Deployment(ctx context.Context, id string) (rollout.Deployment, error) {
	if err := c.ask(); err != nil {
		return rollout.Deployment{}, err
	}
	return c.Store.Deployment(ctx, id)
}

func (c *counted) DeploymentsByID(ctx context.Context, ids []string) ([]rollout.Deployment, error) {
	if err := c.ask(); err != nil {
		return nil, err
	}
	return c.Store.DeploymentsByID(ctx, ids)
}

func (c *counted) DeploymentEvents(ctx context.Context, id string, after, upTo int64, limit int) ([]rollout.Event, error) {
	if err := c.ask(); err != nil {
		return nil, err
	}
	return c.Store.DeploymentEvents(ctx, id, after, upTo, limit)
}

func (c *counted) EventsAfter(ctx context.Context, t storage.EventCursor, limit int) ([]rollout.Event, storage.EventCursor, error) {
	if err := c.ask(); err != nil {
		return nil, t, err
	}
	return c.Store.EventsAfter(ctx, t, limit)
}

// stand is a deployment that is under way, and feeds to watch it by.
type stand struct {
	t     *testing.T
	store *counted
	feeds *feed.Hub
	d     rollout.Deployment
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s, err := store.Open(t.Context(), dbtest.New(t))
	must(t, err)
	t.Cleanup(s.Close)
	created, err := s.CreateDeployment(t.Context(), storage.NewDeployment{
		Deployment: rollout.Deployment{
			Service: "checkout", Environment: "production", Version: "v2", Kind: rollout.KindDeploy,
			Spec: rollout.Spec{Strategy: rollout.Strategy{Type: "rolling"}},
		},
		Targets: []rollout.Target{{ID: "web-1", State: rollout.TargetPending, Phase: rollout.PhaseNew, Health: healthcheck.Unknown}},
	})
	must(t, err)
	_, err = s.Heartbeat(t.Context(), "r1", time.Hour)
	must(t, err)
	claimed, _, err := s.ClaimDeployments(t.Context(), "r1", nil, 1)
	must(t, err)
	if len(claimed) != 1 || claimed[0].Snapshot.Deployment.ID != created.Deployment.ID {
		t.Fatalf("claimed %v", claimed)
	}
	c := &counted{Store: s}
	feeds := feed.New(feed.Config{
		Store: c, ReadTimeout: time.Minute, Log: slog.New(slog.DiscardHandler),
		Event: func(e *rollout.Event) ([]byte, error) { return strconv.AppendInt(nil, e.Seq, 10), nil },
		Deployments: func(_ context.Context, list []rollout.Deployment) (encoded [][]byte, err error) {
			for i := range list {
				encoded = append(encoded, []byte(list[i].State))
			}
			return encoded, nil
		},
	})
	return &stand{t: t, store: c, feeds: feeds, d: claimed[0].Snapshot.Deployment}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writeEvents writes n events, and the state.
func (s *stand) writeEvents(n int, state rollout.State) {
	s.t.Helper()
	s.d.State = state
	if s.d.StartedAt.IsZero() {
		s.d.StartedAt = s.d.CreatedAt
	}
	if state.Terminal() {
		s.d.FinishedAt = s.d.CreatedAt
	}
	events := make([]rollout.Event, n)
	for i := range events {
		events[i].At, events[i].Type = time.Now(), rollout.EventTargetResult
	}
	saved, err := s.store.SaveDeployment(s.t.Context(), storage.SaveRequest{Deployment: s.d, Events: events})
	must(s.t, err)
	s.d.Revision, s.d.LastSeq, s.d.EventsHash, s.d.Saves = saved.Revision, saved.LastSeq, saved.EventsHash, saved.Saves
}

func (s *stand) watch(after int64) *feed.Subscription {
	s.t.Helper()
	w, err := s.feeds.SubscribeDeployment(s.t.Context(), s.d.ID, after)
	must(s.t, err)
	s.t.Cleanup(w.Close)
	return w
}

// toEnd reads until the feed has ended: the events' numbers, and the last state.
func toEnd(ctx context.Context, w *feed.Subscription) (seqs []int, state string, err error) {
	for {
		frames, err := w.Next(ctx)
		if errors.Is(err, io.EOF) {
			return seqs, state, nil
		}
		if err != nil {
			return seqs, state, err
		}
		for _, f := range frames {
			if f.ID == 0 {
				state = string(f.Data)
				continue
			}
			seq, err := strconv.Atoi(string(f.Data))
			if err != nil {
				return seqs, state, err
			}
			seqs = append(seqs, seq)
		}
	}
}

func oneTo(n int64) (list []int) {
	for i := range int(n) {
		list = append(list, i+1)
	}
	return list
}

func TestHub_ManySubscriptionsCostOneReader(t *testing.T) {
	t.Parallel()
	asked := func(watchers int) int64 {
		s := newStand(t)
		var all sync.WaitGroup
		failed, total := make(chan string, watchers), s.d.LastSeq+100
		for range watchers {
			w := s.watch(feed.FromStart)
			all.Go(func() {
				seqs, state, err := toEnd(t.Context(), w)
				if err != nil || state != "completed" || !slices.Equal(seqs, oneTo(total)) {
					failed <- state
				}
			})
		}
		for range 9 {
			s.writeEvents(10, rollout.StateInProgress)
		}
		s.writeEvents(10, rollout.StateCompleted)
		began := time.Now()
		all.Wait()
		if len(failed) > 0 {
			t.Errorf("%d of %d watchers did not see all", len(failed), watchers)
		}
		t.Logf("%d watchers had seen the end %s after it came, for %d questions", watchers, time.Since(began), s.store.asked.Load())
		return s.store.asked.Load()
	}
	// Each of 10 changes is read at most once, and time passes while watchers come.
	one, many := asked(1), asked(1000)
	if many > one+30 {
		t.Errorf("1000 watchers asked %d times, one %d times", many, one)
	}
}

func TestHub_UnwatchedIsNotRead(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	first, second := s.watch(feed.FromStart), s.watch(feed.FromStart)
	_, err := first.Next(t.Context())
	must(t, err)
	first.Close()
	first.Close()
	s.writeEvents(1, rollout.StateInProgress)
	for seen := false; !seen; {
		frames, err := second.Next(t.Context())
		must(t, err)
		seen = slices.ContainsFunc(frames, func(f *feed.Frame) bool { return string(f.Data) == "in_progress" })
	}
	second.Close()
	before := s.store.asked.Load()
	never := time.NewTimer(1200 * time.Millisecond) // a feed that is read asks at least every half second
	<-never.C
	if asked := s.store.asked.Load() - before; asked > 1 {
		t.Errorf("%d queries without a subscription", asked)
	}
}

func TestSubscription_SurvivesDatabaseOutage(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	w := s.watch(feed.FromStart)
	s.store.away.Store(true)
	before := s.store.asked.Load()
	s.writeEvents(5, rollout.StateCompleted)
	for s.store.asked.Load() < before+3 { // it keeps retrying
		runtime.Gosched()
	}
	if _, err := s.feeds.SubscribeDeployment(t.Context(), s.d.ID, feed.FromStart); err != nil {
		t.Errorf("who joins a feed that waits is refused: %v", err)
	}
	s.store.away.Store(false)
	seqs, state, err := toEnd(t.Context(), w)
	if err != nil || state != "completed" || !slices.Equal(seqs, oneTo(s.d.LastSeq)) {
		t.Errorf("%v, %s, %v", seqs, state, err)
	}
}

func TestHub_FailedFeedIsOpenedAgain(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.store.away.Store(true)
	for range 2 {
		if _, err := s.feeds.SubscribeDeployment(t.Context(), s.d.ID, feed.FromStart); err == nil {
			t.Fatal("it can be watched without a database")
		}
	}
	s.store.away.Store(false)
	if frames, err := s.watch(feed.FromStart).Next(t.Context()); err != nil || len(frames) == 0 {
		t.Errorf("%v, %v", frames, err)
	}
}

func TestSubscription_KeepsNewestStateOnly(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	slow, quick := s.watch(feed.FromStart), s.watch(feed.FromStart)
	states := 0
	for range 5 {
		s.writeEvents(1, rollout.StateInProgress)
		for last := int64(0); last < s.d.LastSeq; {
			frames, err := quick.Next(t.Context())
			must(t, err)
			for _, f := range frames {
				if f.ID == 0 {
					states++
					continue
				}
				seq, err := strconv.ParseInt(string(f.Data), 10, 64)
				must(t, err)
				last = seq
			}
		}
	}
	if states < 4 {
		t.Errorf("the quick one saw %d states", states)
	}
	frames, err := slow.Next(t.Context())
	must(t, err)
	got := 0
	for _, f := range frames {
		if f.ID == 0 {
			got++
		}
	}
	if got != 1 || frames[len(frames)-1].ID != 0 {
		t.Errorf("%d states waited for the slow one", got)
	}
}
