package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/storage"
)

// NamedTable is a table of few things that have names. R is what a row is read as.
type NamedTable[R any] struct {
	Thing, Table string
	Cursor       string // the prefix of its cursors
	Read         string // selects the columns that Scan reads, and ends in WHERE
	Scan         pgx.RowToFunc[R]
	NameOf       func(*R) string
	Max          int
}

// Get reads one by its name; CodeNotFound when there is none.
func (n NamedTable[R]) Get(ctx context.Context, q Querier, name string) (R, error) {
	found, err := QueryOne(ctx, q, n.Scan, n.Read+` name = $1`, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return found, NotFound(n.Thing, name)
	}
	return found, Wrap("read "+n.Thing+" "+name, err)
}

// NotFound returns CodeNotFound for a thing of that name.
func NotFound(thing, name string) error {
	return &problem.Error{Code: problem.CodeNotFound, Message: fmt.Sprintf("there is no %s %q", thing, name)}
}

// List reads a page of them in the order of their names.
func (n NamedTable[R]) List(ctx context.Context, q Querier, p storage.Page) (storage.List[R], error) {
	var after string
	if p.Cursor != "" {
		if err := decodeCursor(p.Cursor, n.Cursor+":%s", &after); err != nil {
			return storage.List[R]{}, err
		}
	}
	limit := LimitOf(p)
	items, err := QueryAll(ctx, q, n.Scan, n.Read+` name > $1 ORDER BY name LIMIT $2`, after, limit+1)
	if err != nil {
		return storage.List[R]{}, Wrap("list "+n.Thing+"s", err)
	}
	return CutPage(items, limit, func(last *R) string { return encodeCursor(n.Cursor+":%s", n.NameOf(last)) }), nil
}

// Lock locks a row, or, when there is none, the table, so that no other transaction creates it; nil then.
func (n NamedTable[R]) Lock(ctx context.Context, tx pgx.Tx, name string) (*R, error) {
	row, err := n.LockRow(ctx, tx, name)
	if err != nil || row != nil {
		return row, err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, n.Table); err != nil {
		return nil, fmt.Errorf("lock the list of %ss: %w", n.Thing, err)
	}
	return n.LockRow(ctx, tx, name) // it may have been created while this waited
}

// LockRow locks a row; nil when there is none.
func (n NamedTable[R]) LockRow(ctx context.Context, tx pgx.Tx, name string) (*R, error) {
	row, err := QueryOne(ctx, tx, n.Scan, n.Read+` name = $1 FOR UPDATE`, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nil means that there is none
	}
	if err != nil {
		return nil, fmt.Errorf("lock the %s: %w", n.Thing, err)
	}
	return &row, nil
}

// CheckCapacity returns CodeConflict when the table is full. It must be locked.
func (n NamedTable[R]) CheckCapacity(ctx context.Context, tx pgx.Tx) error {
	count, err := QueryOne(ctx, tx, pgx.RowTo[int], `SELECT count(*)::int FROM `+n.Table)
	if err != nil {
		return fmt.Errorf("count the %ss: %w", n.Thing, err)
	}
	if count >= n.Max {
		return &problem.Error{
			Code: problem.CodeConflict, Message: fmt.Sprintf("there are %d %ss already, which is the limit", count, n.Thing),
		}
	}
	return nil
}
