-- +goose Up
SET LOCAL lock_timeout = '1200ms';
-- Work that may go on at the address although the deployment that called there has ended (rollout.Work); NULL: none. A server
-- of before writes none.
ALTER TABLE address_fences ADD COLUMN work jsonb;

-- +goose Down
ALTER TABLE address_fences DROP COLUMN work;
