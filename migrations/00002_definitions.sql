-- +goose Up
CREATE TABLE definitions (
    service       text NOT NULL,
    environment   text NOT NULL,
    -- NULL: there is no definition any more. The row stays, so that revisions go on counting and no ETag comes twice.
    body          jsonb,
    deploy_secret text,
    protected     boolean NOT NULL DEFAULT false,
    revision      bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (service, environment),
    CONSTRAINT definitions_forgotten_keeps_no_secret CHECK (body IS NOT NULL OR deploy_secret IS NULL)
);

-- +goose Down
DROP TABLE definitions;
