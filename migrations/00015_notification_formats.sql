-- +goose Up
SET LOCAL lock_timeout = '1200ms';
-- Which version of CDEvents is spoken; empty is the one of before. A server of before leaves it as it is.
ALTER TABLE notifications ADD COLUMN cdevents_version text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE notifications DROP COLUMN cdevents_version;
