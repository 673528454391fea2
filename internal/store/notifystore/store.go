// Package notifystore keeps notifications in PostgreSQL, and the outbox of their deliveries.
package notifystore

import (
	"rollcall/internal/store/pg"
	"rollcall/internal/store/sealing"
)

// Store keeps notifications and deliveries.
type Store struct {
	db     *pg.DB
	sealer sealing.Sealer
}

// New returns a store of the notifications in a database.
func New(db *pg.DB, sealer sealing.Sealer) *Store { return &Store{db: db, sealer: sealer} }

// SealedTable returns the table of the notifications' secrets.
func (s *Store) SealedTable() sealing.Table {
	return sealing.Table{Name: "notifications", Keys: []string{"id"}, Needed: "true", Stale: "false", Reseal: s.resealSecrets}
}
