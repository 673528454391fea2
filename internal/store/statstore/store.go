// Package statstore sums up deployments in PostgreSQL: how many there are, how long they took, and DORA's metrics. It reads the
// figures of days that triggers on deployments keep, and refreshes them; it writes nothing else.
package statstore

import "rollcall/internal/store/pg"

// Store sums up deployments.
type Store struct{ db *pg.DB }

// New returns a store of the figures in a database.
func New(db *pg.DB) *Store { return &Store{db: db} }
