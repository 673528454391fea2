-- +goose Up
-- A target's weight in full rotation, as the request says; NULL: it does not.
SET LOCAL lock_timeout = '1200ms';
ALTER TABLE deployment_targets ADD COLUMN weight integer;

-- +goose Down
ALTER TABLE deployment_targets DROP COLUMN weight;
