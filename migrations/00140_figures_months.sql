-- +goose Up
SET LOCAL lock_timeout = '1200ms';

-- What ended in a month (UTC): the figures of its days put together, so that a year is not a row for each day of each service.
-- The format is NULL when the days have to be read. There is a row for the month of each row of figures_days. The transaction that clears a day clears
-- its month and raises the revision; what was put together under another revision is not stored. A server of the previous version
-- reads the days alone.
CREATE TABLE figures_months (
    service         text NOT NULL,
    environment     text NOT NULL,
    month           date NOT NULL,
    revision        bigint NOT NULL DEFAULT 1,
    format          smallint,
    changes         bytea,
    durations       bytea,
    last_created_at timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (service, environment, month)
) WITH (fillfactor = 70);
CREATE INDEX figures_months_stale ON figures_months (month) WHERE format IS NULL;

-- As its owner: a server's role that was given its rights by the previous version has none on this table.
-- +goose StatementBegin
DO $install$ BEGIN
EXECUTE format($create$
CREATE FUNCTION figures_clear_month() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
BEGIN
    INSERT INTO figures_months AS m (service, environment, month)
        VALUES (NEW.service, NEW.environment, date_trunc('month', NEW.day::timestamp)::date)
        ON CONFLICT (service, environment, month) DO UPDATE
            SET revision = m.revision + 1, format = NULL, changes = NULL, durations = NULL, last_created_at = 'infinity';
    RETURN NULL;
END $body$
$create$, current_schema());
END $install$;
-- +goose StatementEnd
CREATE TRIGGER figures_days_clear_month AFTER INSERT OR UPDATE ON figures_days
    FOR EACH ROW WHEN (NEW.changes IS NULL) EXECUTE FUNCTION figures_clear_month();
-- The trigger's lock lasts until here: no day is added in between.
INSERT INTO figures_months (service, environment, month)
    SELECT DISTINCT service, environment, date_trunc('month', day::timestamp)::date FROM figures_days;

-- +goose Down
DROP TRIGGER figures_days_clear_month ON figures_days;
DROP FUNCTION figures_clear_month();
DROP TABLE figures_months;
