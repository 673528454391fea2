-- +goose Up
SET LOCAL lock_timeout = '1200ms';

-- Targets whose call or check is under way, as they are now: a list of objects with the columns of deployment_targets that change.
-- Their rows are written when they settle. Only the owner writes it, in each save anew. NULL: every target is as its row says.
ALTER TABLE deployments ADD COLUMN in_flight jsonb;

-- A target's row is written once more while its deployment runs: as much is left free in a page as that takes.
ALTER TABLE deployment_targets SET (fillfactor = 50);

-- Whoever takes a deployment from its owner finds its targets in their rows: also a server of the previous version.
-- +goose StatementBegin
CREATE FUNCTION write_targets_in_flight() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE deployment_targets t SET wave = u.wave, state = u.state, phase = u.phase, back = u.back, version = u.version,
        previous_version = u.previous_version, health = u.health, checks = u.checks, attempts = u.attempts, tries = u.tries, sent = u.sent,
        fence = greatest(t.fence, u.fence), call = u.call, call_history = u.call_history, not_before = u.not_before, phase_at = u.phase_at,
        error = u.error, error_at = u.error_at, started_at = u.started_at, finished_at = u.finished_at,
        updated_at = coalesce(u.updated_at, clock_timestamp())
    FROM jsonb_populate_recordset(NULL::deployment_targets, OLD.in_flight) u
    WHERE t.deployment_id = OLD.id AND t.position = u.position;
    NEW.in_flight := NULL;
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER deployments_owner_changes BEFORE UPDATE ON deployments FOR EACH ROW
    WHEN (NEW.in_flight IS NOT NULL
        AND (NEW.owner, NEW.epoch, NEW.finished_at) IS DISTINCT FROM (OLD.owner, OLD.epoch, OLD.finished_at))
    EXECUTE FUNCTION write_targets_in_flight();

-- +goose Down
DROP TRIGGER deployments_owner_changes ON deployments;
-- +goose StatementBegin
DO $$ BEGIN
    UPDATE deployment_targets t SET wave = u.wave, state = u.state, phase = u.phase, back = u.back, version = u.version,
        previous_version = u.previous_version, health = u.health, checks = u.checks, attempts = u.attempts, tries = u.tries, sent = u.sent,
        fence = greatest(t.fence, u.fence), call = u.call, call_history = u.call_history, not_before = u.not_before, phase_at = u.phase_at,
        error = u.error, error_at = u.error_at, started_at = u.started_at, finished_at = u.finished_at,
        updated_at = coalesce(u.updated_at, clock_timestamp())
    FROM deployments d, jsonb_populate_recordset(NULL::deployment_targets, d.in_flight) u
    WHERE t.deployment_id = d.id AND t.position = u.position;
END $$;
-- +goose StatementEnd
DROP FUNCTION write_targets_in_flight();
ALTER TABLE deployment_targets SET (fillfactor = 70);
ALTER TABLE deployments DROP COLUMN in_flight;
