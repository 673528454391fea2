-- +goose Up
SET LOCAL lock_timeout = '1200ms';

-- What is remembered of a target holds for the address that it had in the deployment named there, which says it. When that
-- deployment is removed its address is kept here; NULL before.
ALTER TABLE remembered_targets ADD COLUMN address text;
-- The deployment in which the target was last verified, and the version that it ran then. NULL: not known.
ALTER TABLE remembered_targets ADD COLUMN verified_by uuid;
ALTER TABLE remembered_targets ADD COLUMN verified_version text;

-- By which checks and how a target is judged and called, where these are not its deployment's own; NULL: they are.
ALTER TABLE deployment_targets ADD COLUMN rules jsonb;

-- The highest fence that was written down for an address, over all services, environments and target ids.
CREATE TABLE address_fences (
    address    text PRIMARY KEY,
    fence      bigint NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 70);

-- +goose Down
DROP TABLE address_fences;
ALTER TABLE deployment_targets DROP COLUMN rules;
ALTER TABLE remembered_targets DROP COLUMN verified_version;
ALTER TABLE remembered_targets DROP COLUMN verified_by;
ALTER TABLE remembered_targets DROP COLUMN address;
