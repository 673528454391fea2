package notify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rollcall/internal/notification"
	"rollcall/internal/outbound"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

const (
	// pollEvery is how often a replica looks for deliveries that are due; an announcement makes it look sooner.
	pollEvery = 500 * time.Millisecond
	// room is how many deliveries to one receiver a replica tries at once.
	room = 4
	// attemptTime bounds one attempt, all of its calls together.
	attemptTime = 15 * time.Second
	// grace is how long attempts may go on when the server stops.
	grace = 2 * time.Second
	// markEvery is how often it is tried again to write down what came of an attempt, while the database is away; markTime
	// bounds that when the server stops.
	markEvery = 500 * time.Millisecond
	markTime  = 2 * time.Second
	// claimTime bounds one claim.
	claimTime = 2 * time.Second
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
	Send(ctx context.Context, r outbound.Request) outbound.Response
}

// Lease is the replica's right to act.
type Lease interface {
	// Life ends when the replica may no longer act; false when it may not now.
	Life() (context.Context, bool)
}

// Recorder counts attempts.
type Recorder interface {
	// DeliveryAttempted says how an attempt ended, and where the delivery stands since.
	DeliveryAttempted(kind notification.Kind, status notification.DeliveryStatus, took time.Duration)
}

// Config is what a Loop is made of; everything is required but PublicURL.
type Config struct {
	Replica  string
	Store    Store
	Caller   Caller
	Recorder Recorder
	Lease    Lease
	Log      *slog.Logger
	// Share gives a number from 0 to 1, by chance: it spreads attempts.
	Share func() float64
	// PublicURL is where people reach the server; without it messages have no links.
	PublicURL string
}

// Loop tells receivers, beside other replicas that do the same.
type Loop struct {
	Config
	kinds map[notification.Kind]kind
	work  sync.WaitGroup
	// freed has a value when there is room that there was not.
	freed chan struct{}
	mu    sync.Mutex
	// mine are the deliveries that are being tried, by their id.
	mine map[string]*notification.ClaimedDelivery
}

// New prepares a loop.
func New(c Config) *Loop {
	return &Loop{Config: c, kinds: kinds(c.PublicURL), freed: make(chan struct{}, 1), mine: map[string]*notification.ClaimedDelivery{}}
}

// Run works until ctx ends, then lets attempts end that are being made.
func (l *Loop) Run(ctx context.Context) {
	calls, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	context.AfterFunc(ctx, func() { time.AfterFunc(grace, cut) })
	changed, stop := l.Store.NotificationsChanged()
	defer stop()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		l.claim(ctx, calls)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-changed:
		case <-l.freed:
		}
	}
	l.work.Wait()
}

// claim takes what is due, as far as there is room, and tries it.
func (l *Loop) claim(ctx, calls context.Context) {
	life, held := l.Lease.Life() // before it is asked: what the answer says holds no longer than that
	if !held {
		return
	}
	mine, busy := l.working()
	bound, cancel := context.WithTimeout(ctx, claimTime) // a database that is gone without a word would hold it for minutes
	defer cancel()
	claimed, err := l.Store.ClaimDeliveries(bound, l.Replica, mine, busy, room)
	if err != nil {
		if ctx.Err() == nil {
			l.Log.WarnContext(ctx, "deliveries could not be claimed", "error", err)
		}
		return
	}
	for i := range claimed {
		c := &claimed[i]
		l.begin(c)
		l.work.Go(func() {
			defer l.end(c)
			l.attempt(ctx, calls, life, c)
		})
	}
}

// attempt tries a delivery once, while the lease lives, and writes down what came of it.
func (l *Loop) attempt(ctx, calls, life context.Context, c *notification.ClaimedDelivery) {
	began := time.Now()
	bound, cancel := context.WithTimeout(calls, attemptTime)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	outcome := decide(c, l.tell(bound, c), time.Now(), l.Share())
	status := l.mark(ctx, c, outcome)
	l.Recorder.DeliveryAttempted(c.Subscription.Kind, status, time.Since(began))
	if status == notification.DeliveryGivenUp {
		l.Log.WarnContext(ctx, "a delivery was given up", "notification", c.Subscription.Name, "delivery", c.ID,
			"attempts", c.Attempt, "detail", outcome.Detail)
	}
}

func (l *Loop) tell(ctx context.Context, c *notification.ClaimedDelivery) outbound.Response {
	k, known := l.kinds[c.Subscription.Kind]
	switch {
	case !known:
		return unsent("this version of the server does not know the kind " + string(c.Subscription.Kind))
	case c.Subscription.Secrets.Unreadable != "":
		return unsent(c.Subscription.Secrets.Unreadable)
	default:
		return k.tell(ctx, l.Caller.Send, c)
	}
}

func unsent(why string) outbound.Response {
	return outbound.Response{Failure: rollout.CallResult{Kind: rollout.ResultNotSent, Message: "not sent: " + why}}
}

// mark writes down what came of an attempt, however long the database is away, unless the server stops: nobody else tries the
// delivery meanwhile, as long as this replica lives. It answers with what the delivery is then.
func (l *Loop) mark(ctx context.Context, c *notification.ClaimedDelivery, o notification.Outcome) notification.DeliveryStatus {
	for {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTime)
		status, err := l.Store.FinishAttempt(bound, c, o)
		cancel()
		if err == nil {
			return status
		}
		if problem.CodeOf(err) == problem.CodeOwnershipLost || ctx.Err() != nil {
			l.Log.InfoContext(ctx, "an attempt of a delivery could not be written down: it may be tried again, under the same id",
				"delivery", c.ID, "error", err)
			return notification.DeliveryPending
		}
		select {
		case <-ctx.Done():
		case <-time.After(markEvery):
		}
	}
}

// working are the deliveries that are being tried, and how many of them by notification.
func (l *Loop) working() (mine []string, busy map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	busy = map[string]int{}
	for id, c := range l.mine {
		mine = append(mine, id)
		busy[c.Subscription.ID]++
	}
	return mine, busy
}

func (l *Loop) begin(c *notification.ClaimedDelivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mine[c.ID] = c
}

func (l *Loop) end(c *notification.ClaimedDelivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mine[c.ID] == c { // else it was lost, and claimed anew
		delete(l.mine, c.ID)
	}
	select {
	case l.freed <- struct{}{}:
	default: // it is known already
	}
}
