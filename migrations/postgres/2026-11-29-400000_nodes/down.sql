DROP TABLE orders;
DROP INDEX accounts_owner;
ALTER TABLE accounts ADD COLUMN owner_pid BIGINT;
ALTER TABLE accounts ADD COLUMN owner_place TEXT;
ALTER TABLE accounts ADD COLUMN owner_until TIMESTAMPTZ;
ALTER TABLE accounts DROP COLUMN released_at;
ALTER TABLE accounts DROP COLUMN epoch;
DROP TABLE nodes;
