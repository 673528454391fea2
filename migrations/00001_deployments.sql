-- +goose Up
CREATE TABLE deployments (
    id                uuid PRIMARY KEY,
    service           text NOT NULL,
    environment       text NOT NULL,
    version           text,
    kind              text NOT NULL,
    rollback_of       uuid,
    requested_by      text NOT NULL DEFAULT '',
    labels            jsonb NOT NULL DEFAULT '{}',
    -- The strategy's type stands beside the spec that holds it, because lists and metrics count by it.
    strategy          text NOT NULL,
    spec              jsonb NOT NULL,
    deploy_secret     text,

    state             text NOT NULL,
    direction         text NOT NULL,
    stop              text NOT NULL DEFAULT '',
    reason            text NOT NULL DEFAULT '',
    operator          jsonb NOT NULL DEFAULT '{}',
    progress          jsonb NOT NULL DEFAULT '{}',
    counts            jsonb NOT NULL DEFAULT '{}',
    result            jsonb,

    created_at        timestamptz NOT NULL,
    started_at        timestamptz,
    finished_at       timestamptz,
    deadline_at       timestamptz,
    next_action_at    timestamptz,

    revision          bigint NOT NULL DEFAULT 1,
    operator_revision bigint NOT NULL DEFAULT 0,
    owner             text,
    epoch             bigint NOT NULL DEFAULT 0,
    saves             bigint NOT NULL DEFAULT 0,
    last_seq          bigint NOT NULL DEFAULT 0,
    next_run_at       timestamptz NOT NULL,

    CONSTRAINT deployments_state CHECK (state IN ('pending', 'in_progress', 'paused', 'rolling_back',
        'completed', 'failed', 'rolled_back', 'aborted', 'superseded')),
    CONSTRAINT deployments_terminal_is_finished CHECK ((finished_at IS NOT NULL) =
        (state IN ('completed', 'failed', 'rolled_back', 'aborted', 'superseded'))),
    CONSTRAINT deployments_finished_is_free CHECK (finished_at IS NULL OR owner IS NULL)
) WITH (fillfactor = 70);

CREATE UNIQUE INDEX deployments_one_active ON deployments (service, environment)
    WHERE started_at IS NOT NULL AND finished_at IS NULL;
CREATE UNIQUE INDEX deployments_one_waiting ON deployments (service, environment)
    WHERE started_at IS NULL AND finished_at IS NULL;
CREATE INDEX deployments_newest ON deployments (created_at DESC, id DESC);
CREATE INDEX deployments_newest_of_pair ON deployments (service, environment, created_at DESC, id DESC);
CREATE INDEX deployments_newest_in_state ON deployments (state, created_at DESC, id DESC);
CREATE INDEX deployments_claimable ON deployments (next_run_at) WHERE finished_at IS NULL;
CREATE INDEX deployments_owned ON deployments (owner) WHERE owner IS NOT NULL;
CREATE INDEX deployments_rollbacks ON deployments (rollback_of) WHERE rollback_of IS NOT NULL;

CREATE TABLE deployment_targets (
    deployment_id    uuid NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    -- The place in the order in which the waves take the targets, from 0; position is the place in the request.
    ordinal          integer NOT NULL,
    target_id        text NOT NULL,
    name             text NOT NULL,
    address          text NOT NULL,
    slot             text NOT NULL DEFAULT '',
    metadata         jsonb NOT NULL DEFAULT '{}',
    deploy_url       text NOT NULL DEFAULT '',
    position         integer NOT NULL,
    wave             integer NOT NULL,
    want             text NOT NULL DEFAULT '',

    state            text NOT NULL,
    phase            text NOT NULL,
    back             boolean NOT NULL DEFAULT false,
    version          text,
    previous_version text,
    health           text NOT NULL,
    checks           jsonb NOT NULL DEFAULT '[]',

    attempts         integer NOT NULL DEFAULT 0,
    tries            integer NOT NULL DEFAULT 0,
    sent             integer NOT NULL DEFAULT 0,
    fence            bigint NOT NULL DEFAULT 0,
    call             jsonb,
    not_before       timestamptz,
    phase_at         timestamptz,

    error            text NOT NULL DEFAULT '',
    error_at         timestamptz,
    started_at       timestamptz,
    finished_at      timestamptz,
    updated_at       timestamptz NOT NULL,

    PRIMARY KEY (deployment_id, ordinal),
    CONSTRAINT deployment_targets_id UNIQUE (deployment_id, target_id),
    CONSTRAINT deployment_targets_position UNIQUE (deployment_id, position),
    CONSTRAINT deployment_targets_state CHECK (state IN ('pending', 'deploying', 'verifying', 'updated', 'failed',
        'unknown', 'rolling_back', 'rolled_back', 'unchanged'))
) WITH (fillfactor = 70);

-- Append only: nothing updates or deletes a line. There is no foreign key: a line is only written while the deployment's
-- row is locked, and a check for each would be a sixth of a save's cost.
CREATE TABLE deployment_events (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment_id uuid NOT NULL,
    seq           bigint NOT NULL,
    at            timestamptz NOT NULL,
    type          text NOT NULL,
    actor         text NOT NULL,
    replica       text NOT NULL DEFAULT '',
    epoch         bigint NOT NULL DEFAULT 0,
    target        text NOT NULL DEFAULT '',
    wave          integer NOT NULL DEFAULT 0,
    from_state    text NOT NULL DEFAULT '',
    to_state      text NOT NULL DEFAULT '',
    message       text NOT NULL DEFAULT '',
    call          jsonb,
    -- Ids are drawn before they are committed: a reader of all deployments' events may trust those ids only whose
    -- transaction is older than every transaction that still runs.
    xid           xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT deployment_events_seq UNIQUE (deployment_id, seq)
);

CREATE TABLE idempotency_keys (
    caller        text NOT NULL,
    key           text NOT NULL,
    request_hash  bytea NOT NULL,
    deployment_id uuid NOT NULL,
    -- The deployment as it was at creation; filled in by the transaction that draws the key.
    answer        jsonb,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE replicas (
    id         text PRIMARY KEY,
    started_at timestamptz NOT NULL,
    renewed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE remembered_targets (
    service       text NOT NULL,
    environment   text NOT NULL,
    target_id     text NOT NULL,
    -- NULL: nobody can say.
    version       text,
    health        text NOT NULL,
    fence         bigint NOT NULL,
    deployment_id uuid NOT NULL,
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (service, environment, target_id)
) WITH (fillfactor = 70);

-- +goose Down
DROP TABLE remembered_targets;
DROP TABLE replicas;
DROP TABLE idempotency_keys;
DROP TABLE deployment_events;
DROP TABLE deployment_targets;
DROP TABLE deployments;
