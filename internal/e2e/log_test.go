package e2e

import (
	"encoding/json"
	"testing"
	"time"

	"rollcall/internal/dbtest"
)

// What a library says, or a package that was given no log, is for the same reader.
func TestLog_EveryLineIsJSON(t *testing.T) {
	t.Parallel()
	database := dbtest.New(t)
	p := serve(t, database)
	const cut = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()`
	operator := connected(t, database)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(30 * time.Second); !p.says("connection for notifications lost"); <-poll.C {
		var listeners int
		if err := operator.QueryRow(t.Context(), cut).Scan(&listeners); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("no connection that listens was cut")
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		var entry struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Level == "" || entry.Msg == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
}
