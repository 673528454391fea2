package e2e

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// versionsAhead is how many later versions of the server there are, each with one migration more: as many as a round can
// use, and for a short run, for which building them would take too long, fewer.
func versionsAhead() int {
	if d, err := time.ParseDuration(os.Getenv("CHAOS_TIME")); err == nil && d >= longRun {
		return 9
	}
	return 2
}

// longRun is how long a run is for which much may be prepared.
const longRun = 10 * time.Minute

// upgrade gives the replicas of a round later versions of the server, one after the other.
type upgrade struct {
	t        testing.TB
	database string
	programs []string // in order

	mu   sync.Mutex
	next int
}

// begin has a replica run the next version from now on. It answers with the number of the migration that this brings, -1
// when the replica gets no newer version than others have.
func (u *upgrade) begin(r *replica) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.next == len(u.programs) {
		r.program = u.programs[u.next-1]
		return -1
	}
	r.program = u.programs[u.next]
	u.next++
	return u.next - 1
}

// done reports whether that migration is there. It was brought while replicas of older versions served, for no two get the
// same version but the last.
func (u *upgrade) done(n int) bool {
	if n < 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if columns, err := u.brought(ctx, n); err == nil {
			return columns == 2
		}
		<-time.After(50 * time.Millisecond) // the database may be struck
	}
	u.t.Error("the database does not come back")
	return false
}

func (u *upgrade) brought(ctx context.Context, n int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, u.database)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	return brought(ctx, conn, n)
}
