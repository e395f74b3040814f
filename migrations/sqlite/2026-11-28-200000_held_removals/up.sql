-- Items that a walk did not see and that are not called removed yet: a later walk has to miss the same ones, or a person
-- has to say so. `is_counted`: the API's own total still counts them, so that only a person can.
-- `playlist_id` is '' for the entity type's own listing.
-- The same table, columns and meaning as migrations/postgres.

CREATE TABLE held_removals (
    account_id   INTEGER NOT NULL REFERENCES accounts (id),
    entity_type  TEXT NOT NULL,
    playlist_id  TEXT NOT NULL,
    item_id      TEXT NOT NULL,
    since        TEXT NOT NULL,
    is_counted   INTEGER NOT NULL CHECK (is_counted IN (0, 1)),
    is_confirmed INTEGER NOT NULL CHECK (is_confirmed IN (0, 1)),
    PRIMARY KEY (account_id, entity_type, playlist_id, item_id)
) STRICT, WITHOUT ROWID;
