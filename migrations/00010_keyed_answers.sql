-- +goose Up
-- The answer of a request other than POST /deployments that came with an idempotency key; such a row has '{}' as its answer
-- and no deployment (the nil UUID). The previous release reads the hash of these rows and nothing else.
SET LOCAL lock_timeout = '1200ms';
ALTER TABLE idempotency_keys
    ADD COLUMN IF NOT EXISTS status integer,
    ADD COLUMN IF NOT EXISTS header jsonb,
    ADD COLUMN IF NOT EXISTS body   bytea,
    -- The body, sealed, of an answer that carries a secret; body is then NULL.
    ADD COLUMN IF NOT EXISTS sealed_body bytea;

-- +goose Down
ALTER TABLE idempotency_keys
    DROP COLUMN IF EXISTS status, DROP COLUMN IF EXISTS header, DROP COLUMN IF EXISTS body, DROP COLUMN IF EXISTS sealed_body;
