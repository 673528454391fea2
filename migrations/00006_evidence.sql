-- +goose Up
SET LOCAL lock_timeout = '1200ms';

-- Each event carries the hash of itself and of the event before it; the deployment keeps the last one. What was written by a
-- server that did not know them has none: a chain begins where it begins. Whoever writes an event has locked the deployment
-- before: in the same order the two never wait for each other in a circle.
ALTER TABLE deployments ADD COLUMN events_hash bytea;
ALTER TABLE deployment_events ADD COLUMN hash bytea;

-- The server's role cannot delete events. What may go is old, and this function, which runs as its owner, sees to that: the
-- deployment has ended, and its events, whose times that role cannot change, are more than a day old. It answers how many of
-- the deployments it has removed, with all that belongs to them. An owner that has taken the right from itself takes it
-- back for as long as the transaction lasts, which nobody else sees.
-- +goose StatementBegin
DO $install$ BEGIN EXECUTE format($create$
CREATE FUNCTION forget_deployments(ids uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %I, pg_temp AS $body$
DECLARE
    may  boolean := has_table_privilege('deployment_events', 'DELETE');
    gone uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('rollcall/forget_deployments', 0));
    gone := ARRAY(SELECT d.id FROM deployments d WHERE d.id = ANY (ids) AND d.finished_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM deployment_events e
            WHERE e.deployment_id = d.id AND e.at > clock_timestamp() - interval '1 day'));
    IF NOT may THEN
        GRANT DELETE ON deployment_events TO CURRENT_USER;
    END IF;
    DELETE FROM deployment_events WHERE deployment_id = ANY (gone);
    IF NOT may THEN
        REVOKE DELETE ON deployment_events FROM CURRENT_USER;
    END IF;
    DELETE FROM deployments WHERE id = ANY (gone);
    RETURN cardinality(gone);
END $body$
$create$, current_schema()); END $install$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION forget_deployments(uuid[]) FROM PUBLIC;

-- +goose Down
DROP FUNCTION forget_deployments(uuid[]);
ALTER TABLE deployments DROP COLUMN events_hash;
ALTER TABLE deployment_events DROP COLUMN hash;
