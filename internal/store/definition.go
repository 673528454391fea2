package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/catalog"
	"rollcall/internal/problem"
	"rollcall/internal/store/pg"
)

// definitionColumns are what scanDefinition reads, in this order. A body that is NULL is read as nil.
const definitionColumns = `service, environment, body, deploy_secret, secrets, protected, revision, created_at, updated_at`

func scanDefinition(row pgx.CollectableRow) (catalog.Definition, error) {
	var d catalog.Definition
	err := row.Scan(&d.Service, &d.Environment, &d.Body, (*pg.NullText)(&d.DeploySecret), &d.Sealed, &d.Protected, &d.Revision,
		(*pg.NullTime)(&d.CreatedAt), (*pg.NullTime)(&d.UpdatedAt))
	return d, err //nolint:wrapcheck // the caller names the operation
}

// Definition returns what a service is in an environment; CodeNotFound when there is none.
func (s *Store) Definition(ctx context.Context, service, environment string) (catalog.Definition, error) {
	d, err := pg.QueryOne(ctx, s.db, scanDefinition, `SELECT `+definitionColumns+`
		FROM definitions WHERE service = $1 AND environment = $2 AND body IS NOT NULL`, service, environment)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, &problem.Error{
			Code: problem.CodeNotFound, Message: fmt.Sprintf("there is no definition of %s in %s", service, environment),
		}
	}
	if err == nil {
		err = s.openDefinition(&d)
	}
	return d, pg.Wrap("read the definition of "+service+" in "+environment, err)
}

// UpdateDefinition puts what change makes of the present definition in its place, and gives it back as stored. change sees
// nil when there is none, and answers nil to remove it; UpdateDefinition then returns the zero Definition. It must be pure,
// for it is called again when the transaction lost a race; its error leaves everything as it was. No two changes of one
// definition run at once.
func (s *Store) UpdateDefinition(
	ctx context.Context, service, environment string,
	change func(present *catalog.Definition) (*catalog.Definition, error),
) (catalog.Definition, error) {
	var stored catalog.Definition
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		stored, err = s.updateDefinition(ctx, tx, service, environment, change)
		return err
	})
	if err != nil {
		return catalog.Definition{}, pg.Wrap("change the definition of "+service+" in "+environment, err)
	}
	return stored, nil
}

func (s *Store) updateDefinition(
	ctx context.Context, tx pgx.Tx, service, environment string,
	change func(present *catalog.Definition) (*catalog.Definition, error),
) (catalog.Definition, error) {
	row, now, err := lockDefinition(ctx, tx, service, environment)
	if err != nil {
		return catalog.Definition{}, err
	}
	var present *catalog.Definition
	created := now
	if row.Body != nil {
		if err := s.openDefinition(&row); err != nil {
			return catalog.Definition{}, err
		}
		present, created = &row, row.CreatedAt
	}
	next, err := change(present)
	if err != nil {
		return catalog.Definition{}, err
	}
	stored := catalog.Definition{}
	if next != nil {
		stored = *next
		stored.Service, stored.Environment, stored.CreatedAt, stored.UpdatedAt = service, environment, created, now
	}
	stored.Revision = row.Revision + 1
	if err := s.sealDefinition(&stored); err != nil {
		return catalog.Definition{}, err
	}
	const sql = `UPDATE definitions SET body = $3, deploy_secret = $4, protected = $5, revision = $6, created_at = $7,
		updated_at = $8, secrets = $9 WHERE service = $1 AND environment = $2`
	if _, err := tx.Exec(ctx, sql, service, environment, stored.Body, pg.TextArg(redactedText(stored.DeploySecret)), stored.Protected,
		stored.Revision, created, now, stored.Sealed); err != nil {
		return catalog.Definition{}, fmt.Errorf("write the definition: %w", err)
	}
	if next == nil {
		return catalog.Definition{}, nil
	}
	return stored, nil
}

// lockDefinition locks the row of a definition, which is made when it was never there, without a body.
func lockDefinition(ctx context.Context, tx pgx.Tx, service, environment string) (row catalog.Definition, now time.Time, err error) {
	const reserve = `INSERT INTO definitions (service, environment, revision, created_at, updated_at)
		VALUES ($1, $2, 0, clock_timestamp(), clock_timestamp()) ON CONFLICT DO NOTHING`
	if _, err := tx.Exec(ctx, reserve, service, environment); err != nil {
		return row, now, fmt.Errorf("reserve the definition's row: %w", err)
	}
	row, err = pg.QueryOne(ctx, tx, scanDefinition, `SELECT `+definitionColumns+`
		FROM definitions WHERE service = $1 AND environment = $2 FOR UPDATE`, service, environment)
	if err != nil {
		return row, now, fmt.Errorf("lock the definition's row: %w", err)
	}
	now, err = pg.ReadClock(ctx, tx)
	return row, now, err
}
