-- +goose Up
CREATE TABLE gitops_sources (
    name             text PRIMARY KEY,
    id               uuid NOT NULL,
    url              text NOT NULL,
    branch           text NOT NULL,
    path             text NOT NULL,
    interval_ns      bigint NOT NULL,
    heal             boolean NOT NULL,
    username         text NOT NULL,
    allowed_signers  text NOT NULL,
    known_hosts      text NOT NULL,
    -- Sealed; NULL: none.
    secrets          bytea,
    revision         bigint NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,

    state            text NOT NULL DEFAULT 'unknown',
    reason           text NOT NULL DEFAULT 'was not read yet',
    error            text NOT NULL DEFAULT '',
    desired_revision text NOT NULL DEFAULT '',
    actual_revision  text NOT NULL DEFAULT '',
    last_sync_at     timestamptz,
    last_good_sync_at timestamptz,
    next_sync_at     timestamptz,
    failures         integer NOT NULL DEFAULT 0,
    rewrite          jsonb,
    drifted          integer NOT NULL DEFAULT 0,
    serial           bigint NOT NULL DEFAULT 0,

    owner            text,
    epoch            bigint NOT NULL DEFAULT 0,
    next_run_at      timestamptz NOT NULL,
    CONSTRAINT gitops_sources_state CHECK (state IN ('synced', 'drifted', 'unknown', 'error'))
) WITH (fillfactor = 70);

CREATE TABLE gitops_files (
    source      text NOT NULL REFERENCES gitops_sources (name) ON DELETE CASCADE,
    path        text NOT NULL,
    -- NULL: the file was never good, so nobody knows what it is about.
    service     text,
    environment text,
    record      jsonb NOT NULL,
    PRIMARY KEY (source, path)
) WITH (fillfactor = 70);
-- What runs somewhere is said by one file at most.
CREATE UNIQUE INDEX gitops_files_one_per_pair ON gitops_files (service, environment) WHERE service IS NOT NULL;

CREATE TABLE gitops_asks (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text NOT NULL REFERENCES gitops_sources (name) ON DELETE CASCADE,
    retry       boolean NOT NULL,
    release     boolean NOT NULL,
    service     text NOT NULL,
    environment text NOT NULL,
    asked_at    timestamptz NOT NULL
);
CREATE INDEX gitops_asks_of_source ON gitops_asks (source);

CREATE TABLE gitops_deliveries (
    source      text NOT NULL REFERENCES gitops_sources (name) ON DELETE CASCADE,
    digest      bytea NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (source, digest)
);
CREATE INDEX gitops_deliveries_age ON gitops_deliveries (received_at);

-- A lasting key is kept for ever: it names a deployment that must never be made twice.
SET LOCAL lock_timeout = '1200ms';
ALTER TABLE idempotency_keys ADD COLUMN lasting boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE idempotency_keys DROP COLUMN lasting;
DROP TABLE gitops_deliveries;
DROP TABLE gitops_asks;
DROP TABLE gitops_files;
DROP TABLE gitops_sources;
