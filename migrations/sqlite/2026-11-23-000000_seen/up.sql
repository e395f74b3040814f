-- What a pass has seen is only ever added to, counted and forgotten as a whole. In the order of random ids every batch
-- touched as many pages as it had items; in the order in which they come it fills three.
-- The same table, columns and meaning as migrations/postgres.

CREATE TABLE sync_seen_as_it_comes (
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    entity_type TEXT NOT NULL,
    pass        INTEGER NOT NULL,
    item_id     TEXT NOT NULL
) STRICT;
INSERT INTO sync_seen_as_it_comes SELECT account_id, entity_type, pass, item_id FROM sync_seen;
DROP TABLE sync_seen;
ALTER TABLE sync_seen_as_it_comes RENAME TO sync_seen;
