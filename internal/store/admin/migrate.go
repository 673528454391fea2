package admin

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/pressly/goose/v3"

	"rollcall/internal/clock"
	"rollcall/internal/problem"
	"rollcall/internal/store/pg"
	"rollcall/migrations"
)

// How often a migration is tried while others hold a table that it changes, and how long they are left alone in between:
// ten minutes together.
const (
	migrationTries = 40
	firstPause     = time.Second
	lastPause      = 16 * time.Second
)

// Migrate brings the schema up to what this binary needs. Any number of replicas may do so at once; it does nothing, and
// takes no lock, when nothing is left to do. While others hold a table that it must have to itself, as a dump does, it asks
// for a moment again and again; those who use the table, and other replicas, continue in between. After ten minutes of that
// it is CodeUnavailable, and may be called again.
func (a *Admin) Migrate(ctx context.Context) error { return a.tryMigrate(ctx, migrationTries) }

func (a *Admin) tryMigrate(ctx context.Context, tries int) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := a.tryToMigrate(ctx)
		if !pg.HasState(err, pg.LockNotAvailable, pg.DeadlockDetected) {
			return pg.Wrap("migrate the database", err)
		}
		err = tableHeld(err)
		if tries--; tries <= 0 {
			return err
		}
		a.log.WarnContext(ctx, "a migration waits for others to end their transactions", "error", err, "retry_in_ms", pause.Milliseconds())
		if !clock.Sleep(ctx, pause) {
			return fmt.Errorf("migrate the database: %w, after: %s", ctx.Err(), err.Error())
		}
	}
}

// tryToMigrate uses connections of its own, which end with it: a try that was cut off may have left a setting behind.
func (a *Admin) tryToMigrate(ctx context.Context) error {
	db := a.db.OpenUnlimited()
	defer func() { _ = db.Close() }() // what was done is committed

	provider, err := migrations.Provider(db)
	if err != nil {
		return err //nolint:wrapcheck // it says what was tried
	}
	_, err = provider.Up(ctx)
	return err //nolint:wrapcheck // the caller names the operation
}

// tableHeld returns an error that names the migration that did not get a table.
func tableHeld(err error) error {
	name := "a migration"
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		name = "the migration " + path.Base(partial.Failed.Source.Path)
	}
	return &problem.Error{
		Code: problem.CodeUnavailable, Message: name + " changes a table that others hold, as a dump or a long transaction does", Err: err,
	}
}
