-- +goose Up
-- A router between two deployments of a service in an environment: it is read from time to time, and written to again when it
-- does not do any more what the last deployment has left. A row is made when the router is due for the first time.
CREATE TABLE resting_routers (
    service       text NOT NULL,
    environment   text NOT NULL,
    -- The deployment that state belongs to; what is stored of an earlier one counts no more. NULL: never looked at.
    deployment_id uuid,
    state         jsonb,
    look_at       timestamptz NOT NULL,
    owner         text,
    epoch         bigint NOT NULL DEFAULT 0,
    -- A write may arrive at the router until then: no deployment begins before.
    write_until   timestamptz,
    PRIMARY KEY (service, environment)
) WITH (fillfactor = 70);

-- +goose Down
DROP TABLE resting_routers;
