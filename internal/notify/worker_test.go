package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/egress"
	"rollcall/internal/notification"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
	"rollcall/internal/storage"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// world is a database, and the replicas that deliver.
type world struct {
	*testing.T
	store *store.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := store.Open(t.Context(), dbtest.New(t), store.SealedBy(dbtest.NewKeyring(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &world{t, s}
}

// counted counts attempts, by where the delivery stands since.
type counted struct{ delivered, pending, givenUp atomic.Int64 }

func (c *counted) DeliveryAttempted(_ notification.Kind, status notification.DeliveryStatus, _ time.Duration) {
	map[notification.DeliveryStatus]*atomic.Int64{
		notification.DeliveryDelivered: &c.delivered, notification.DeliveryPending: &c.pending, notification.DeliveryGivenUp: &c.givenUp,
	}[status].Add(1)
}

// life is a lease that lasts until it is ended.
type life struct {
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
	asked  int
}

func newLife() *life {
	l := &life{}
	l.begin()
	return l
}

func (l *life) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ctx, l.cancel = context.WithCancel(context.Background())
}

func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
}

func (l *life) LeaseContext() (context.Context, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	return l.ctx, l.ctx.Err() == nil
}

func (l *life) askedFor() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// replica runs a loop until the test ends, or stop is called, which waits for it.
func (w *world) replica(name string) (c *counted, stop func()) {
	w.Helper()
	return w.replicaWith(name, newLife())
}

func (w *world) replicaWith(name string, lease *life) (c *counted, stop func()) {
	w.Helper()
	if _, err := w.store.Heartbeat(w.Context(), name, time.Hour); err != nil {
		w.Fatal(err)
	}
	c = &counted{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	l := New(Config{
		Replica: name, Store: w.store, Caller: egress.New(egress.Config{}), Recorder: c,
		Lease: lease, Log: slog.New(slog.NewTextHandler(w.Output(), nil)), Jitter: func() float64 { return 0 },
	})
	go func() { defer close(done); l.Run(ctx) }()
	stop = func() { cancel(); <-done }
	w.Cleanup(stop)
	return c, stop
}

func (w *world) notification(name, url string) {
	w.Helper()
	_, err := w.store.UpdateNotification(w.Context(), name, func(*notification.Subscription) (*notification.Subscription, error) {
		return &notification.Subscription{
			Kind: notification.KindWebhook, States: notification.KindWebhook.States(),
			Secrets: notification.Secrets{URL: secret.Secret(url)},
		}, nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

// aborted is a deployment of the service that is called off before it begins.
func (w *world) aborted(service string) string {
	w.Helper()
	created, err := w.store.CreateDeployment(w.Context(), storetest.NewRequest(service, 1))
	if err != nil {
		w.Fatal(err)
	}
	_, err = w.store.UpdateDeployment(w.Context(), created.Deployment.ID, 0, func(d *rollout.Deployment, _ time.Time) ([]rollout.Event, error) {
		d.State, d.Reason = rollout.StateAborted, "called off"
		return []rollout.Event{{Type: rollout.EventAborted, Actor: "ann"}}, nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return created.Deployment.ID
}

// await waits for a fact.
func (w *world) await(what string, is func() bool) {
	w.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(end) {
			w.Fatalf("%s: not within 30s", what)
		}
		select {
		case <-w.Context().Done():
			w.Fatal(w.Context().Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (w *world) deliveries(name string) []notification.Delivery {
	w.Helper()
	list, err := w.store.Deliveries(w.Context(), name, storage.Page{Limit: 200})
	if err != nil {
		w.Fatal(err)
	}
	return list.Items
}

// heard are the deployments that a receiver has heard of, and how often, by webhook id.
func heard(t *testing.T, r *receiver) (deployments map[string]bool, ids map[string]int) {
	t.Helper()
	deployments, ids = map[string]bool{}, map[string]int{}
	for _, c := range r.all() {
		var e envelope
		if err := json.Unmarshal(c.body, &e); err != nil {
			t.Fatal(err)
		}
		deployments[e.Data.ID] = true
		ids[c.header.Get("Webhook-Id")]++
	}
	return deployments, ids
}

func TestWorker_HangingReceiverDelaysNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hangs := newReceiver(t, func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })
	quick := newReceiver(t, nil)
	w.notification("hangs", hangs.URL)
	w.notification("quick", quick.URL)
	_, stop := w.replica("a")
	began := time.Now()
	const many = 3 * maxPerReceiver
	for i := range many {
		w.aborted(fmt.Sprintf("s%d", i))
	}
	w.await("all delivered to the quick one", func() bool { return len(quick.all()) == many })
	if took := time.Since(began); took > attemptTimeout/2 {
		t.Errorf("it took %s", took)
	}
	if n := len(hangs.all()); n > maxPerReceiver {
		t.Errorf("the one that hangs was called %d times at once", n)
	}
	stop()
	for _, d := range w.deliveries("hangs") {
		if d.Status != notification.DeliveryPending {
			t.Errorf("%s is %s", d.ID, d.Status)
		}
	}
}

func TestWorker_ReceiverGetsAllAfterOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var up atomic.Bool
	r := newReceiver(t, func(rw http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	w.notification("main", r.URL)
	c, _ := w.replica("a")
	want := map[string]bool{}
	for i := range 10 {
		want[w.aborted(fmt.Sprintf("s%d", i))] = true
	}
	w.await("each has failed", func() bool { return c.pending.Load() >= 10 })
	up.Store(true)
	w.await("all delivered", func() bool { return c.delivered.Load() == 10 })
	deployments, ids := heard(t, r)
	if len(deployments) != len(want) || len(ids) != len(want) {
		t.Errorf("%d deployments were sent under %d ids", len(deployments), len(ids))
	}
	for _, d := range w.deliveries("main") {
		last := d.Attempts[len(d.Attempts)-1]
		if d.Status != notification.DeliveryDelivered || ids[d.ID] != len(d.Attempts) || last.Result != rollout.ResultDone || d.Attempts[0].Detail != "HTTP 503" {
			t.Errorf("%+v, heard %d times", d, ids[d.ID])
		}
	}
}

func TestWorker_TwoReplicasDeliverOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, nil)
	w.notification("main", r.URL)
	a, _ := w.replica("a")
	b, _ := w.replica("b")
	for i := range 40 {
		w.aborted(fmt.Sprintf("s%d", i))
	}
	w.await("all delivered", func() bool { return a.delivered.Load()+b.delivered.Load() == 40 })
	_, ids := heard(t, r)
	for id, n := range ids {
		if n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	if len(ids) != 40 {
		t.Errorf("%d were sent", len(ids))
	}
}

func TestWorker_StopRecordsRunningAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	called, answer := make(chan struct{}), make(chan struct{})
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) { close(called); <-answer })
	w.notification("main", r.URL)
	_, stop := w.replica("a")
	w.aborted("checkout")
	<-called
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	time.AfterFunc(50*time.Millisecond, func() { close(answer) })
	<-stopped
	if d := w.deliveries("main"); len(d) != 1 || d[0].Status != notification.DeliveryDelivered || len(d[0].Attempts) != 1 {
		t.Errorf("%+v", d)
	}
}

func TestWorker_TestMessageIsTriedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no such channel", http.StatusNotFound) })
	w.notification("main", r.URL)
	c, _ := w.replica("a")
	if _, err := w.store.TestNotification(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	w.await("given up", func() bool { return c.givenUp.Load() == 1 })
	d := w.deliveries("main")
	if len(d) != 1 || d[0].Status != notification.DeliveryGivenUp || d[0].Attempts[0].Detail != "HTTP 404: no such channel" || len(r.all()) != 1 {
		t.Errorf("%+v", d)
	}
}

func TestWorker_NeedsTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var hangs atomic.Bool
	hangs.Store(true)
	called, left := make(chan struct{}), make(chan struct{})
	r := newReceiver(t, func(_ http.ResponseWriter, q *http.Request) {
		if hangs.Load() {
			close(called)
			<-q.Context().Done()
			close(left)
		}
	})
	w.notification("main", r.URL)
	lease := newLife()
	c, _ := w.replicaWith("a", lease)
	w.aborted("checkout")
	<-called
	hangs.Store(false)
	began := time.Now()
	lease.end()
	<-left
	if took := time.Since(began); took > attemptTimeout/2 {
		t.Errorf("the call took %s", took)
	}
	w.await("the attempt is over", func() bool { return c.pending.Load() == 1 })
	w.notification("main", r.URL) // what is pending is due at once
	w.aborted("search")
	_, stop := w.replica("b")
	w.await("another delivers it all", func() bool { return len(r.all()) == 3 })
	stop()
	w.aborted("payments")
	before := lease.askedFor()
	w.await("it has looked whether it may, twice", func() bool { return lease.askedFor() >= before+2 })
	if n := c.pending.Load() + c.delivered.Load(); n != 1 {
		t.Errorf("%d attempts, all but one without a lease", n)
	}
	lease.begin()
	w.await("it delivers again, once it has a lease", func() bool { return c.delivered.Load() == 1 })
	if n := len(r.all()); n != 4 {
		t.Errorf("%d calls", n)
	}
}
