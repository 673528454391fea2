// Package tokenstore keeps API tokens in PostgreSQL: their hashes, and never the tokens themselves.
package tokenstore

import "rollcall/internal/store/pg"

// Store keeps tokens.
type Store struct{ db *pg.DB }

// New returns a store of the tokens in a database.
func New(db *pg.DB) *Store { return &Store{db: db} }
