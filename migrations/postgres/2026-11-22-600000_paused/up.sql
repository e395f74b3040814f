-- What a person has paused by hand: no run of it begins until a person lets it go on.
-- The same table, columns and meaning as migrations/sqlite.

CREATE TABLE paused_entities (
    account_id  BIGINT NOT NULL REFERENCES accounts (id),
    entity_type TEXT NOT NULL,
    paused_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account_id, entity_type)
);
