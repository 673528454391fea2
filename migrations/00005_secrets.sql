-- +goose Up
SET LOCAL lock_timeout = '1200ms';

-- The secrets of a row, sealed. What was written before stands in the clear, in deploy_secret and in the spec or body, until
-- it is rotated; from now on "***" stands there.
ALTER TABLE deployments ADD COLUMN secrets bytea;
ALTER TABLE definitions ADD COLUMN secrets bytea;

-- +goose Down
-- What was sealed is lost: nobody but the server can open it.
ALTER TABLE definitions DROP COLUMN secrets;
ALTER TABLE deployments DROP COLUMN secrets;
