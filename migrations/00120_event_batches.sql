-- +goose Up
SET LOCAL lock_timeout = '1200ms';

-- The events of one save that follow each other are one row: its columns hold the last of them, and earlier those before it,
-- as a list. seq and id are the last one's; the others have the numbers directly before. NULL and 1: the row is one event.
ALTER TABLE deployment_events ADD COLUMN earlier json;
ALTER TABLE deployment_events ADD COLUMN size integer NOT NULL DEFAULT 1;
-- A row has so many ids at most (maxBatch in the store).
ALTER TABLE deployment_events ALTER COLUMN id SET INCREMENT BY 1024;

-- A server of the previous version reads a row as one event. As long as one has a lease, nobody writes longer rows.
ALTER TABLE replicas ADD COLUMN reads_batches boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE replicas DROP COLUMN reads_batches;
ALTER TABLE deployment_events ALTER COLUMN id SET INCREMENT BY 1;
ALTER TABLE deployment_events DROP COLUMN size;
ALTER TABLE deployment_events DROP COLUMN earlier;
