// Package admin does with the store's database what no request asks for: migrations, roles and their privileges, rotation of
// keys, and retention.
package admin

import (
	"log/slog"

	"rollcall/internal/store"
	"rollcall/internal/store/pg"
	"rollcall/internal/store/sealing"
)

// Admin administers the database of a store, as the store's role.
type Admin struct {
	db     *pg.DB
	sealer sealing.Sealer
	tables []sealing.Table
	log    *slog.Logger
}

// New returns an Admin of the store's database.
func New(s *store.Store, log *slog.Logger) *Admin {
	return &Admin{db: s.DB(), sealer: s.Sealer(), tables: s.SealedTables(), log: log}
}
