package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/keyring"
	"rollcall/internal/problem"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// noDeployment stands in rows whose answer is no deployment.
const noDeployment = "00000000-0000-0000-0000-000000000000"

// TakeKey begins a request under its key. Where the key was free, all that is asked of the store in a context that inside
// makes is part of the request's transaction, until KeepResponse commits it or DropKey undoes it: one of them must be called.
// A key that was used before for the same request gives the response of then and no inside; for another request it is
// CodeKeyReused. A request under the same key that is still being worked on is awaited for a few seconds, then
// CodeInProgress.
func (s *Store) TakeKey(
	ctx context.Context, key storage.IdempotencyKey,
) (known *storage.Response, inside func(context.Context) context.Context, err error) {
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return nil, nil, pg.Wrap("begin a request with an idempotency key", err)
	}
	known, err = s.takeKey(ctx, tx, key)
	switch {
	case err != nil:
		rollBack(tx)
		return nil, nil, pg.Wrap("take an idempotency key", err)
	case known == nil:
		return nil, func(ctx context.Context) context.Context { return pg.WithTx(ctx, tx) }, nil
	}
	// Its own commit waits for what a read does not: a synchronous standby that has not yet confirmed the first response.
	if err := tx.Commit(ctx); err != nil {
		return nil, nil, pg.Wrap("read the response of an idempotency key", err)
	}
	return known, nil, nil
}

// takeKey returns nil when the key was free, else the response that it has.
func (s *Store) takeKey(ctx context.Context, tx pgx.Tx, key storage.IdempotencyKey) (*storage.Response, error) {
	batch := &pgx.Batch{}
	batch.Queue(`SET LOCAL lock_timeout = '` + keyWait + `'`)
	batch.Queue(reserveKeySQL, key.Caller, key.Value, key.Hash[:], noDeployment, key.NoExpiry)
	results := tx.SendBatch(ctx, batch)
	_, err := results.Exec()
	drawn := false
	if err == nil {
		drawn, err = keyReserved(results)
	}
	if closed := results.Close(); err == nil {
		err = closed
	}
	if err != nil || drawn {
		return nil, err
	}
	return s.keptResponse(ctx, tx, key)
}

func (s *Store) keptResponse(ctx context.Context, tx pgx.Tx, key storage.IdempotencyKey) (*storage.Response, error) {
	type entry struct {
		Hash         []byte
		Status       *int
		Header       map[string]string
		Body, Sealed []byte
	}
	known, err := pg.QueryOne(ctx, tx, pgx.RowToStructByPos[entry], `SELECT request_hash, status, coalesce(header, '{}'), body, sealed_body
		FROM idempotency_keys WHERE caller = $1 AND key = $2`, key.Caller, key.Value)
	if err != nil {
		return nil, err
	}
	if string(known.Hash) != string(key.Hash[:]) || known.Status == nil {
		return nil, &problem.Error{Code: problem.CodeKeyReused, Message: "the idempotency key was used for another request"}
	}
	a := &storage.Response{Status: *known.Status, Header: known.Header, Body: known.Body}
	if known.Sealed != nil {
		a.Secret = true
		a.Body, err = s.sealer.Box.Open(placeOfResponse(key), known.Sealed)
	}
	if err != nil {
		return nil, notKept(a)
	}
	return a, nil
}

// notKept refuses to repeat an answer whose secret was not kept, or cannot be opened any more.
func notKept(a *storage.Response) error {
	return &problem.Error{
		Code: problem.CodeConflict, Message: "the request was carried out before, and its answer had a secret that cannot be repeated: see " +
			a.Header["Location"],
	}
}

func placeOfResponse(key storage.IdempotencyKey) string {
	return "idempotency_keys.sealed_body:" + key.Caller + "\x00" + key.Value
}

// KeepResponse stores the response with the key, and commits all that was done in the context. After an error it may have
// been committed or not: a repetition finds out.
func (s *Store) KeepResponse(ctx context.Context, key storage.IdempotencyKey, a storage.Response) error {
	body, sealed, err := a.Body, []byte(nil), error(nil)
	if a.Secret {
		body = nil
		if sealed, err = s.sealer.Box.Seal(placeOfResponse(key), a.Body); errors.Is(err, keyring.ErrNoKey) {
			sealed, err = []byte{}, nil // says that there was one
		}
	}
	if err != nil {
		return pg.Wrap("seal the response of an idempotency key", err)
	}
	tx := pg.TxOf(ctx)
	_, err = tx.Exec(ctx, `UPDATE idempotency_keys SET answer = '{}', status = $3, header = $4, body = $5, sealed_body = $6
		WHERE caller = $1 AND key = $2`, key.Caller, key.Value, a.Status, pg.NonNilMap(a.Header), body, sealed)
	if err == nil {
		err = tx.Commit(ctx)
	}
	return pg.Wrap("keep the response of an idempotency key", err)
}

// DropKey undoes all that was done in the context; the key is free again. After KeepResponse it does nothing.
func (s *Store) DropKey(ctx context.Context) { rollBack(pg.TxOf(ctx)) }

// undoWithin bounds the wait for a database that does not undo; it undoes by itself what loses its connection.
const undoWithin = time.Second

// rollBack rolls back without the caller's context, which may have ended.
func rollBack(tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.Background(), undoWithin)
	defer cancel()
	_ = tx.Rollback(ctx) // after an error the connection is closed, and with it the transaction
}
