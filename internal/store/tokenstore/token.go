package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"rollcall/internal/authz"
	"rollcall/internal/problem"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// tokenColumns are what scanToken reads, in this order. The hash is not among them.
const tokenColumns = `k.id, k.name, k.role, k.scopes, k.created_by, k.created_at, k.expires_at, k.last_used_at, k.revoked_at` //nolint:gosec // names of columns

// goodToken holds for a token k that may be used.
const goodToken = `k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())` //nolint:gosec // a condition

// lastUsedEvery bounds how often the use of one token is written down, as PostgreSQL spells it.
const lastUsedEvery = `interval '1 minute'`

func scanToken(row pgx.CollectableRow) (authz.Token, error) {
	var t authz.Token
	err := row.Scan(tokenFields(&t)...)
	return t, err //nolint:wrapcheck // the caller names the operation
}

func tokenFields(t *authz.Token) []any {
	return []any{
		&t.ID, &t.Name, &t.Role, &t.Scopes, &t.CreatedBy, (*pg.NullTime)(&t.CreatedAt), (*pg.NullTime)(&t.ExpiresAt),
		(*pg.NullTime)(&t.LastUsedAt), (*pg.NullTime)(&t.RevokedAt),
	}
}

// CreateToken keeps a new token, of which only the hash is known here, for as long as lives says; 0 means without end. Its
// id and time are the store's.
func (s *Store) CreateToken(ctx context.Context, t authz.Token, hash authz.TokenHash, lives time.Duration) (authz.Token, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return authz.Token{}, fmt.Errorf("make an id: %w", err)
	}
	const sql = `
		INSERT INTO tokens AS k (id, hash, name, role, scopes, created_by, created_at, expires_at)
		SELECT $1, $2, $3, $4, $5, $6, now, CASE WHEN $7::interval > '0' THEN now + $7::interval END
		FROM (SELECT clock_timestamp() AS now) clock RETURNING ` + tokenColumns
	created, err := pg.QueryOne(ctx, s.db, scanToken, sql, id.String(), hash.Stored(), t.Name, t.Role, t.Scopes, t.CreatedBy, lives)
	return created, pg.Wrap("keep a new token", err)
}

// TokenByHash returns the valid token with the hash; CodeNotFound when there is none, when it was revoked, or has expired. The
// database is asked each time, so that a revocation counts from its answer on, at every replica.
func (s *Store) TokenByHash(ctx context.Context, hash authz.TokenHash) (t authz.Token, kept authz.TokenHash, err error) {
	const sql = `SELECT ` + tokenColumns + `, k.hash FROM tokens k WHERE k.hash = $1 AND ` + goodToken
	var stored []byte
	t, err = pg.QueryOne(ctx, s.db, func(row pgx.CollectableRow) (authz.Token, error) {
		var t authz.Token
		err := row.Scan(append(tokenFields(&t), &stored)...)
		return t, err //nolint:wrapcheck // wrapped below
	}, sql, hash.Stored())
	if errors.Is(err, pgx.ErrNoRows) {
		return t, kept, noToken()
	}
	return t, authz.StoredHash(stored), pg.Wrap("look up a token", err)
}

// RecordTokenUse writes down that a token is used, at most once a minute.
func (s *Store) RecordTokenUse(ctx context.Context, id string) error {
	const sql = `UPDATE tokens SET last_used_at = clock_timestamp()
		WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - ` + lastUsedEvery + `)`
	_, err := s.db.Exec(ctx, sql, id)
	return pg.Wrap("write down the use of token "+id, err)
}

// Token returns one token, whatever became of it; CodeNotFound when there is none.
func (s *Store) Token(ctx context.Context, id string) (authz.Token, error) {
	if !pg.ValidID(id) {
		return authz.Token{}, noToken()
	}
	t, err := pg.QueryOne(ctx, s.db, scanToken, `SELECT `+tokenColumns+` FROM tokens k WHERE k.id = $1`, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, noToken()
	}
	return t, pg.Wrap("read token "+id, err)
}

// Tokens lists all tokens, also those that are good no more, newest first.
func (s *Store) Tokens(ctx context.Context, p storage.Page) (storage.List[authz.Token], error) {
	after, err := pg.ParseTimeCursor(p.Cursor)
	if err != nil {
		return storage.List[authz.Token]{}, err
	}
	limit := pg.LimitOf(p)
	sql, args := `SELECT `+tokenColumns+` FROM tokens k`, []any{limit + 1}
	if after != nil {
		sql, args = sql+` WHERE (k.created_at, k.id) < ($2, $3::uuid)`, append(args, after.Time, after.ID)
	}
	items, err := pg.QueryAll(ctx, s.db, scanToken, sql+` ORDER BY k.created_at DESC, k.id DESC LIMIT $1`, args...)
	if err != nil {
		return storage.List[authz.Token]{}, pg.Wrap("list tokens", err)
	}
	return pg.CutPage(items, limit, func(last *authz.Token) string {
		return pg.TimeCursor{Time: last.CreatedAt, ID: last.ID}.String()
	}), nil
}

// RevokeToken ends a token for good; one that was revoked before stays as it is. CodeNotFound when there is none.
func (s *Store) RevokeToken(ctx context.Context, id string) error {
	if !pg.ValidID(id) {
		return noToken()
	}
	tag, err := s.db.Exec(ctx, `UPDATE tokens SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = $1`, id)
	if err != nil {
		return pg.Wrap("revoke token "+id, err)
	}
	if tag.RowsAffected() == 0 {
		return noToken()
	}
	return nil
}

// CountAdminTokens counts the tokens that can create tokens: those that are valid, and all that ever existed.
func (s *Store) CountAdminTokens(ctx context.Context) (good, ever int, err error) {
	const sql = `SELECT count(*) FILTER (WHERE ` + goodToken + `), count(*) FROM tokens k
		WHERE k.role = 'admin' AND k.scopes @> '[{"service":"*","environment":"*"}]'`
	err = s.db.QueryRow(ctx, sql).Scan(&good, &ever)
	return good, ever, pg.Wrap("count the admins' tokens", err)
}

func noToken() error {
	return &problem.Error{Code: problem.CodeNotFound, Message: "there is no such token"}
}
