-- +goose NO TRANSACTION
-- What is free, in the order in which it is due: what has begun, and what waits. Every poll reads the beginning of both; what is
-- owned, and what has ended, has no entry in either.

-- +goose Up
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS deployments_due_begun;
CREATE INDEX CONCURRENTLY deployments_due_begun ON deployments (next_run_at, id)
    WHERE finished_at IS NULL AND owner IS NULL AND started_at IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS deployments_due_waiting;
CREATE INDEX CONCURRENTLY deployments_due_waiting ON deployments (next_run_at, id)
    WHERE finished_at IS NULL AND owner IS NULL AND started_at IS NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS deployments_due_waiting;
DROP INDEX CONCURRENTLY IF EXISTS deployments_due_begun;
