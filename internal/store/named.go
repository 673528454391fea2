package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// named is a table of things that people name, and of which there are few. R is what a row is read as.
type named[R any] struct {
	thing, table string
	cursor       string // how cursors of its list begin
	read         string // reads the columns that scan wants, and ends in WHERE
	scan         pgx.RowToFunc[R]
	nameOf       func(*R) string
	most         int
}

// get reads one; CodeNotFound when there is none of that name.
func (n named[R]) get(ctx context.Context, q querier, name string) (R, error) {
	found, err := one(ctx, q, n.scan, n.read+` name = $1`, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return found, missing(n.thing, name)
	}
	return found, failed("read "+n.thing+" "+name, err)
}

func missing(thing, name string) error {
	return &problem.Error{Code: problem.CodeNotFound, Message: fmt.Sprintf("there is no %s %q", thing, name)}
}

// list gives them in the order of their names.
func (n named[R]) list(ctx context.Context, q querier, p rollout.Page) (rollout.List[R], error) {
	var after string
	if p.Cursor != "" {
		if err := decodeCursor(p.Cursor, n.cursor+":%s", &after); err != nil {
			return rollout.List[R]{}, err
		}
	}
	limit := limitOf(p)
	items, err := all(ctx, q, n.scan, n.read+` name > $1 ORDER BY name LIMIT $2`, after, limit+1)
	if err != nil {
		return rollout.List[R]{}, failed("list "+n.thing+"s", err)
	}
	return page(items, limit, func(last *R) string { return encodeCursor(n.cursor+":%s", n.nameOf(last)) }), nil
}

// lock locks a row, or, when there is none, the list of them, so that nobody else makes it; nil then.
func (n named[R]) lock(ctx context.Context, tx pgx.Tx, name string) (*R, error) {
	row, err := n.lockRow(ctx, tx, name)
	if err != nil || row != nil {
		return row, err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, n.table); err != nil {
		return nil, fmt.Errorf("lock the list of %ss: %w", n.thing, err)
	}
	return n.lockRow(ctx, tx, name) // somebody may have made it while this waited
}

func (n named[R]) lockRow(ctx context.Context, tx pgx.Tx, name string) (*R, error) {
	row, err := one(ctx, tx, n.scan, n.read+` name = $1 FOR UPDATE`, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nil says that there is none
	}
	if err != nil {
		return nil, fmt.Errorf("lock the %s: %w", n.thing, err)
	}
	return &row, nil
}

// room is CodeConflict when there may be no more. The list must be locked.
func (n named[R]) room(ctx context.Context, tx pgx.Tx) error {
	count, err := one(ctx, tx, pgx.RowTo[int], `SELECT count(*)::int FROM `+n.table)
	if err != nil {
		return fmt.Errorf("count the %ss: %w", n.thing, err)
	}
	if count >= n.most {
		return &problem.Error{
			Code: problem.CodeConflict, Message: fmt.Sprintf("there are %d %ss already, which is the most", count, n.thing),
		}
	}
	return nil
}
