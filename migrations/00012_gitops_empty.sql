-- +goose Up
SET LOCAL lock_timeout = '1200ms';
-- Whether a path without any definition is meant; removed: files that the branch no longer has (NULL: none), see
-- rollout.RemovedFile. A server of before writes neither.
ALTER TABLE gitops_sources ADD COLUMN allow_empty boolean NOT NULL DEFAULT false, ADD COLUMN removed jsonb;

-- +goose Down
ALTER TABLE gitops_sources DROP COLUMN removed, DROP COLUMN allow_empty;
