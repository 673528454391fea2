-- +goose NO TRANSACTION
-- Figures over all deployments are read from these alone: the rows themselves are a hundred times as large.

-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS deployments_counted;
CREATE INDEX CONCURRENTLY deployments_counted ON deployments (service, environment, state, strategy);
DROP INDEX CONCURRENTLY IF EXISTS deployments_lasted;
CREATE INDEX CONCURRENTLY deployments_lasted ON deployments (created_at)
    INCLUDE (service, environment, state, kind, started_at, finished_at) WHERE started_at IS NOT NULL AND finished_at IS NOT NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS deployments_lasted;
DROP INDEX CONCURRENTLY IF EXISTS deployments_counted;
