-- +goose NO TRANSACTION
-- Indexes are built beside what writes, so each statement stands by itself, and can be run again after it was cut off.

-- +goose Up
-- When the change was committed to version control; NULL: nobody said.
SET lock_timeout = '1200ms';
ALTER TABLE deployments ADD COLUMN IF NOT EXISTS committed_at timestamptz;
-- What follows waits for the end of older transactions, and nobody waits for it: it must not be cut off.
SET lock_timeout = 0;

-- What ended in a time, for figures over it and for what is old.
DROP INDEX CONCURRENTLY IF EXISTS deployments_ended;
CREATE INDEX CONCURRENTLY deployments_ended ON deployments (finished_at, id) WHERE finished_at IS NOT NULL;
-- The next success of a pair after a failure, and the last ones of all.
DROP INDEX CONCURRENTLY IF EXISTS deployments_succeeded;
CREATE INDEX CONCURRENTLY deployments_succeeded ON deployments (service, environment, finished_at)
    WHERE (result->>'success')::boolean;
-- The first time that a version arrived.
DROP INDEX CONCURRENTLY IF EXISTS deployments_arrived;
CREATE INDEX CONCURRENTLY deployments_arrived ON deployments (service, environment, version, finished_at)
    WHERE kind = 'deploy' AND state = 'completed';
-- The moment at which a deployment turned back.
DROP INDEX CONCURRENTLY IF EXISTS deployment_events_turned;
CREATE INDEX CONCURRENTLY deployment_events_turned ON deployment_events (deployment_id)
    WHERE type = 'deployment.rollback_started';

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS deployment_events_turned;
DROP INDEX CONCURRENTLY IF EXISTS deployments_arrived;
DROP INDEX CONCURRENTLY IF EXISTS deployments_succeeded;
DROP INDEX CONCURRENTLY IF EXISTS deployments_ended;
ALTER TABLE deployments DROP COLUMN IF EXISTS committed_at;
