package pg

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// announcer notifies subscribers of progress. PostgreSQL commits transactions that notify one after the other, each with its flush
// to disk: saves would wait for each other. The notifications of many saves are one transaction of their own instead, of
// which nothing has to be on disk. One that is lost is made up for by the polls of subscribers.
type announcer struct {
	mu      sync.Mutex
	pending map[string]struct{}
	sending sync.WaitGroup
	busy    bool
}

// announceTimeout is how long a database may take to notify.
const announceTimeout = 5 * time.Second

// AnnounceProgress notifies the subscribers of a deployment soon, on all replicas. It does not wait.
func (db *DB) AnnounceProgress(id string) {
	a := &db.announcer
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending == nil {
		a.pending = map[string]struct{}{}
	}
	a.pending[id] = struct{}{}
	if !a.busy {
		a.busy = true
		a.sending.Go(db.sendAnnouncements)
	}
}

// sendAnnouncements notifies until nothing is pending; what comes meanwhile goes together.
func (db *DB) sendAnnouncements() {
	for ids := db.announcer.take(); len(ids) > 0; ids = db.announcer.take() {
		if err := db.notifyProgress(ids); err != nil {
			db.log.Warn("failed to announce progress", "error", err)
		}
	}
}

func (a *announcer) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := slices.Collect(maps.Keys(a.pending))
	a.pending, a.busy = nil, len(ids) > 0
	return ids
}

func (db *DB) notifyProgress(ids []string) error {
	const sql = `SELECT set_config('synchronous_commit', 'off', true), pg_notify('` + Channel + `', '` + ProgressPrefix + `' || id) FROM unnest($1::text[]) id`
	ctx, cancel := context.WithTimeout(context.Background(), announceTimeout)
	defer cancel()
	_, err := db.Exec(ctx, sql, ids)
	return err //nolint:wrapcheck // the caller says what failed
}
