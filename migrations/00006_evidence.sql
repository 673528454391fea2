-- +goose Up
-- Each event carries the hash of itself and of the event before it; the deployment keeps the last one. What was written by a
-- server that did not know them has none: a chain begins where it begins.
ALTER TABLE deployment_events ADD COLUMN hash bytea;
ALTER TABLE deployments ADD COLUMN events_hash bytea;

-- +goose Down
ALTER TABLE deployments DROP COLUMN events_hash;
ALTER TABLE deployment_events DROP COLUMN hash;
