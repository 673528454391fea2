package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/clock"
)

// Channel is the channel of NOTIFY; the payload is a deployment's id, or ProgressPrefix and an id or topic.
const Channel = "rollcall"

// NotifySQL announces a change; its argument is the payload.
const NotifySQL = `SELECT pg_notify('` + Channel + `', $1)`

// ProgressPrefix begins the payload of notifications for subscribers only, such as those of progress: they wake no engine.
const ProgressPrefix = "="

// Timing of Listen's connection.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// maxSilence is how long nothing may arrive before the connection is tested; replyTimeout is how long that may take.
	maxSilence   = 10 * time.Second
	replyTimeout = 3 * time.Second
)

// subscribers are the channels that get a value when a deployment changes, by its id. The zero value is ready.
type subscribers struct {
	mu sync.Mutex
	of map[string]map[chan struct{}]struct{}
}

// Subscribe returns a channel that gets a value after each announced change of the deployment; changes before the last value
// was read are not counted. The function ends the subscription, and may be called again; the channel is never closed. An
// empty id subscribes to every deployment. It works while Listen runs; after a lost connection every channel gets a value,
// because something may have been missed.
func (db *DB) Subscribe(id string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	db.subscribers.add(id, ch)
	return ch, func() { db.subscribers.remove(id, ch) }
}

func (s *subscribers) add(id string, ch chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]map[chan struct{}]struct{}{}
	}
	if s.of[id] == nil {
		s.of[id] = map[chan struct{}]struct{}{}
	}
	s.of[id][ch] = struct{}{}
}

func (s *subscribers) remove(id string, ch chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of[id], ch)
	if len(s.of[id]) == 0 {
		delete(s.of, id)
	}
}

// notify wakes the subscribers of one deployment and those of every deployment, or all of them when id is empty.
func (s *subscribers) notify(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, channels := range s.of {
		if id != "" && of != "" && of != id {
			continue
		}
		for ch := range channels {
			select {
			case ch <- struct{}{}:
			default: // the last value was not read yet
			}
		}
	}
}

// Listen receives notifications until ctx ends, and then returns nil. It does so on a connection of its own, and connects
// again whenever that is lost. For each change that an engine should look at it calls wake with the deployment's id, and with "" after
// (re)connecting: anything may have changed meanwhile. wake must not block.
func (db *DB) Listen(ctx context.Context, wake func(deploymentID string)) error {
	receive := func(payload string) {
		id, progress := strings.CutPrefix(payload, ProgressPrefix)
		db.subscribers.notify(id)
		if !progress {
			wake(id)
		}
	}
	backoff := firstBackoff
	for ctx.Err() == nil {
		connected, lost := db.listenOnce(ctx, receive)
		if connected {
			backoff = firstBackoff
		}
		if ctx.Err() == nil {
			db.log.WarnContext(ctx, "connection for notifications lost; reconnecting", "error", lost, "retry_in_ms", backoff.Milliseconds())
		}
		clock.Sleep(ctx, backoff)
		backoff = min(2*backoff, lastBackoff)
	}
	return nil
}

// listenOnce receives on one connection until that fails.
func (db *DB) listenOnce(ctx context.Context, receive func(payload string)) (connected bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, db.pool.Config().ConnConfig.Copy())
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), replyTimeout)
		defer cancel()
		_ = conn.Close(bounded) // it is lost, or no longer needed
	}()
	bounded, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	if _, err := conn.Exec(bounded, "LISTEN "+Channel); err != nil {
		return false, fmt.Errorf("listen: %w", err)
	}
	receive("")
	for {
		if err := receiveOne(ctx, conn, receive); err != nil {
			return true, err
		}
	}
}

// receiveOne receives one notification, or tests that a silent connection still works.
func receiveOne(ctx context.Context, conn *pgx.Conn, receive func(payload string)) error {
	bounded, cancel := context.WithTimeout(ctx, maxSilence)
	defer cancel()
	n, err := conn.WaitForNotification(bounded)
	if err == nil {
		receive(n.Payload)
		return nil
	}
	if ctx.Err() != nil || !errors.Is(bounded.Err(), context.DeadlineExceeded) || conn.IsClosed() {
		return fmt.Errorf("wait for a change: %w", err)
	}
	alive, cancelAlive := context.WithTimeout(ctx, replyTimeout)
	defer cancelAlive()
	if err := conn.Ping(alive); err != nil {
		return fmt.Errorf("test the silent connection: %w", err)
	}
	return nil
}
