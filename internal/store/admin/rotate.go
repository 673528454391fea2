package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/keyring"
	"rollcall/internal/problem"
	"rollcall/internal/store/pg"
	"rollcall/internal/store/sealing"
)

// CheckKeys returns an error that names a key that is missing to open what will be needed, or nil: a server without it
// would sign nothing.
func (a *Admin) CheckKeys(ctx context.Context) error {
	for _, table := range a.tables {
		ids, err := pg.QueryAll(ctx, a.db, pgx.RowTo[string], `SELECT DISTINCT convert_from(
			substring(secrets FROM 3 FOR get_byte(secrets, 1)), 'UTF8') FROM `+table.Name+` WHERE secrets IS NOT NULL AND `+table.Needed)
		if err != nil {
			return pg.Wrap("look which keys "+table.Name+" were sealed with", err)
		}
		for _, id := range ids {
			if a.sealer.Box == nil {
				return fmt.Errorf("%s hold secrets sealed with key %q: %w", table.Name, id, keyring.ErrNoKey)
			}
			if !a.sealer.Box.Has(id) {
				return fmt.Errorf("%s hold secrets sealed with key %q, which is not among the keys of this server", table.Name, id)
			}
		}
	}
	return nil
}

// RotateKeys seals all secrets with the current key: those of older keys, and those that an older version left in the clear. It
// may run while servers work, as long as they have the key, too. It gives the number of rows written; after an error it may
// be run again. A row that no key opens stays as it is, holds up no other, and is in the error.
func (a *Admin) RotateKeys(ctx context.Context) (int, error) {
	done := 0
	var left error
	for _, table := range a.tables {
		stale, err := a.staleRows(ctx, table)
		if err != nil {
			return done, pg.Wrap("look for secrets of "+table.Name, err)
		}
		for _, keys := range stale {
			err := a.db.InTx(ctx, func(tx pgx.Tx) error { return table.Reseal(ctx, tx, keys) })
			if errors.Is(err, pgx.ErrNoRows) || problem.CodeOf(err) == problem.CodeNotFound {
				continue // removed meanwhile, and its secrets with it
			}
			if err = pg.Wrap(fmt.Sprintf("seal the secrets of %s %v", table.Name, keys), err); problem.CodeOf(err) == problem.CodeUnavailable {
				return done, err
			}
			if left = errors.Join(left, err); err == nil {
				done++
			}
		}
	}
	return done, left
}

// staleRows lists the rows whose secrets are in the clear, or not sealed with the current key.
func (a *Admin) staleRows(ctx context.Context, table sealing.Table) ([][]string, error) {
	columns := ""
	for _, key := range table.Keys {
		columns += key + "::text, "
	}
	var found [][]string
	_, err := pg.QueryAll(ctx, a.db, func(row pgx.CollectableRow) (struct{}, error) {
		keys := make([]string, len(table.Keys))
		var sealed []byte
		var readable bool
		places := make([]any, 0, len(keys)+2)
		for i := range keys {
			places = append(places, &keys[i])
		}
		err := row.Scan(append(places, &sealed, &readable)...)
		if readable || sealed != nil && !a.sealer.Box.SealedWithCurrent(sealed) {
			found = append(found, keys)
		}
		return struct{}{}, err //nolint:wrapcheck // the caller names the operation
	}, `SELECT `+columns+`secrets, coalesce(`+table.Stale+`, false) FROM `+table.Name+`
		WHERE secrets IS NOT NULL OR `+table.Stale)
	return found, err
}
