-- +goose Up
CREATE TABLE tokens (
    id           uuid PRIMARY KEY,
    -- The SHA-256 of the token; the token itself is not kept anywhere.
    hash         bytea NOT NULL,
    name         text NOT NULL,
    role         text NOT NULL,
    scopes       jsonb NOT NULL,
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    -- The row of a revoked token stays: events name it.
    revoked_at   timestamptz,
    CONSTRAINT tokens_hash UNIQUE (hash),
    CONSTRAINT tokens_role CHECK (role IN ('viewer', 'deployer', 'approver', 'admin'))
) WITH (fillfactor = 70);
CREATE INDEX tokens_newest ON tokens (created_at DESC, id DESC);

-- +goose Down
DROP TABLE tokens;
