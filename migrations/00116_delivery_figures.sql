-- +goose NO TRANSACTION
-- Figures over all deployments, kept by the database itself: a server of the previous version ends deployments beside this one,
-- and knows nothing of them. Each statement can be run again after it was cut off.

-- +goose Up
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS deployments_ended_of_pair;
CREATE INDEX CONCURRENTLY deployments_ended_of_pair ON deployments (service, environment, finished_at) WHERE finished_at IS NOT NULL;
SET lock_timeout = '1200ms';

-- The services by environment whose figures are complete.
CREATE TABLE IF NOT EXISTS figures_pairs (
    service     text NOT NULL,
    environment text NOT NULL,
    PRIMARY KEY (service, environment)
);
-- How many deployments have ended. Counted in the transaction that ends or removes them.
CREATE TABLE IF NOT EXISTS figures_counts (
    service     text NOT NULL,
    environment text NOT NULL,
    state       text NOT NULL,
    strategy    text NOT NULL,
    n           bigint NOT NULL,
    PRIMARY KEY (service, environment, state, strategy)
) WITH (fillfactor = 70);
-- What ended on a day (UTC). NULL: it has to be read from the deployments again. The transaction that changes a deployment
-- raises the revision and clears what its change touches; what was read under another revision is not stored.
CREATE TABLE IF NOT EXISTS figures_days (
    service         text NOT NULL,
    environment     text NOT NULL,
    day             date NOT NULL,
    revision        bigint NOT NULL DEFAULT 1,
    changes         bytea,
    durations       bytea,
    -- A success between these two moments changes when something that failed was recovered.
    failed_from     timestamptz NOT NULL DEFAULT '-infinity',
    recovered_until timestamptz NOT NULL DEFAULT 'infinity',
    last_created_at timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (service, environment, day)
);
CREATE INDEX IF NOT EXISTS figures_days_day ON figures_days (day);
CREATE INDEX IF NOT EXISTS figures_days_created ON figures_days (last_created_at);
CREATE INDEX IF NOT EXISTS figures_days_recovered ON figures_days (service, environment, recovered_until);
CREATE INDEX IF NOT EXISTS figures_days_stale ON figures_days (day) WHERE changes IS NULL;
-- How far the deployments that ended before this migration are counted.
CREATE TABLE IF NOT EXISTS figures_backfill (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    service     text NOT NULL DEFAULT '',
    environment text NOT NULL DEFAULT '',
    done        boolean NOT NULL DEFAULT false
);
INSERT INTO figures_backfill DEFAULT VALUES ON CONFLICT DO NOTHING;

-- The functions run as their owner: a server's role that was given its rights by the previous version has none on these tables.
-- +goose StatementBegin
DO $install$ BEGIN
EXECUTE format($create$
-- Serializes what changes the figures of a pair, until the transaction ends, and counts the pair if that was not done
-- before; answers whether it was counted now.
CREATE OR REPLACE FUNCTION figures_add_pair(of_service text, of_environment text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('rollcall/figures/' || of_service || ' ' || of_environment, 0));
    INSERT INTO figures_pairs VALUES (of_service, of_environment) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO figures_counts SELECT of_service, of_environment, d.state, d.strategy, count(*) FROM deployments d
        WHERE d.service = of_service AND d.environment = of_environment
            AND d.state IN ('completed', 'failed', 'rolled_back', 'aborted', 'superseded') GROUP BY d.state, d.strategy;
    INSERT INTO figures_days (service, environment, day)
        WITH RECURSIVE days AS (
            SELECT (SELECT (d.finished_at AT TIME ZONE 'UTC')::date FROM deployments d WHERE d.service = of_service
                AND d.environment = of_environment AND d.finished_at IS NOT NULL ORDER BY d.finished_at LIMIT 1) AS day
            UNION ALL
            SELECT (SELECT (d.finished_at AT TIME ZONE 'UTC')::date FROM deployments d WHERE d.service = of_service
                AND d.environment = of_environment AND d.finished_at >= (days.day + 1)::timestamp AT TIME ZONE 'UTC'
                ORDER BY d.finished_at LIMIT 1) FROM days WHERE days.day IS NOT NULL)
        SELECT of_service, of_environment, days.day FROM days WHERE days.day IS NOT NULL;
    RETURN true;
END $body$
$create$, current_schema());
EXECUTE format($create$
-- Has days read again: those of the list, and those with a change whose recovery a success between the two moments may be.
CREATE OR REPLACE FUNCTION figures_clear(of_service text, of_environment text, days date[], success_from timestamptz, success_until timestamptz)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
BEGIN
    INSERT INTO figures_days AS f (service, environment, day) SELECT of_service, of_environment, x FROM unnest(days) x
        ON CONFLICT (service, environment, day) DO UPDATE SET revision = f.revision + 1, changes = NULL, durations = NULL,
            failed_from = '-infinity', recovered_until = 'infinity', last_created_at = 'infinity';
    UPDATE figures_days f SET revision = f.revision + 1, changes = NULL, durations = NULL,
            failed_from = '-infinity', recovered_until = 'infinity', last_created_at = 'infinity'
        WHERE f.service = of_service AND f.environment = of_environment
            AND f.failed_from < success_until AND f.recovered_until >= success_from;
END $body$
$create$, current_schema());
EXECUTE format($create$
-- Counts a deployment that has ended, or no longer counts it, and clears the days that it touches: its own, that of the next
-- deployment with which the same version arrived, and those that its success recovers.
CREATE OR REPLACE FUNCTION figures_note(d deployments, delta integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
DECLARE
    success timestamptz := CASE WHEN (d.result->>'success')::boolean THEN d.finished_at END;
    days    date[] := ARRAY[(d.finished_at AT TIME ZONE 'UTC')::date];
BEGIN
    IF d.finished_at IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO figures_counts AS c VALUES (d.service, d.environment, d.state, d.strategy, delta)
        ON CONFLICT (service, environment, state, strategy) DO UPDATE SET n = c.n + delta;
    IF d.kind = 'deploy' AND d.state = 'completed' THEN
        days := ARRAY(SELECT unnest(days) UNION SELECT (SELECT (b.finished_at AT TIME ZONE 'UTC')::date FROM deployments b
            WHERE b.kind = 'deploy' AND b.state = 'completed' AND b.service = d.service AND b.environment = d.environment
                AND b.version = d.version AND b.finished_at > d.finished_at ORDER BY b.finished_at LIMIT 1));
    END IF;
    PERFORM figures_clear(d.service, d.environment, array_remove(days, NULL), success, success);
END $body$
$create$, current_schema());
EXECUTE format($create$
-- Clears the day of the deployment that a rollback takes back.
CREATE OR REPLACE FUNCTION figures_note_undone(undone uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
    SELECT figures_clear(d.service, d.environment, ARRAY[(d.finished_at AT TIME ZONE 'UTC')::date], NULL, NULL)
        FROM deployments d WHERE d.id = undone AND d.finished_at IS NOT NULL
$body$
$create$, current_schema());
EXECUTE format($create$
CREATE OR REPLACE FUNCTION figures_on_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
DECLARE
    same    boolean := (OLD.service, OLD.environment) = (NEW.service, NEW.environment);
    new_now boolean := figures_add_pair(NEW.service, NEW.environment);
    old_now boolean := new_now;
BEGIN
    IF NOT same THEN
        old_now := figures_add_pair(OLD.service, OLD.environment);
    END IF;
    IF NOT old_now THEN
        PERFORM figures_note(OLD, -1);
    END IF;
    IF NOT new_now THEN
        PERFORM figures_note(NEW, 1);
    END IF;
    PERFORM figures_note_undone(x) FROM unnest(ARRAY[OLD.rollback_of, NEW.rollback_of]) x WHERE x IS NOT NULL;
    RETURN NULL;
END $body$
$create$, current_schema());
EXECUTE format($create$
-- For what is added or removed with one statement; a deployment that is created has not ended, and costs a look.
CREATE OR REPLACE FUNCTION figures_on_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
DECLARE
    delta integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
    p     record;
BEGIN
    FOR p IN SELECT DISTINCT r.service, r.environment FROM changed r WHERE r.finished_at IS NOT NULL ORDER BY 1, 2 LOOP
        CONTINUE WHEN figures_add_pair(p.service, p.environment);
        INSERT INTO figures_counts AS c SELECT r.service, r.environment, r.state, r.strategy, delta * count(*) FROM changed r
            WHERE r.service = p.service AND r.environment = p.environment AND r.finished_at IS NOT NULL GROUP BY 1, 2, 3, 4
            ON CONFLICT (service, environment, state, strategy) DO UPDATE SET n = c.n + excluded.n;
        PERFORM figures_clear(p.service, p.environment, ARRAY(
                SELECT (r.finished_at AT TIME ZONE 'UTC')::date FROM changed r
                    WHERE r.service = p.service AND r.environment = p.environment AND r.finished_at IS NOT NULL
                UNION
                SELECT (n.finished_at AT TIME ZONE 'UTC')::date FROM changed r CROSS JOIN LATERAL (SELECT b.finished_at FROM deployments b
                    WHERE b.kind = 'deploy' AND b.state = 'completed' AND b.service = r.service AND b.environment = r.environment
                        AND b.version = r.version AND b.finished_at > r.finished_at ORDER BY b.finished_at LIMIT 1) n
                    WHERE r.service = p.service AND r.environment = p.environment AND r.kind = 'deploy' AND r.state = 'completed'),
            (SELECT min(r.finished_at) FROM changed r
                WHERE r.service = p.service AND r.environment = p.environment AND (r.result->>'success')::boolean),
            (SELECT max(r.finished_at) FROM changed r
                WHERE r.service = p.service AND r.environment = p.environment AND (r.result->>'success')::boolean));
    END LOOP;
    PERFORM figures_note_undone(r.rollback_of) FROM changed r WHERE r.rollback_of IS NOT NULL AND r.started_at IS NOT NULL;
    RETURN NULL;
END $body$
$create$, current_schema());
END $install$;
-- +goose StatementEnd
-- +goose StatementBegin
DO $install$ BEGIN
    REVOKE ALL ON FUNCTION figures_clear(text, text, date[], timestamptz, timestamptz), figures_note(deployments, integer),
        figures_note_undone(uuid), figures_add_pair(text, text) FROM PUBLIC;
    -- All at once: what one of them counts the others must know.
    CREATE OR REPLACE TRIGGER deployments_figures_update AFTER UPDATE ON deployments FOR EACH ROW
        WHEN ((OLD.finished_at IS NOT NULL OR NEW.finished_at IS NOT NULL
                OR NEW.rollback_of IS NOT NULL AND (OLD.started_at IS NULL) <> (NEW.started_at IS NULL))
            AND (OLD.service, OLD.environment, OLD.version, OLD.kind, OLD.strategy, OLD.state, OLD.rollback_of, OLD.created_at,
                OLD.started_at, OLD.finished_at, OLD.committed_at, OLD.counts, OLD.result->>'success') IS DISTINCT FROM
                (NEW.service, NEW.environment, NEW.version, NEW.kind, NEW.strategy, NEW.state, NEW.rollback_of, NEW.created_at,
                NEW.started_at, NEW.finished_at, NEW.committed_at, NEW.counts, NEW.result->>'success'))
        EXECUTE FUNCTION figures_on_update();
    CREATE OR REPLACE TRIGGER deployments_figures_insert AFTER INSERT ON deployments REFERENCING NEW TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION figures_on_rows();
    CREATE OR REPLACE TRIGGER deployments_figures_delete AFTER DELETE ON deployments REFERENCING OLD TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION figures_on_rows();
END $install$;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER IF EXISTS deployments_figures_delete ON deployments;
DROP TRIGGER IF EXISTS deployments_figures_insert ON deployments;
DROP TRIGGER IF EXISTS deployments_figures_update ON deployments;
DROP FUNCTION IF EXISTS figures_on_rows();
DROP FUNCTION IF EXISTS figures_on_update();
DROP FUNCTION IF EXISTS figures_note_undone(uuid);
DROP FUNCTION IF EXISTS figures_note(deployments, integer);
DROP FUNCTION IF EXISTS figures_clear(text, text, date[], timestamptz, timestamptz);
DROP FUNCTION IF EXISTS figures_add_pair(text, text);
DROP TABLE IF EXISTS figures_backfill, figures_days, figures_counts, figures_pairs;
DROP INDEX CONCURRENTLY IF EXISTS deployments_ended_of_pair;
