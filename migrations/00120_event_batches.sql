-- +goose Up
SET LOCAL lock_timeout = '1200ms';

-- The events of one save that follow each other are one row: its columns hold the last of them, and earlier those before it,
-- as a list. seq and id are the last one's; the others have the numbers directly before. NULL and 1: the row is one event.
ALTER TABLE deployment_events ADD COLUMN earlier json;
ALTER TABLE deployment_events ADD COLUMN size integer NOT NULL DEFAULT 1;
-- A row has so many ids at most (maxBatch in the store).
ALTER TABLE deployment_events ALTER COLUMN id SET INCREMENT BY 1024;

-- The newest way of storing things that the replica can read; 1 is that of the versions that do not say it. Nobody writes what
-- a replica with a lease cannot read: from 2 on, events that share a row, and targets in flight beside their rows.
ALTER TABLE replicas ADD COLUMN storage_format integer NOT NULL DEFAULT 1;

-- +goose Down
ALTER TABLE replicas DROP COLUMN storage_format;
ALTER TABLE deployment_events ALTER COLUMN id SET INCREMENT BY 1;
ALTER TABLE deployment_events DROP COLUMN size;
ALTER TABLE deployment_events DROP COLUMN earlier;
