package notify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rollcall/internal/clock"
	"rollcall/internal/egress"
	"rollcall/internal/notification"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

const (
	// pollEvery is the polling interval for due deliveries; a notification of the database polls sooner.
	pollEvery = 500 * time.Millisecond
	// maxPerReceiver limits a replica's concurrent deliveries to one receiver.
	maxPerReceiver = 4
	// attemptTimeout bounds all calls of one attempt.
	attemptTimeout = 15 * time.Second
	// grace is how long attempts may take when the server stops.
	grace = 2 * time.Second
	// recordRetry is the interval for retrying to record an attempt while the database is away; recordTimeout bounds that
	// when the server stops.
	recordRetry   = 500 * time.Millisecond
	recordTimeout = 2 * time.Second
	// claimTimeout bounds one claim.
	claimTimeout = 2 * time.Second
)

// Store is the outbox.
type Store interface {
	ClaimDeliveries(ctx context.Context, replica string, mine []string, busy map[string]int, room int) ([]notification.ClaimedDelivery, error)
	// FinishAttempt answers with what the delivery is now; CodeOwnershipLost when another replica has it.
	FinishAttempt(ctx context.Context, c *notification.ClaimedDelivery, o notification.Outcome) (notification.DeliveryStatus, error)
	NotificationsChanged() (<-chan struct{}, func())
}

// Caller makes one call.
type Caller interface {
	Send(ctx context.Context, r egress.Request) egress.Response
}

// Lease is the replica's right to act.
type Lease interface {
	// LeaseContext ends when the replica may no longer act; it reports false if it may not now.
	LeaseContext() (context.Context, bool)
}

// Recorder counts attempts.
type Recorder interface {
	// DeliveryAttempted counts an attempt, by the delivery's status after it.
	DeliveryAttempted(kind notification.Kind, status notification.DeliveryStatus, took time.Duration)
}

// Config configures a Worker; everything is required but PublicURL.
type Config struct {
	Replica  string
	Store    Store
	Caller   Caller
	Recorder Recorder
	Lease    Lease
	Log      *slog.Logger
	// Jitter returns a random number from 0 to 1, to spread attempts.
	Jitter func() float64
	// PublicURL is the server's URL in links; without it messages have none.
	PublicURL string
}

// Worker delivers notifications, concurrently with other replicas.
type Worker struct {
	Config
	kinds map[notification.Kind]kind
	work  sync.WaitGroup
	// freed signals that an attempt has ended.
	freed chan struct{}
	mu    sync.Mutex
	// active are the deliveries in flight, by id.
	active map[string]*notification.ClaimedDelivery
}

// New returns a Worker.
func New(c Config) *Worker {
	return &Worker{Config: c, kinds: newKinds(c.PublicURL), freed: make(chan struct{}, 1), active: map[string]*notification.ClaimedDelivery{}}
}

// Run works until ctx ends, then waits for attempts in flight.
func (l *Worker) Run(ctx context.Context) {
	calls, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	context.AfterFunc(ctx, func() { time.AfterFunc(grace, cut) })
	changed, stop := l.Store.NotificationsChanged()
	defer stop()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		l.claimDue(ctx, calls)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-changed:
		case <-l.freed:
		}
	}
	l.work.Wait()
}

// claimDue claims due deliveries, within the limits, and starts an attempt of each.
func (l *Worker) claimDue(ctx, calls context.Context) {
	life, held := l.Lease.LeaseContext() // before the query: its result is not valid for longer than that
	if !held {
		return
	}
	mine, busy := l.inFlight()
	bound, cancel := context.WithTimeout(ctx, claimTimeout) // a dead connection could block for minutes
	defer cancel()
	claimed, err := l.Store.ClaimDeliveries(bound, l.Replica, mine, busy, maxPerReceiver)
	if err != nil {
		if ctx.Err() == nil {
			l.Log.WarnContext(ctx, "failed to claim deliveries", "error", err)
		}
		return
	}
	for i := range claimed {
		c := &claimed[i]
		l.markActive(c)
		l.work.Go(func() {
			defer l.clearActive(c)
			l.attemptDelivery(ctx, calls, life, c)
		})
	}
}

// attemptDelivery makes one attempt of a delivery, while the lease is valid, and records its outcome.
func (l *Worker) attemptDelivery(ctx, calls, life context.Context, c *notification.ClaimedDelivery) {
	began := time.Now()
	bound, cancel := context.WithTimeout(calls, attemptTimeout)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	outcome := decideOutcome(c, l.callReceiver(bound, c), time.Now(), l.Jitter())
	status := l.recordAttempt(ctx, c, outcome)
	l.Recorder.DeliveryAttempted(c.Subscription.Kind, status, time.Since(began))
	if status == notification.DeliveryGivenUp {
		l.Log.WarnContext(ctx, "delivery given up", "notification", c.Subscription.Name, "delivery", c.ID,
			"attempts", c.Attempt, "detail", outcome.Detail)
	}
}

func (l *Worker) callReceiver(ctx context.Context, c *notification.ClaimedDelivery) egress.Response {
	k, known := l.kinds[c.Subscription.Kind]
	switch {
	case !known:
		return unsentResponse("this version of the server does not support the kind " + string(c.Subscription.Kind))
	case c.Subscription.Secrets.Unreadable != "":
		return unsentResponse(c.Subscription.Secrets.Unreadable)
	default:
		return k.deliverMessage(ctx, l.Caller.Send, c)
	}
}

func unsentResponse(reason string) egress.Response {
	return egress.Response{Failure: rollout.CallResult{Kind: rollout.ResultNotSent, Message: "not sent: " + reason}}
}

// recordAttempt records the outcome of an attempt, and retries while the database is away, unless the server stops. No other
// replica tries the delivery while this replica's lease is valid. It returns the delivery's new status.
func (l *Worker) recordAttempt(ctx context.Context, c *notification.ClaimedDelivery, o notification.Outcome) notification.DeliveryStatus {
	for {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		status, err := l.Store.FinishAttempt(bound, c, o)
		cancel()
		if err == nil {
			return status
		}
		if problem.CodeOf(err) == problem.CodeOwnershipLost || ctx.Err() != nil {
			l.Log.InfoContext(ctx, "failed to record a delivery attempt; it may be repeated, with the same id",
				"delivery", c.ID, "error", err)
			return notification.DeliveryPending
		}
		clock.Sleep(ctx, recordRetry)
	}
}

// inFlight returns the ids of the deliveries in flight, and their number by notification.
func (l *Worker) inFlight() (mine []string, busy map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	busy = map[string]int{}
	for id, c := range l.active {
		mine = append(mine, id)
		busy[c.Subscription.ID]++
	}
	return mine, busy
}

func (l *Worker) markActive(c *notification.ClaimedDelivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active[c.ID] = c
}

func (l *Worker) clearActive(c *notification.ClaimedDelivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.active[c.ID] == c { // otherwise it was lost, and claimed again
		delete(l.active, c.ID)
	}
	select {
	case l.freed <- struct{}{}:
	default: // already signalled
	}
}
