// Package migrations holds the database's schema as numbered SQL files, each with its way up and down.
//
// They run while older servers work. A statement that must have a table to itself waits for all that read it, be it a dump
// of hours, and all that come later wait behind it. So the way up sets a lock_timeout before such a statement, and the
// migrating replica tries again. It is a little more than a second: that is when PostgreSQL stops an autovacuum that is in
// the way (deadlock_timeout). Building an index CONCURRENTLY blocks nothing, and leaves an invalid one when it is cut off:
// it is under no lock_timeout.
package migrations

import (
	"database/sql"
	"embed"
	"fmt"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// FS holds the migrations: 00001_name.sql and so on.
//
//go:embed *.sql
var FS embed.FS

// How often, and for how long, a replica asks for the lock while another one migrates.
const (
	lockEverySeconds = 1
	lockTries        = 300
)

// lockID is the advisory lock that each migration takes. All releases must take the same one; the library's default differs
// from version to version.
const lockID = 4097083626

// Provider moves a PostgreSQL database up and down. Several replicas may do so at once: one applies, the others wait up
// to five minutes. The caller keeps db and closes it; nothing must bound
// statements there: no statement_timeout, lock_timeout or transaction_timeout, be it of the role or of the database.
func Provider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(lockEverySeconds, lockTries))
	if err != nil {
		return nil, fmt.Errorf("make the lock for migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, FS,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return p, nil
}
