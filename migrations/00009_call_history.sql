-- +goose Up
-- What earlier calls of a deployment left behind at a target, above all until when their work may go on; NULL: nothing.
SET LOCAL lock_timeout = '1200ms';
ALTER TABLE deployment_targets ADD COLUMN call_history jsonb;

-- +goose Down
ALTER TABLE deployment_targets DROP COLUMN call_history;
