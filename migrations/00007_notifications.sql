-- +goose Up
-- Who is told what becomes of deployments.
CREATE TABLE notifications (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    kind         text NOT NULL,
    -- What it is told of; no services, or no environments, are all.
    services     text[] NOT NULL,
    environments text[] NOT NULL,
    states       text[] NOT NULL,
    -- Sealed: the url, and what goes with it.
    secrets      bytea,
    revision     bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CONSTRAINT notifications_name UNIQUE (name)
);

-- The outbox. A line is written by the transaction that it tells of. There is no foreign key: to forget a notification must
-- never be what a deployment's own transaction fails by.
CREATE TABLE notification_deliveries (
    -- A UUID of version 7 (RFC 9562, section 5.7): milliseconds, and random bits. One statement makes them for many receivers.
    id              uuid PRIMARY KEY DEFAULT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid,
    place           bigint GENERATED ALWAYS AS IDENTITY,
    notification_id uuid NOT NULL,
    -- NULL: a test.
    deployment_id   uuid,
    state           text NOT NULL,
    message         jsonb NOT NULL,
    status          text NOT NULL DEFAULT 'pending',
    attempts        integer NOT NULL DEFAULT 0,
    -- The last attempt found nobody there.
    unanswered      boolean NOT NULL DEFAULT false,
    owner           text,
    epoch           bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at     timestamptz,
    CONSTRAINT notification_deliveries_once UNIQUE (notification_id, deployment_id, state),
    CONSTRAINT notification_deliveries_status CHECK (status IN ('pending', 'delivered', 'given_up')),
    CONSTRAINT notification_deliveries_end CHECK ((status <> 'pending') = (finished_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX notification_deliveries_place ON notification_deliveries (notification_id, place);
-- What is due, what is being tried, and what found nobody: each is found without looking at all that waits for a receiver
-- that is down.
CREATE INDEX notification_deliveries_free ON notification_deliveries (notification_id, next_attempt_at)
    WHERE status = 'pending' AND owner IS NULL;
CREATE INDEX notification_deliveries_owned ON notification_deliveries (notification_id) WHERE owner IS NOT NULL;
CREATE INDEX notification_deliveries_unanswered ON notification_deliveries (notification_id) WHERE unanswered;
CREATE INDEX notification_deliveries_finished ON notification_deliveries (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE notification_attempts (
    delivery_id uuid NOT NULL REFERENCES notification_deliveries (id) ON DELETE CASCADE,
    attempt     integer NOT NULL,
    replica     text NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    -- NULL while nobody knows.
    result      text,
    detail      text NOT NULL DEFAULT '',
    PRIMARY KEY (delivery_id, attempt)
);

-- +goose Down
DROP TABLE notification_attempts;
DROP TABLE notification_deliveries;
DROP TABLE notifications;
