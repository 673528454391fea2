package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// How Listen keeps its connection.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// quiet is how long nothing may be heard before the connection is tried; answerBound is how long that may take.
	quiet       = 10 * time.Second
	answerBound = 3 * time.Second
)

// subscribers are the channels that want to hear of a deployment. The zero value is ready.
type subscribers struct {
	mu sync.Mutex
	of map[string]map[chan struct{}]struct{}
}

// Changed gives a channel that gets a value after each announced change of the deployment; changes that come before the
// last one was read are not counted. The function ends the subscription, once or more often; the channel is never closed.
// With an empty id it hears of every deployment. It works while Listen runs; after a lost connection every channel gets a value, because something may have been missed.
func (s *Store) Changed(id string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	s.subscribers.add(id, ch)
	return ch, func() { s.subscribers.remove(id, ch) }
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

// tell wakes the subscribers of one deployment and those of every deployment, or all of them when id is empty.
func (s *subscribers) tell(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, channels := range s.of {
		if id != "" && of != "" && of != id {
			continue
		}
		for ch := range channels {
			select {
			case ch <- struct{}{}:
			default: // it has not read the last one yet
			}
		}
	}
}

// Listen hears of changes until ctx ends, on a connection of its own that it makes again whenever it is lost, and then
// returns nil. For each change that an engine should look at it calls wake with the deployment's id, and with "" after
// (re)connecting: anything may have changed meanwhile. wake must not block.
func (s *Store) Listen(ctx context.Context, wake func(deploymentID string)) error {
	hear := func(payload string) {
		id, progress := strings.CutPrefix(payload, progressMark)
		s.subscribers.tell(id)
		if !progress {
			wake(id)
		}
	}
	backoff := firstBackoff
	for ctx.Err() == nil {
		connected, lost := s.listen(ctx, hear)
		if connected {
			backoff = firstBackoff
		}
		if ctx.Err() == nil {
			slog.WarnContext(ctx, "listening for changes was interrupted", "error", lost, "again_in", backoff)
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, lastBackoff)
	}
	return nil
}

// listen hears on one connection until that fails.
func (s *Store) listen(ctx context.Context, hear func(id string)) (connected bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig.Copy())
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	defer func() {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerBound)
		defer cancel()
		_ = conn.Close(bound) // it is lost, or no longer needed
	}()
	bound, cancel := context.WithTimeout(ctx, answerBound)
	defer cancel()
	if _, err := conn.Exec(bound, "LISTEN "+channel); err != nil {
		return false, fmt.Errorf("listen: %w", err)
	}
	hear("")
	for {
		if err := await(ctx, conn, hear); err != nil {
			return true, err
		}
	}
}

// await hears one notification, or finds out that a connection on which nothing was heard for long still lives.
func await(ctx context.Context, conn *pgx.Conn, hear func(id string)) error {
	bound, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	heard, err := conn.WaitForNotification(bound)
	if err == nil {
		hear(heard.Payload)
		return nil
	}
	if ctx.Err() != nil || !errors.Is(bound.Err(), context.DeadlineExceeded) || conn.IsClosed() {
		return fmt.Errorf("wait for a change: %w", err)
	}
	alive, cancelAlive := context.WithTimeout(ctx, answerBound)
	defer cancelAlive()
	if err := conn.Ping(alive); err != nil {
		return fmt.Errorf("try the silent connection: %w", err)
	}
	return nil
}
