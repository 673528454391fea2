// Package gitopsstore keeps Git sources in PostgreSQL: what they are, what was found in their files and deployed, and which
// replica owns them.
package gitopsstore

import (
	"context"

	"rollcall/internal/store/pg"
	"rollcall/internal/store/sealing"
)

// Store keeps Git sources.
type Store struct {
	db     *pg.DB
	sealer sealing.Sealer
}

// New returns a store of the Git sources in a database.
func New(db *pg.DB, sealer sealing.Sealer) *Store { return &Store{db: db, sealer: sealer} }

// SealedTable returns the table of the sources' secrets.
func (s *Store) SealedTable() sealing.Table {
	return sealing.Table{Name: "gitops_sources", Keys: []string{"name"}, Needed: "true", Stale: "false", Reseal: s.resealSecrets}
}

// DeleteExpired removes old push notifications.
func (s *Store) DeleteExpired(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `DELETE FROM gitops_deliveries WHERE received_at <= clock_timestamp() - `+pushTTL)
	return pg.Wrap("remove old push notifications", err)
}
